"""Writes which models accounts may use: a removed access is kept, since it says no as well."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import ModelAccess
from outcrop.stores.resources import Place, Transaction


async def put_access(transaction: Transaction, place: Place, record: ModelAccess) -> None:
    found = await transaction.find(ModelAccess, place)
    if found is None:
        await transaction.add(record, place)
    else:
        await transaction.put(replace(found, record=record))


async def put_accesses(
    transaction: Transaction, places: Sequence[Place], record: ModelAccess
) -> list[Place]:
    """The same of many, which are looked up together. The places where the status changed."""
    known = {item.place: item for item in await transaction.list(ModelAccess)}
    added = [place for place in places if place not in known]
    changed = [
        replace(known[place], record=record)
        for place in places
        if place in known and known[place].record.status != record.status
    ]
    await transaction.add_all(record, added)
    for item in changed:
        await transaction.put(item)
    return [*added, *(item.place for item in changed)]


def accounts_without(models: Mirror, accounts: Iterable[str]) -> list[str]:
    """Those that were granted no model anywhere."""
    granted = {
        item.place.account for item in models.list(ModelAccess) if item.record.status == "granted"
    }
    return [account for account in accounts if account not in granted]
