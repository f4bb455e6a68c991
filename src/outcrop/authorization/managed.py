"""The policies that AWS manages: attached by everyone, changed by nobody here.

One file each in ``managed_policies/``, written from what AWS publishes of them. ReadOnlyAccess and
ViewOnlyAccess hold the part about services that exist here.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

import msgspec

_ID_LENGTH = 17


@dataclass(frozen=True, slots=True)
class ManagedPolicy:
    """Only the default version is kept. ``document`` is its text."""

    name: str
    arn: str
    id: str
    path: str
    description: str
    default_version: str
    created_at: datetime
    updated_at: datetime
    document: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    description: str
    default_version: str
    created_at: datetime
    updated_at: datetime
    document: msgspec.Raw
    id: str | None = None


def find(arn: str) -> str | None:
    """The text of the default version."""
    policy = _by_arn().get(arn)
    return policy.document if policy else None


def find_policy(arn: str) -> ManagedPolicy | None:
    return _by_arn().get(arn)


def policies() -> tuple[ManagedPolicy, ...]:
    """By name."""
    return tuple(_by_arn().values())


@cache
def _by_arn() -> Mapping[str, ManagedPolicy]:
    folder = files("outcrop.authorization").joinpath("managed_policies")
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name.lower())
    read = [_read(entry.name, entry.read_bytes()) for entry in entries]
    return {policy.arn: policy for policy in read}


def _read(file_name: str, content: bytes) -> ManagedPolicy:
    name = file_name.removesuffix(".json")
    file = msgspec.json.decode(content, type=_File)
    arn = f"arn:aws:iam::aws:policy{file.path}{name}"
    return ManagedPolicy(
        name=name,
        arn=arn,
        id=file.id or _id(arn),
        path=file.path,
        description=file.description,
        default_version=file.default_version,
        created_at=file.created_at,
        updated_at=file.updated_at,
        document=msgspec.json.format(file.document, indent=4).decode(),
    )


def _id(arn: str) -> str:
    """For those whose ID AWS has not published: always the same one, of the usual form."""
    digest = base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()
    return "ANPA" + digest[:_ID_LENGTH]
