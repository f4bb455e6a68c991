"""Who may call: principals, their credentials, and what a verified request proves.

``stores`` keeps these, ``security`` verifies against them; a ``repr`` never shows a secret.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

PrincipalKind = Literal["root", "user", "role", "federated", "service", "anonymous"]
KeyStatus = Literal["Active", "Inactive"]
Proof = Literal["header", "query", "bearer", "service", "none"]
"""How a caller was proven. A service that acts with a role passed to it needs no signature; nobody
in particular has none."""
PayloadKind = Literal["hash", "unsigned", "chunks", "chunks-trailer", "unsigned-trailer"]

_LONG_TERM_PREFIX = "ABSK"


@dataclass(frozen=True, slots=True)
class Principal:
    """``kind`` "role" is a session of an assumed role: ``name`` is the session's, ``role_arn`` the
    role's, ``id`` is ``AROA…:<session>``. A federated user's ``name`` is the one it was given. A
    ``service`` is a principal of policies by itself (``bedrock.amazonaws.com``, name and ARN), and
    acts for a resource of the account."""

    account: str
    name: str
    arn: str
    kind: PrincipalKind
    id: str = ""
    role_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What a temporary credential was issued with. ``policies`` are texts, ``policy_arns`` managed
    policies; both empty and None differ: None sets no limit. ``issuer`` is the user or role whose
    permissions it has."""

    issuer: Principal
    issued_at: datetime
    expires_at: datetime
    policies: tuple[str, ...] | None = None
    policy_arns: tuple[str, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None
    has_mfa: bool = False
    service: str | None = None
    """The AWS service that acts with a role passed to it (``bedrock.amazonaws.com``)."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that signs. A temporary one has a ``session_token`` and ends at ``expires_at``."""

    id: str
    secret: str = field(repr=False)
    principal: Principal
    status: KeyStatus = "Active"
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    created_at: datetime | None = None
    session: Session | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A long-term bearer key; only the hash of its secret is kept."""

    id: str
    name: str
    secret_hash: bytes = field(repr=False)
    principal: Principal
    status: KeyStatus = "Active"
    expires_at: datetime | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PayloadProof:
    """What a verified signature says of a body that has not been read: its ``sha256`` in hex, or
    with ``signature``, ``key``, ``timestamp`` and ``scope`` how its chunks are signed in turn."""

    kind: PayloadKind
    sha256: str = ""
    signature: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)
    timestamp: str = ""
    scope: str = ""


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Caller:
    """``key_id`` is the access key's or the bearer key's. ``region`` is the credential scope's; a
    long-term bearer key has none. ``via`` are the services that call on the caller's behalf, the
    first one first (``s3.us-east-1.amazonaws.com``). ``payload`` is there while the body is yet to
    be read. ``source_arn`` is the resource that a service as principal acts for."""

    principal: Principal
    key_id: str
    region: str | None
    proof: Proof
    session_expires_at: datetime | None = None
    session: Session | None = None
    via: tuple[str, ...] = ()
    payload: PayloadProof | None = field(default=None, repr=False, compare=False)
    source_arn: str | None = None

    @property
    def account(self) -> str:
        return self.principal.account

    @property
    def arn(self) -> str:
        return self.principal.arn


class KeyLookup(Protocol):
    """The long-term keys. Answers from memory: it is asked once a request."""

    def find_access_key(self, key_id: str) -> AccessKey | None: ...

    def find_api_key(self, key_id: str) -> ApiKey | None: ...


class CredentialLookup(KeyLookup, Protocol):
    """All keys; a temporary one is found by its session token, and for its own key ID only."""

    def find_session_key(self, key_id: str, token: str) -> AccessKey | None: ...


class SealedSecretError(Exception):
    """A secret at rest cannot be opened: wrong master key, or damaged."""


class Sealer(Protocol):
    """Encrypts secrets at rest; ``context`` says what a secret is for and is needed to open it."""

    def seal(self, secret: bytes, context: bytes) -> bytes: ...

    def open(self, envelope: bytes, context: bytes) -> bytes: ...


class KeySource(Sealer, Protocol):
    """Gives keys of their own for other purposes, the same each time."""

    def derive(self, purpose: bytes) -> bytes: ...


def user_arn(account: str, name: str, path: str = "/") -> str:
    return f"arn:aws:iam::{account}:user{path}{name}"


def root_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def hash_api_secret(secret: str) -> bytes:
    # The secret is 256 random bits, so one round of SHA-256 leaves nothing to guess.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def render_api_key(key_id: str, secret: str) -> str:
    return _LONG_TERM_PREFIX + base64.b64encode(f"{key_id}:{secret}".encode()).decode()


def is_long_term_api_key(token: str) -> bool:
    return token.startswith(_LONG_TERM_PREFIX)


def parse_api_key(token: str) -> tuple[str, str] | None:
    """Key ID and secret of a long-term key's token."""
    try:
        text = base64.b64decode(token.removeprefix(_LONG_TERM_PREFIX), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    key_id, colon, secret = text.partition(":")
    return (key_id, secret) if colon else None
