"""How far a trail has got, as it is kept beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from outcrop.stores.resources import Item, Place, Transaction, View
from outcrop.stores.tables import jobs, trail_events
from outcrop.stores.trail_records import Link, LogFile, Trail, TrailState
from outcrop.trail.files import SIGNATURE_ALGORITHM
from outcrop.trail.verifying import Stored

FILE_KIND = "trail-file"
"""The kind of jobs that deliver log files."""
DIGEST_KIND = "trail-digest"

_OPEN = ("waiting", "running", "failing")


async def read_state(view: View, place: Place) -> TrailState:
    item = await view.find(TrailState, place)
    return item.record if item else TrailState()


async def change_state(transaction: Transaction, place: Place, **changes: Any) -> TrailState:
    item = await transaction.find(TrailState, place)
    if item is None:
        made = msgspec.structs.replace(TrailState(), **changes)
        await transaction.add(made, place)
        return made
    changed = msgspec.structs.replace(item.record, **changes)
    if changed != item.record:
        await transaction.put(Item(changed, place, item.parent, item.arn, item.tags))
    return changed


async def last_event(view: View) -> int:
    return await view.connection.scalar(sa.select(sa.func.max(trail_events.c.seq))) or 0


async def has_open_files(view: View, trail_arn: str) -> bool:
    open_ones = sa.select(jobs.c.id).where(
        jobs.c.kind == FILE_KIND, jobs.c.subject == trail_arn, jobs.c.state.in_(_OPEN)
    )
    return (await view.connection.execute(open_ones.limit(1))).first() is not None


@dataclass(frozen=True, slots=True)
class Chain:
    """What a trail's digests must be: the newest of each region, and those that are made and still
    to be delivered, by bucket and key."""

    newest: Mapping[str, Link] = field(default_factory=dict[str, Link])
    pending: Mapping[tuple[str, str], Stored] = field(default_factory=dict[tuple[str, str], Stored])


async def read_chain(view: View, trail: Item[Trail]) -> Chain:
    state = await read_state(view, trail.place)
    query = sa.select(jobs.c.payload).where(
        jobs.c.kind == DIGEST_KIND, jobs.c.subject == (trail.arn or ""), jobs.c.state.in_(_OPEN)
    )
    pending: dict[tuple[str, str], Stored] = {}
    for row in await view.connection.execute(query):
        told = msgspec.json.decode(row.payload, type=dict[str, str])
        metadata = {
            "signature": told["signature"],
            "signature-algorithm": SIGNATURE_ALGORITHM,
        }
        pending[told["bucket"], told["key"]] = Stored(told["content"].encode(), metadata)
    return Chain(state.links, pending)


async def forget_chain(transaction: Transaction, trail: Item[Trail]) -> None:
    """No digest will follow those that there are: the next one begins a chain of its own."""
    for file in await transaction.list(LogFile, account=trail.place.account, parent=trail.arn):
        await transaction.remove(LogFile, file.place)
    await change_state(transaction, trail.place, links={}, digested_at=None)
