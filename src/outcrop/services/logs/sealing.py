"""Events of groups with a KMS key: sealed under data keys that the service itself asks KMS for.

The key's policy must let ``logs.<region>.amazonaws.com`` use it, with the group's ARN as encryption
context. Who reads a group needs no leave for the key.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from outcrop.errors import AWSError, ServiceError
from outcrop.logs.data_keys import OpenKey
from outcrop.logs.events import KeptEvent
from outcrop.logs.hub import LogsHub
from outcrop.security.secret_values import DamagedValue, open_value, seal_value
from outcrop.services.background import Background
from outcrop.services.call import Call
from outcrop.services.logs.references import arn_of, invalid_parameter
from outcrop.services.service_callers import service_caller
from outcrop.stores.kms_records import read_reference
from outcrop.stores.log_records import LogDataKey, LogGroup
from outcrop.stores.resources import Item, Place, Resources


class Sealing:
    """Opens and seals the events of one group, for one request or job."""

    def __init__(
        self, resources: Resources, background: Background, hub: LogsHub, group: Item[LogGroup]
    ) -> None:
        self._resources = resources
        self._background = background
        self._hub = hub
        self._group = group
        self._arn = arn_of(group)
        self._opened: dict[str, bytes] = {}

    @classmethod
    def of(cls, call: Call, group: Item[LogGroup]) -> "Sealing":
        observing = call.observing
        return cls(call.stores.resources, observing.background, observing.logs, group)

    async def key(self) -> OpenKey | None:
        """What events are sealed with that come now; None where the group has no key."""
        kms_key = self._group.record.kms_key
        if kms_key is None:
            return None
        group_id = self._group.record.id
        found = self._hub.data_keys.find(group_id, kms_key)
        if found is None:
            found = await self._newest(kms_key) or await self._make(kms_key)
            self._hub.data_keys.put(group_id, kms_key, found)
        return found

    def seal(self, key: OpenKey, message: bytes) -> bytes:
        return seal_value(key.plaintext, message, self._context)

    async def open(self, events: Sequence[KeptEvent]) -> list[str]:
        """Their messages. KMS is asked anew for each request: leave may have been taken back."""
        for name in {event.data_key for event in events} - {"", *self._opened}:
            self._opened[name] = await self._open_key(name)
        return [self._text(event) for event in events]

    async def check(self, kms_key: str) -> str:
        """The ARN of a key that the group may be given."""
        made = await self._ask("GenerateDataKey", {"KeyId": kms_key, "KeySpec": "AES_256"})
        return made["KeyId"]

    @property
    def _context(self) -> bytes:
        return f"logs:{self._group.record.id}".encode()

    def _text(self, event: KeptEvent) -> str:
        message = event.message
        if event.data_key:
            try:
                message = open_value(self._opened[event.data_key], message, self._context)
            except DamagedValue as error:
                raise ServiceError(
                    "ServiceUnavailableException", "A log event cannot be decrypted.", status=500
                ) from error
        return message.decode("utf-8", "replace")

    async def _newest(self, kms_key: str) -> OpenKey | None:
        async with self._resources.reading() as view:
            keys = await view.list(LogDataKey, parent=str(self._group.record.id))
        fitting = [key for key in keys if key.record.kms_key == kms_key]
        if not fitting:
            return None
        newest = max(fitting, key=lambda key: key.created_at)
        return OpenKey(newest.name, await self._open_key(newest.name))

    async def _make(self, kms_key: str) -> OpenKey:
        made = await self._ask("GenerateDataKey", {"KeyId": kms_key, "KeySpec": "AES_256"})
        place = self._group.place
        name = secrets.token_hex(16)
        async with self._resources.writing() as transaction:
            await transaction.add(
                LogDataKey(kms_key=kms_key, ciphertext=made["CiphertextBlob"]),
                Place(place.account, place.region, name),
                parent=str(self._group.record.id),
            )
        return OpenKey(name, made["Plaintext"])

    async def _open_key(self, name: str) -> bytes:
        place = self._group.place
        async with self._resources.reading() as view:
            item = await view.get(LogDataKey, Place(place.account, place.region, name))
        opened = await self._ask(
            "Decrypt", {"KeyId": item.record.kms_key, "CiphertextBlob": item.record.ciphertext}
        )
        return opened["Plaintext"]

    async def _ask(self, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        caller = service_caller(f"logs.{self._group.place.region}.amazonaws.com", self._arn)
        asked = {**params, "EncryptionContext": {"aws:logs:arn": self._arn}}
        try:
            return await self._background.perform(caller, "kms", operation, asked)
        except AWSError as error:
            raise ServiceError(
                "AccessDeniedException",
                "The specified KMS key does not exist or is not allowed to be used with Arn "
                f"'{self._arn}'",
                status=400,
            ) from error


async def checked_key(call: Call, group: Item[LogGroup], kms_key: str) -> str:
    """The ARN of the key that a request names for the group, once KMS gave a data key of it."""
    reference = read_reference(kms_key, call.region, call.account)
    if reference is None:
        raise invalid_parameter(f"{kms_key} is not the ARN of a KMS key.")
    return await Sealing.of(call, group).check(reference.arn)
