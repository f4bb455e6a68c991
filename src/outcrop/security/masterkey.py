"""The deployment's master key and the envelope that seals secrets at rest (AES-256-GCM).

Each secret has its own data key, wrapped by the master key; both are bound to what they are for.
"""

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from outcrop.identity import SealedSecretError

FILE_NAME = "master.key"
WRAPPED_FILE_NAME = "master.key.wrapped"
VARIABLE = "OUTCROP_MASTER_KEY"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_WRAPPED_BYTES = _KEY_BYTES + 16
_VERSION = b"\x01"
_DERIVING = b"outcrop derived keys 1"


class MasterKeyError(SealedSecretError):
    """The master key is missing, malformed or another deployment's."""


class MasterKey:
    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise MasterKeyError(f"A master key is {_KEY_BYTES} bytes long, this one {len(key)}.")
        self._cipher = AESGCM(key)
        self._root = hmac.digest(key, _DERIVING, "sha256")

    def derive(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for one purpose; it tells nothing of the master key."""
        return hmac.digest(self._root, purpose, "sha256")

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """``context`` says what the secret is for; only the same context opens it."""
        data_key = AESGCM.generate_key(bit_length=8 * _KEY_BYTES)
        wrap_nonce, nonce = secrets.token_bytes(_NONCE_BYTES), secrets.token_bytes(_NONCE_BYTES)
        wrapped = self._cipher.encrypt(wrap_nonce, data_key, _VERSION + context)
        sealed = AESGCM(data_key).encrypt(nonce, secret, _VERSION + context)
        return _VERSION + wrap_nonce + wrapped + nonce + sealed

    def open(self, envelope: bytes, context: bytes) -> bytes:
        wrap_nonce, wrapped, nonce, sealed = _take_apart(envelope)
        try:
            data_key = self._cipher.decrypt(wrap_nonce, wrapped, _VERSION + context)
            return AESGCM(data_key).decrypt(nonce, sealed, _VERSION + context)
        except InvalidTag as error:
            raise MasterKeyError(
                "The master key does not open the secrets of this data directory. "
                f"Restore its own {FILE_NAME} or set {VARIABLE} to the key it was made with."
            ) from error


def load_master_key(data_dir: Path, environment: Mapping[str, str], *, create: bool) -> MasterKey:
    """From the environment, else from the data directory's file, which ``create`` may make."""
    preset = environment.get(VARIABLE)
    if preset:
        return MasterKey(_decode(preset, VARIABLE))
    file = data_dir / FILE_NAME
    if create:
        try:
            _create(file)
        except OSError as error:
            raise MasterKeyError(
                f"{file} cannot be made: {error.strerror}. Make room for it, or set {VARIABLE}."
            ) from error
    try:
        text = file.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise MasterKeyError(
            f"{file} is missing and the data directory has secrets sealed with it. "
            f"Restore the file or set {VARIABLE}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise MasterKeyError(f"{file} cannot be read: {error}. Restore it or its mode.") from error
    return MasterKey(_decode(text.strip(), str(file)))


def _create(file: Path) -> None:
    if not file.exists():
        write_once(file, base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")


def write_once(file: Path, content: bytes) -> None:
    """Whole or not at all, and readable by nobody else: written aside, then linked into place
    unless there is one already."""
    aside = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(aside, file)
        except FileExistsError:
            return
    finally:
        aside.unlink()


def _decode(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MasterKeyError(f"{source} is not base64 of {_KEY_BYTES} bytes.") from error
    if len(key) != _KEY_BYTES:
        raise MasterKeyError(
            f"{source} holds {len(key)} bytes; a master key has {_KEY_BYTES}, in base64."
        )
    return key


def _take_apart(envelope: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    if envelope[:1] != _VERSION or len(envelope) < 1 + 2 * _NONCE_BYTES + _WRAPPED_BYTES + 16:
        raise MasterKeyError("A sealed secret in the database is damaged or of a newer version.")
    at = 1
    parts: list[bytes] = []
    for size in (_NONCE_BYTES, _WRAPPED_BYTES, _NONCE_BYTES):
        parts.append(envelope[at : at + size])
        at += size
    return parts[0], parts[1], parts[2], envelope[at:]
