"""Requests to KMS inside the test's process, by several users of two accounts."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import Client, Inside, Keys

ACCOUNT, OTHER = "123456789012", "210987654321"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def to(principal: str, action: str | list[str], **more: Any) -> dict[str, Any]:
    """A statement of a key's or a secret's own policy."""
    return allow(action, Principal={"AWS": principal}, **more)


def user_arn(name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:user/{name}"


def root_arn(account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:root"


def owned(*statements: dict[str, Any]) -> str:
    """A key policy that leaves the key to its account, and says this besides."""
    return document(to(root_arn(), "kms:*"), *statements)


async def refusal(client: Client, service: str, operation: str, **params: Any) -> tuple[str, str]:
    """Code and message."""
    with pytest.raises(ClientError) as caught:
        await client.ask(service, operation, **params)
    answer: Any = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


async def may(client: Client, service: str, operation: str, **params: Any) -> bool:
    """Whether the request passes; every refusal but one of authorization is an error."""
    try:
        await client.ask(service, operation, **params)
    except ClientError as error:
        answer: Any = error.response
        if answer["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


async def make_key(client: Client, **params: Any) -> str:
    """Its ARN."""
    made = await client.ask("kms", "CreateKey", **params)
    return made["KeyMetadata"]["Arn"]


async def user(inside: Inside, name: str, *statements: Any, account: str = ACCOUNT) -> Client:
    policy = document(*statements) if statements else None
    keys: Keys = await inside.user(account, name, policy)
    return inside.client(keys)
