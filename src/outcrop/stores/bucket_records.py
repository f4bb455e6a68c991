"""Buckets as they are kept: whose they are and what is set on them. Objects lie in the store.

A bucket's name is unique in the deployment, so its place has neither account nor region.
"""

from typing import ClassVar, Literal

import msgspec

from outcrop.stores.resources import Place, Record

TOPIC = "s3"


class Encryption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What objects get whose upload says nothing. ``kms_key`` is an ID, ARN or alias as given."""

    algorithm: Literal["AES256", "aws:kms"] = "AES256"
    kms_key: str | None = None


class PublicAccessBlock(msgspec.Struct, frozen=True, kw_only=True):
    """All on, as new buckets have it."""

    block_acls: bool = True
    ignore_acls: bool = True
    block_policy: bool = True
    restrict: bool = True


class Bucket(Record, frozen=True, kw_only=True, omit_defaults=True):
    KIND: ClassVar[str] = "s3:bucket"

    account: str
    region: str
    policy: str | None = None
    encryption: Encryption = Encryption()
    block: PublicAccessBlock | None = PublicAccessBlock()
    ownership: Literal["BucketOwnerEnforced"] | None = "BucketOwnerEnforced"


class DataKey(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Encrypts objects of the bucket that is its parent; ``ciphertext`` is KMS's."""

    KIND: ClassVar[str] = "s3:data-key"

    kms_key: str
    ciphertext: bytes


class Upload(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What a multipart upload began with: the data key that encrypts its parts, the checksum and
    its kind. One that began with none of them has no record. Its parent is the bucket."""

    KIND: ClassVar[str] = "s3:upload"

    data_key: str | None = None
    checksum: str | None = None
    checksum_type: str | None = None


def bucket_place(name: str) -> Place:
    return Place("", "", name)
