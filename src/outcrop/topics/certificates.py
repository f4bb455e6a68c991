"""Where the certificate is that SNS's messages are signed with."""

import hashlib
from typing import Final

from outcrop.stores.opened import Stores
from outcrop.stores.resources import Place
from outcrop.stores.topic_records import SigningKey

PATH: Final = "/_outcrop/sns/"
"""Below it the certificate is served to anyone."""

PLACE: Final = Place("", "", "signing")


async def find_signing_key(stores: Stores) -> SigningKey | None:
    """None before the first message."""
    async with stores.resources.reading() as view:
        found = await view.find(SigningKey, PLACE)
    return found.record if found else None


def certificate_path(certificate: bytes) -> str:
    return f"{PATH}SimpleNotificationService-{hashlib.sha256(certificate).hexdigest()[:32]}.pem"
