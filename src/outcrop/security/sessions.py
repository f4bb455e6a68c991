"""Temporary credentials. Nothing is stored: the session token carries the key, sealed.

A token opens for its own key ID only, in its own deployment, on every node of it. A node that
meets a version it does not know refuses it, so a field that narrows a session needs a new one.
"""

import base64
import binascii
import re
import secrets
import zlib
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from outcrop.identity import (
    AccessKey,
    ApiKey,
    KeyLookup,
    Principal,
    SealedSecretError,
    Sealer,
    Session,
)

MAX_TOKEN_CHARS = 4_096
"""What STS promises at most (``MinimumSessionTokenSize``)."""

_PREFIX = "ASIA"
_VERSION = b"\x01"
_MAX_OPENED_BYTES = 131_072
_CACHED_BYTES = 8 * 1024 * 1024
_KEY_ID = re.compile(_PREFIX + "[A-Z2-7]{16}")
_ACCOUNT_DIGITS = 12
_ACCOUNT_BITS = 40
_RANDOM_BITS = 39


class TokenTooLong(Exception):
    """What the session was given does not fit into a token."""


class _Contents(msgspec.Struct, frozen=True):
    key_id: str
    secret: str
    principal: Principal
    session: Session


_decoder = msgspec.msgpack.Decoder(_Contents)


def issue(
    sealer: Sealer, principal: Principal, session: Session, *, min_token_chars: int = 0
) -> AccessKey:
    """A new key that acts as ``principal``. A token shorter than asked for is padded."""
    key_id = new_key_id(principal.account)
    secret = base64.b64encode(secrets.token_bytes(30)).decode()
    contents = msgspec.msgpack.encode(_Contents(key_id, secret, principal, session))
    packed = zlib.compress(contents, 9)
    token = _seal(sealer, key_id, packed)
    if len(token) < min_token_chars:
        # The stream knows its own end, so what follows it says nothing.
        missing_bytes = 3 * (-(-min_token_chars // 4) - len(token) // 4)
        token = _seal(sealer, key_id, packed + bytes(missing_bytes))
    if len(token) > MAX_TOKEN_CHARS or len(contents) > _MAX_OPENED_BYTES:
        raise TokenTooLong(f"A session token has at most {MAX_TOKEN_CHARS} characters.")
    return _access_key(key_id, secret, principal, session, token)


def new_key_id(account: str) -> str:
    """16 letters of base32: one bit, the account in 40, and 39 that are random. Real key IDs tell
    their account the same way."""
    number = 1 << (_ACCOUNT_BITS + _RANDOM_BITS)
    number |= int(account) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return _PREFIX + base64.b32encode(number.to_bytes(10)).decode()


def account_of(key_id: str) -> str | None:
    """The account that a temporary key's ID was made for. The ID alone proves nothing."""
    if not _KEY_ID.fullmatch(key_id):
        return None
    number = int.from_bytes(base64.b32decode(key_id.removeprefix(_PREFIX)))
    account = f"{(number >> _RANDOM_BITS) & ((1 << _ACCOUNT_BITS) - 1):012d}"
    return account if len(account) == _ACCOUNT_DIGITS else None


def open_token(sealer: Sealer, key_id: str, token: str) -> tuple[AccessKey, int] | None:
    """The key and the size of what the token holds; None for what is not such a token."""
    if len(token) > MAX_TOKEN_CHARS:
        return None
    try:
        envelope = base64.b64decode(token, altchars=b"-_", validate=True)
        if envelope[:1] != _VERSION or _encode(envelope) != token:
            return None
        opened = sealer.open(envelope[1:], _context(key_id))
    except (binascii.Error, ValueError, SealedSecretError):
        return None
    contents, size_bytes = _unpack(opened)
    if contents is None or contents.key_id != key_id:
        return None
    key = _access_key(key_id, contents.secret, contents.principal, contents.session, token)
    return key, size_bytes


class Credentials:
    """Every key that signs: those that ``kept`` knows, and sessions. ``is_current`` says whether
    the user or role that a session was issued from is still there. A ``CredentialLookup``."""

    def __init__(
        self,
        kept: KeyLookup,
        sealer: Sealer,
        is_current: Callable[[Principal], bool],
    ) -> None:
        self._kept = kept
        self._sealer = sealer
        self._is_current = is_current
        self._opened: OrderedDict[str, tuple[AccessKey, int]] = OrderedDict()
        self._cached_bytes = 0

    def find_access_key(self, key_id: str) -> AccessKey | None:
        return self._kept.find_access_key(key_id)

    def find_api_key(self, key_id: str) -> ApiKey | None:
        return self._kept.find_api_key(key_id)

    def find_session_key(self, key_id: str, token: str) -> AccessKey | None:
        key = self._find_opened(key_id, token)
        if key is None or key.session is None or not self._is_current(key.session.issuer):
            return None
        return key

    def _find_opened(self, key_id: str, token: str) -> AccessKey | None:
        known = self._opened.get(token)
        if known is not None:
            self._opened.move_to_end(token)
            return known[0] if known[0].id == key_id else None
        opened = open_token(self._sealer, key_id, token)
        if opened is None:
            return None
        self._opened[token] = opened
        self._cached_bytes += opened[1]
        while self._cached_bytes > _CACHED_BYTES:
            _, (_, size_bytes) = self._opened.popitem(last=False)
            self._cached_bytes -= size_bytes
        return opened[0]


def _context(key_id: str) -> bytes:
    return b"session-token:" + key_id.encode("utf-8", "surrogateescape")


def _seal(sealer: Sealer, key_id: str, packed: bytes) -> str:
    return _encode(_VERSION + sealer.seal(packed, _context(key_id)))


def _encode(envelope: bytes) -> str:
    return base64.urlsafe_b64encode(envelope).decode()


def _unpack(packed: bytes) -> tuple[_Contents | None, int]:
    stream = zlib.decompressobj()
    try:
        contents = stream.decompress(packed, _MAX_OPENED_BYTES)
        decoded = _decoder.decode(contents) if stream.eof else None
    except (zlib.error, msgspec.DecodeError):
        # Sealed by this deployment all the same: by another version of this program.
        return None, 0
    return decoded, len(contents)


def _access_key(
    key_id: str, secret: str, principal: Principal, session: Session, token: str
) -> AccessKey:
    return AccessKey(
        key_id,
        secret,
        principal,
        session_token=token,
        expires_at=session.expires_at,
        created_at=session.issued_at,
        session=session,
    )
