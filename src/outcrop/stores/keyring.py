"""KMS keys, aliases and grants in memory, as last committed, with what was unsealed of them.

Every use of a key looks here and not in the database, once what had become due has been done
(``settled``).
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec

from outcrop.identity import Sealer
from outcrop.stores.kms_records import (
    TOPIC,
    KeyReference,
    KmsAlias,
    KmsGrant,
    KmsKey,
    Material,
    Rotation,
)
from outcrop.stores.resources import Change, Item, Place, Record, Resources, Transaction

_MATERIAL_BYTES = 32
_UNSEALED = 4096

KeyAt = tuple[str, str]
"""Region and ID: an ID is one of all accounts'."""


class Keyring:
    def __init__(self, resources: Resources, sealer: Sealer) -> None:
        self._resources = resources
        self._sealer = sealer
        self._keys: dict[KeyAt, Item[KmsKey]] = {}
        self._aliases: dict[Place, Item[KmsAlias]] = {}
        self._names: dict[KeyAt, set[str]] = {}
        self._grants: dict[KeyAt, dict[str, Item[KmsGrant]]] = {}
        self._grant_keys: dict[Place, KeyAt] = {}
        self._unsealed: dict[str, bytes] = {}
        self._loading = asyncio.Lock()
        self._is_loaded = False
        self.next_due: datetime | None = None
        resources.listen(TOPIC, self._changed, self.load)

    async def ready(self) -> None:
        """Returns once it has been read."""
        if not self._is_loaded:
            async with self._loading:
                if not self._is_loaded:
                    await self.load()

    async def load(self) -> None:
        items = await self._resources.snapshot(KmsKey, KmsAlias, KmsGrant)
        self._keys.clear()
        self._aliases.clear()
        self._names.clear()
        self._grants.clear()
        self._grant_keys.clear()
        self._unsealed.clear()
        self.next_due = None
        self._changed([_as_change(item) for item in items])
        self._is_loaded = True

    async def settled(self, now: datetime) -> "Keyring":
        """Itself, once every deletion and rotation that was due by ``now`` has happened."""
        await self.ready()
        if self.next_due is not None and self.next_due <= now:
            async with self._resources.writing() as transaction:
                for key in [key for key in self._keys.values() if _is_due(key.record, now)]:
                    await _settle(transaction, self._sealer, key, now)
            due = (key.record.due_at for key in self._keys.values())
            self.next_due = min((at for at in due if at is not None), default=None)
        return self

    def find(self, reference: KeyReference) -> Item[KmsKey] | None:
        key_id = reference.name
        if reference.is_alias:
            place = Place(reference.account, reference.region, reference.name)
            alias = self._aliases.get(place)
            if alias is None:
                return None
            key_id = alias.parent
        key = self._keys.get((reference.region, key_id))
        return key if key is not None and key.place.account == reference.account else None

    def aliases_of(self, key: Place) -> list[str]:
        return sorted(self._names.get((key.region, key.name), ()))

    def grants_of(self, key: Place) -> Iterable[Item[KmsGrant]]:
        return self._grants.get((key.region, key.name), {}).values()

    def find_grant(self, key: Place, grant_id: str) -> Item[KmsGrant] | None:
        return self._grants.get((key.region, key.name), {}).get(grant_id)

    def keys(self, account: str, region: str) -> list[Item[KmsKey]]:
        return [key for key in self._keys.values() if _lies_in(key.place, account, region)]

    def aliases(self, account: str, region: str) -> list[Item[KmsAlias]]:
        return [alias for alias in self._aliases.values() if _lies_in(alias.place, account, region)]

    def grants(self) -> list[Item[KmsGrant]]:
        return [grant for grants in self._grants.values() for grant in grants.values()]

    def material(self, key: Item[KmsKey], material: Material) -> bytes:
        found = self._unsealed.get(material.id)
        if found is None:
            found = self._sealer.open(material.sealed, material_context(key.name, material.id))
            if len(self._unsealed) >= _UNSEALED:
                self._unsealed.clear()
            self._unsealed[material.id] = found
        return found

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.type is KmsKey:
                self._change_key(change.place, change.item)
            elif change.type is KmsAlias:
                self._change_alias(change.place, change.item)
            elif change.type is KmsGrant:
                self._change_grant(change.place, change.item)

    def _change_key(self, place: Place, item: Item[Any] | None) -> None:
        at = (place.region, place.name)
        before = self._keys.pop(at, None)
        if item is not None:
            self._keys[at] = item
            self._remember_due(item.record)
        elif before is not None:
            for material in before.record.materials:
                self._unsealed.pop(material.id, None)

    def _remember_due(self, key: KmsKey) -> None:
        due = key.due_at
        if due is not None and (self.next_due is None or due < self.next_due):
            self.next_due = due

    def _change_alias(self, place: Place, item: Item[Any] | None) -> None:
        before = self._aliases.pop(place, None)
        if before is not None:
            self._names.get((place.region, before.parent), set()).discard(place.name)
        if item is not None:
            self._aliases[place] = item
            self._names.setdefault((place.region, item.parent), set()).add(place.name)

    def _change_grant(self, place: Place, item: Item[Any] | None) -> None:
        before = self._grant_keys.pop(place, None)
        if before is not None:
            self._grants[before].pop(place.name, None)
        if item is not None:
            at = self._grant_keys[place] = (place.region, item.parent)
            self._grants.setdefault(at, {})[place.name] = item


def _as_change(item: Item[Any]) -> Change:
    return Change(cast("type[Record]", type(item.record)), item.place, item)


def _lies_in(place: Place, account: str, region: str) -> bool:
    return place.account == account and place.region == region


def material_context(key_id: str, material_id: str) -> bytes:
    return f"kms-material:{key_id}:{material_id}".encode()


def make_material(
    sealer: Sealer, key_id: str, now: datetime, rotation: Rotation | None = None
) -> Material:
    material_id = secrets.token_hex(32)
    sealed = sealer.seal(
        secrets.token_bytes(_MATERIAL_BYTES), material_context(key_id, material_id)
    )
    return Material(id=material_id, sealed=sealed, made_at=now, rotation=rotation)


def rotated(sealer: Sealer, key_id: str, key: KmsKey, now: datetime, rotation: Rotation) -> KmsKey:
    """Encrypts with new material from now on, and still decrypts with the old."""
    material = make_material(sealer, key_id, now, rotation)
    return msgspec.structs.replace(key, materials=(*key.materials, material))


def _is_due(key: KmsKey, now: datetime) -> bool:
    return key.due_at is not None and key.due_at <= now


async def _settle(
    transaction: Transaction, sealer: Sealer, known: Item[KmsKey], now: datetime
) -> None:
    key = await transaction.find(KmsKey, known.place)
    if key is None or not _is_due(key.record, now):
        return
    if key.record.deletes_at is None:
        record = rotated(sealer, key.name, key.record, now, "AUTOMATIC")
        next_at = now + timedelta(days=record.rotation_days or 0)
        await transaction.put(
            replace(key, record=msgspec.structs.replace(record, rotates_at=next_at))
        )
        return
    place = key.place
    for type in (KmsAlias, KmsGrant):
        for item in await transaction.list(
            type, account=place.account, region=place.region, parent=key.name
        ):
            await transaction.remove(type, item.place)
    await transaction.remove(KmsKey, place)
