"""Requests to STS inside the test's process, and the policies that they are decided by."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Inside, Keys
from statements import ACCOUNT, allow, document

LIST = "bedrock:ListFoundationModels"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def trust(
    principal: str, actions: str | list[str] = "sts:AssumeRole", **conditions: dict[str, Any]
) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions}
    return document(statement | ({"Condition": conditions} if conditions else {}))


CHAINING = document(allow("sts:*"), allow(LIST))


async def root_keys(inside: Inside) -> Keys:
    stores = inside.deployment.state.stores
    root = await stores.identities.get_user(ACCOUNT, "root")
    return Keys.of(await stores.keys.create_access_key(root))


async def assume(inside: Inside, keys: Keys, role_arn: str, **params: Any) -> dict[str, Any]:
    request = {"RoleArn": role_arn, "RoleSessionName": "me"} | params
    return await inside.client(keys).ask("sts", "AssumeRole", **request)


async def refusal(inside: Inside, keys: Keys, operation: str, **params: Any) -> tuple[str, str]:
    """Code and message."""
    service, _, name = operation.partition(":")
    with pytest.raises(ClientError) as caught:
        await inside.client(keys).ask(service, name, **params)
    answer: Any = caught.value.response
    error = answer["Error"]
    return error["Code"], error["Message"]


async def denied(inside: Inside, keys: Keys, role_arn: str, **params: Any) -> str:
    request = {"RoleArn": role_arn, "RoleSessionName": "me"} | params
    code, message = await refusal(inside, keys, "sts:AssumeRole", **request)
    assert code == "AccessDenied"
    return message


async def session_of_admin(inside: Inside) -> Keys:
    return Keys.answered(await inside.client(ADMIN).ask("sts", "GetSessionToken"))
