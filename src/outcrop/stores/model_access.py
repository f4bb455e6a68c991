"""Writes which models accounts may use: a removed access is kept, since it says no as well."""

from collections.abc import Sequence
from dataclasses import replace

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
    changed: list[Place] = []
    for place in places:
        found = known.get(place)
        if found is None:
            await transaction.add(record, place)
        elif found.record.status != record.status:
            await transaction.put(replace(found, record=record))
        else:
            continue
        changed.append(place)
    return changed
