"""What IAM keeps: users, groups, roles, managed policies and their credentials.

IAM is global: the place of each is ``Place(account, "", name)``. Policies are kept as the text that
was sent. The topic of all is ``iam``.
"""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from outcrop.stores.resources import Record

TOPIC = "iam"


class AccountRecord(Record, frozen=True, kw_only=True):
    """Named by its ID. ``service_control`` are the names of the policies that bound it."""

    KIND: ClassVar[str] = "iam:account"
    title: str
    alias: str | None = None
    service_control: tuple[str, ...] = ()


class ClosedAccount(Record, frozen=True, kw_only=True):
    """Named by the number of an account that is gone: nobody gets it again. Its topic is its own,
    since nobody looks for closed accounts."""

    KIND: ClassVar[str] = "accounts:closed"
    title: str


class ServiceControlPolicyRecord(Record, frozen=True, kw_only=True):
    """Named in the deployment: its place has no account."""

    KIND: ClassVar[str] = "iam:service-control-policy"
    document: str


class UserRecord(Record, frozen=True, kw_only=True):
    """``kind`` "root" is the account's root user, whose name is "root". ``attached`` are ARNs of
    managed policies, ``inline`` texts by name."""

    KIND: ClassVar[str] = "iam:user"
    id: str
    path: str = "/"
    kind: Literal["root", "user"] = "user"
    boundary: str | None = None
    attached: tuple[str, ...] = ()
    inline: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    groups: tuple[str, ...] = ()


class GroupRecord(Record, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "iam:group"
    id: str
    path: str = "/"
    attached: tuple[str, ...] = ()
    inline: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class RoleRecord(Record, frozen=True, kw_only=True):
    """``trust`` is the policy that says who may assume it."""

    KIND: ClassVar[str] = "iam:role"
    id: str
    trust: str
    path: str = "/"
    description: str = ""
    max_session_s: int = 3600
    boundary: str | None = None
    attached: tuple[str, ...] = ()
    inline: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    service_linked: str | None = None


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    document: str
    created_at: datetime


class PolicyRecord(Record, frozen=True, kw_only=True):
    """A customer-managed policy. ``versions`` are by ID (``v1``)."""

    KIND: ClassVar[str] = "iam:policy"
    id: str
    versions: dict[str, PolicyVersion]
    default_version: str
    latest: int = 1
    path: str = "/"
    description: str = ""


class AccessKeyRecord(Record, frozen=True, kw_only=True):
    """Named by its ID; its parent is the user's name."""

    KIND: ClassVar[str] = "iam:access-key"
    sealed_secret: bytes
    status: Literal["Active", "Inactive"] = "Active"


class ServiceCredentialRecord(Record, frozen=True, kw_only=True):
    """A long-term bearer key of a service. Named by its ID; its parent is the user's name.
    ``username`` is the part of the token before the secret (``BedrockAPIKey-…-at-…``)."""

    KIND: ClassVar[str] = "iam:service-credential"
    service: str
    username: str
    secret_hash: bytes
    title: str = ""
    status: Literal["Active", "Inactive"] = "Active"
    expires_at: datetime | None = None
