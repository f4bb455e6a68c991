"""Secrets Manager's secrets and their versions as they are kept.

A value is sealed under a data key of its own, which only KMS can open (``data_key``).
"""

from datetime import datetime
from typing import ClassVar

import msgspec

from outcrop.stores.resources import Record


class Secret(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``kms_key`` as its owner named it; None is the account's ``aws/secretsmanager``.
    ``stages`` has the ID of the version that each staging label is on. ``deletes_at`` is set while
    its deletion is pending, ``deleted_at`` is when that was asked."""

    KIND: ClassVar[str] = "secretsmanager:secret"

    description: str = ""
    kms_key: str | None = None
    policy: str | None = None
    stages: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    changed_at: datetime | None = None
    accessed_on: datetime | None = None
    deleted_at: datetime | None = None
    deletes_at: datetime | None = None


class SealedValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``key_arn`` is the KMS key that ``data_key`` is under."""

    sealed: bytes
    data_key: bytes
    key_arn: str
    is_binary: bool = False


class SecretVersion(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is the secret's ARN. ``digest`` is the value's, sealed: it tells a repeated
    request from another one without opening the value."""

    KIND: ClassVar[str] = "secretsmanager:version"

    id: str
    value: SealedValue
    digest: bytes
    accessed_on: datetime | None = None


def secret_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:secretsmanager:{region}:{account}:secret:{name}"
