"""Requests to KMS inside the test's process, by several users of two accounts."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import Client, Inside, Keys
from statements import ACCOUNT, document, root_arn, to


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
