"""What KMS gives out as ``CiphertextBlob``: AES-256-GCM under a key derived for this one message.

    version 1 · owner 8 · key ID 16 · material ID 32 · salt 16 · nonce 12 · sealed text and tag

All of it and the encryption context are authenticated: a changed bit anywhere, or another context,
opens nothing. A key of its own for each message leaves no number of messages that is too many.
"""

import hmac
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 1
_HEADER = struct.Struct(">BQ16s32s")
_SALT_BYTES = 16
_NONCE_BYTES = 12
_TAG_BYTES = 16
_SEALED_AT = _HEADER.size + _SALT_BYTES + _NONCE_BYTES
_LABEL = b"outcrop kms message key 1"


class NotOurs(Exception):
    """No ciphertext of ours, a changed one, or one of another encryption context."""


@dataclass(frozen=True, slots=True)
class Header:
    """Which key a ciphertext says it is of; true only once it has been opened."""

    account: str
    key_id: str
    material_id: str


def seal(header: Header, material: bytes, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    front = _HEADER.pack(
        _VERSION,
        int(header.account),
        UUID(header.key_id).bytes,
        bytes.fromhex(header.material_id),
    ) + secrets.token_bytes(_SALT_BYTES)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    cipher = AESGCM(_message_key(material, front))
    return front + nonce + cipher.encrypt(nonce, plaintext, front + canonical_context(context))


def read_header(blob: bytes) -> Header:
    if len(blob) < _SEALED_AT + _TAG_BYTES:
        raise NotOurs
    version, owner, key_id, material_id = _HEADER.unpack_from(blob)
    if version != _VERSION:
        raise NotOurs
    return Header(f"{owner:012d}", str(UUID(bytes=key_id)), material_id.hex())


def unseal(blob: bytes, material: bytes, context: Mapping[str, str]) -> bytes:
    front = blob[: _HEADER.size + _SALT_BYTES]
    nonce = blob[len(front) : _SEALED_AT]
    cipher = AESGCM(_message_key(material, front))
    try:
        return cipher.decrypt(nonce, blob[_SEALED_AT:], front + canonical_context(context))
    except InvalidTag as error:
        raise NotOurs from error


def canonical_context(context: Mapping[str, str]) -> bytes:
    """One text for a context whatever the order of its pairs, and no other context's text."""
    pairs = sorted(
        (name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass"))
        for name, value in context.items()
    )
    return b"".join(
        struct.pack(">I", len(part)) + part for pair in pairs for part in pair
    ) + struct.pack(">I", len(pairs))


def _message_key(material: bytes, front: bytes) -> bytes:
    return hmac.digest(material, _LABEL + front, "sha256")
