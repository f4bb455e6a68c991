"""What SNS signs its messages with: an RSA key of the deployment and its certificate.

Receivers get the certificate from ``SigningCertURL`` and check the signature over the members that
AWS documents, in its order.
"""

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from outcrop.stores.failures import NameTaken
from outcrop.stores.opened import Stores
from outcrop.stores.topic_records import SigningKey
from outcrop.topics.certificates import PLACE, certificate_path, find_signing_key
from outcrop.topics.messages import Message

_BITS: Final = 2048
_VALID: Final = timedelta(days=3650)
_CONTEXT: Final = b"sns signing key"


@dataclass(frozen=True, slots=True)
class Signer:
    certificate: bytes
    key: rsa.RSAPrivateKey

    @property
    def path(self) -> str:
        return certificate_path(self.certificate)

    def sign(self, text: str, version: str) -> str:
        # SignatureVersion 1 is SHA-1, which is what receivers of such messages check.
        sha_1 = hashes.SHA1()  # noqa: S303
        digest = hashes.SHA256() if version == "2" else sha_1
        made = self.key.sign(text.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), digest)
        return base64.b64encode(made).decode()


class Signers:
    """The one signer, made with the first message and remembered."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._signer: Signer | None = None

    async def get(self) -> Signer:
        if self._signer is None:
            record = await find_signing_key(self._stores) or await self._make()
            self._signer = await asyncio.to_thread(self._open, record)
        return self._signer

    def _open(self, record: SigningKey) -> Signer:
        der = self._stores.sealer.open(record.key, _CONTEXT)
        key = serialization.load_der_private_key(der, None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("SNS's signing key is no RSA key")
        return Signer(record.certificate, key)

    async def _make(self) -> SigningKey:
        certificate, der = await asyncio.to_thread(_new_certificate)
        record = SigningKey(certificate=certificate, key=self._stores.sealer.seal(der, _CONTEXT))
        try:
            async with self._stores.resources.writing() as transaction:
                await transaction.add(record, PLACE)
        except NameTaken:
            # Another process of the deployment made one in between.
            made = await find_signing_key(self._stores)
            if made is None:
                raise
            return made
        return record


def signed_text(message: Message, subscribe_url: str | None) -> str:
    """Each name and value on a line of its own."""
    return "".join(f"{name}\n{value}\n" for name, value in _members(message, subscribe_url))


def _members(message: Message, subscribe_url: str | None) -> Iterator[tuple[str, str]]:
    yield "Message", message.body
    yield "MessageId", message.id
    if subscribe_url is not None:
        yield "SubscribeURL", subscribe_url
    if message.subject is not None:
        yield "Subject", message.subject
    yield "Timestamp", message.timestamp
    if message.token is not None:
        yield "Token", message.token
    yield "TopicArn", message.topic_arn
    yield "Type", message.kind


def _new_certificate() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.outcrop.invalid")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    der = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), der
