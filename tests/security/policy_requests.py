"""Subjects, policies and requests for the tests of the policy engine."""

from collections.abc import Mapping
from typing import Any

import msgspec

from outcrop.security.policy.document import Kind, Policy, parse_policy
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide

ACCOUNT, OTHER = "111122223333", "444455556666"
USER = Subject(f"arn:aws:iam::{ACCOUNT}:user/ann", ACCOUNT, "user")
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/team/reader"
SESSION = Subject(
    f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/morning", ACCOUNT, "role", role_arn=ROLE_ARN
)
FEDERATED = Subject(
    f"arn:aws:sts::{ACCOUNT}:federated-user/bob", ACCOUNT, "federated", role_arn=USER.arn
)
ROOT = Subject(f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, "root")
STRANGER = Subject(f"arn:aws:iam::{OTHER}:user/eve", OTHER, "user")
SERVICE = Subject("bedrock.amazonaws.com", "", "service", service="bedrock.amazonaws.com")
ANYONE = Subject("*", "", "anonymous")

BUCKET = "arn:aws:s3:::data"
OBJECT = f"{BUCKET}/a"
ACTION = "s3:GetObject"

Keys = Mapping[str, str | tuple[str, ...]]
Statement = dict[str, Any]


def statement(effect: str = "Allow", **elements: Any) -> Statement:
    """``Action`` and ``Resource`` are everything unless given or negated."""
    whole: Statement = {"Effect": effect, **elements}
    for element in ("Action", "Resource"):
        if element not in whole and f"Not{element}" not in whole:
            whole[element] = "*"
    return whole


def text_of(*statements: Statement, version: str | None = "2012-10-17") -> str:
    document = {"Version": version} if version else {}
    return msgspec.json.encode({**document, "Statement": statements}).decode()


def policy(*statements: Statement, kind: Kind = "identity", name: str = "p") -> Policy:
    return parse_policy(text_of(*statements), kind, name=name)


def request(
    subject: Subject = USER,
    action: str = ACTION,
    resource: str = OBJECT,
    owner: str | None = ACCOUNT,
    keys: Keys | None = None,
) -> Request:
    return Request(subject, action, resource, owner, keys or {})


def allows(
    *statements: Statement,
    action: str = ACTION,
    resource: str = OBJECT,
    keys: Keys | None = None,
) -> bool:
    """Whether one identity policy allows the request."""
    asked = request(action=action, resource=resource, keys=keys)
    return decide(asked, Layers(identity=(policy(*statements),))).allowed
