"""KMS keys, aliases and grants as they are kept. Key material is sealed with the master key.

A record holds all material its key ever had: removing it removes what decrypts.
"""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from outcrop.stores.resources import Record

TOPIC = "kms"

Rotation = Literal["AUTOMATIC", "ON_DEMAND"]


class Material(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``rotation`` says how it replaced the one before; the first replaced none."""

    id: str
    sealed: bytes
    made_at: datetime
    rotation: Rotation | None = None


class KmsKey(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its ID. The last of ``materials`` encrypts, all of them decrypt. ``service`` is that
    of a key which AWS manages (``s3``). ``deletes_at`` is set while its deletion is pending."""

    KIND: ClassVar[str] = "kms:key"

    policy: str
    materials: tuple[Material, ...]
    description: str = ""
    enabled: bool = True
    service: str | None = None
    deletes_at: datetime | None = None
    rotation_days: int | None = None
    rotates_at: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """When something happens to it by itself: its end, or its rotation while it is usable."""
        if self.deletes_at is not None:
            return self.deletes_at
        return self.rotates_at if self.enabled else None


class KmsAlias(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named ``alias/…``; its parent is the ID of its key."""

    KIND: ClassVar[str] = "kms:alias"


class KmsGrant(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its ID; its parent is the ID of its key. ``label`` is the caller's ``Name``.
    ``grantee`` and ``retiring`` are ARNs, or the names of AWS's services; ``source_arn`` is the one
    resource for which a service may use it."""

    KIND: ClassVar[str] = "kms:grant"

    grantee: str
    operations: tuple[str, ...]
    issuer: str
    retiring: str | None = None
    equals: dict[str, str] | None = None
    subset: dict[str, str] | None = None
    label: str | None = None
    source_arn: str | None = None


def key_arn(region: str, account: str, key_id: str) -> str:
    return f"arn:aws:kms:{region}:{account}:key/{key_id}"


def alias_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:kms:{region}:{account}:{name}"


class KeyReference(msgspec.Struct, frozen=True):
    """A key as a request names it: ``name`` is an ID or ``alias/…``."""

    region: str
    account: str
    name: str

    @property
    def is_alias(self) -> bool:
        return self.name.startswith("alias/")

    @property
    def arn(self) -> str:
        named = alias_arn if self.is_alias else key_arn
        return named(self.region, self.account, self.name)

    @property
    def resource(self) -> str:
        """What leave is asked for before the alias is looked up: ``…:key/alias/name``."""
        return key_arn(self.region, self.account, self.name)


def read_reference(text: str, region: str, account: str) -> KeyReference | None:
    """From an ID, an alias or an ARN of either; None for an ARN of something else."""
    if not text.startswith("arn:"):
        return KeyReference(region, account, text)
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[2] != "kms":
        return None
    kind, _, name = parts[5].partition("/")
    if not name or kind not in ("key", "alias"):
        return None
    return KeyReference(parts[3], parts[4], name if kind == "key" else parts[5])
