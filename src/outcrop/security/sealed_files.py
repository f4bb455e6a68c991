"""Whole files under a data key: AES-256-GCM, with what they are as the additional data."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAGIC: Final = b"OCS1"
_NONCE_BYTES: Final = 12


class NotSealed(Exception):
    """It was sealed with another key or as something else, or has been changed since."""


def seal_file(key: bytes, plain: bytes, context: str, name: str) -> bytes:
    """``context`` is the ARN that the file belongs to, ``name`` its name there."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return _MAGIC + nonce + AESGCM(key).encrypt(nonce, plain, _about(context, name))


def open_file(key: bytes, sealed: bytes, context: str, name: str) -> bytes:
    """Raises ``NotSealed``."""
    start = len(_MAGIC) + _NONCE_BYTES
    if sealed[: len(_MAGIC)] != _MAGIC:
        raise NotSealed(f"{name} is no sealed file")
    try:
        return AESGCM(key).decrypt(
            sealed[len(_MAGIC) : start], sealed[start:], _about(context, name)
        )
    except InvalidTag as error:
        raise NotSealed(f"{name} does not open with this key") from error


def _about(context: str, name: str) -> bytes:
    return f"{context}\n{name}".encode()
