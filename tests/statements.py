"""Policies and their statements as tests write them, of two accounts."""

import json
from collections.abc import Mapping
from typing import Any

ACCOUNT, OTHER = "123456789012", "210987654321"


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def to(principal: str, action: str | list[str], **more: Any) -> dict[str, Any]:
    """A statement of a resource's own policy."""
    return allow(action, Principal={"AWS": principal}, **more)


def user_arn(name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:user/{name}"


def root_arn(account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:root"
