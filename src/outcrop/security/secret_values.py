"""A secret's value under its data key: AES-256-GCM, bound to the secret and the version."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class DamagedValue(Exception):
    """The value does not open with its own data key: it was changed in the database."""


def seal_value(data_key: bytes, value: bytes, context: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(data_key).encrypt(nonce, value, context)


def open_value(data_key: bytes, sealed: bytes, context: bytes) -> bytes:
    try:
        return AESGCM(data_key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except InvalidTag as error:
        raise DamagedValue("A secret's value does not open with its data key.") from error
