"""The key of the deployment that signs digests: made when the first digest is, sealed at rest."""

import asyncio
import hashlib
from datetime import datetime, timedelta
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from outcrop.identity import Sealer
from outcrop.stores.resources import Item, Resources, View
from outcrop.stores.trail_records import SigningKey, signing_key_place

_BITS: Final = 2048
_VALID: Final = timedelta(days=3650)
_CONTEXT: Final = b"cloudtrail:signing-key:"


async def signing_key(
    resources: Resources, sealer: Sealer, now: datetime
) -> tuple[str, rsa.RSAPrivateKey]:
    """Fingerprint and key; a new one where there is none that is valid now."""
    async with resources.reading() as view:
        found = await _find_valid(view, now)
    if found is None:
        # Takes a tenth of a second: not on the event loop.
        made = await asyncio.to_thread(_make, sealer, now)
        async with resources.writing() as transaction:
            found = await _find_valid(transaction, now)
            if found is None:
                fingerprint, record = made
                found = await transaction.add(record, signing_key_place(fingerprint))
    return found.name, _open(sealer, found)


async def _find_valid(view: View, now: datetime) -> Item[SigningKey] | None:
    keys = await list_keys(view)
    valid = (each for each in keys if each.record.starts_at <= now < each.record.ends_at)
    return next(valid, None)


def _make(sealer: Sealer, now: datetime) -> tuple[str, SigningKey]:
    new = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    public = new.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    # AWS names its keys by such a fingerprint; nothing rests on it.
    fingerprint = hashlib.md5(public, usedforsecurity=False).hexdigest()
    private = new.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    starts_at = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return fingerprint, SigningKey(
        private=sealer.seal(private, _CONTEXT + fingerprint.encode()),
        public=public,
        starts_at=starts_at,
        ends_at=starts_at + _VALID,
    )


async def list_keys(view: View) -> list[Item[SigningKey]]:
    return sorted(await view.list(SigningKey), key=lambda item: item.record.starts_at)


def _open(sealer: Sealer, item: Item[SigningKey]) -> rsa.RSAPrivateKey:
    private = sealer.open(item.record.private, _CONTEXT + item.name.encode())
    return cast(rsa.RSAPrivateKey, load_der_private_key(private, None))
