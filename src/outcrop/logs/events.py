"""Log events in their table: appended, once if need be, and read in the order of their time.

Events of one millisecond stand in the order in which they came; a position is between two events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.logs.streams import Stream
from outcrop.stores.resources import Transaction
from outcrop.stores.tables import log_events, log_streams

OVERHEAD_BYTES: Final = 26
"""What AWS counts for an event besides its message."""
MOST_BYTES_READ: Final = 8 * 1024 * 1024
"""At once: an event may have one MiB."""
_AT_ONCE: Final = 500


class Position(NamedTuple):
    at_ms: int
    id: int


@dataclass(frozen=True, slots=True)
class NewEvent:
    """``message`` is UTF-8, sealed where the group has a key; ``size_bytes`` is what it was."""

    at_ms: int
    message: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class KeptEvent:
    id: int
    stream: int
    at_ms: int
    ingested_ms: int
    message: bytes
    data_key: str

    @property
    def position(self) -> Position:
        return Position(self.at_ms, self.id)


async def append(
    transaction: Transaction,
    stream: Stream,
    group_id: int,
    events: Sequence[NewEvent],
    *,
    now_ms: int,
    data_key: str = "",
    once: Sequence[str] | None = None,
) -> list[int | None]:
    """The IDs of the events. With ``once``, one key an event, what the stream has under its key is
    not written again: its ID is None. ``data_key`` names what sealed the messages."""
    keys: Sequence[str | None] = once if once is not None else [None] * len(events)
    known = await _known(transaction, stream, once or ())
    new = [
        (number, _row(stream, group_id, event, now_ms, data_key, key))
        for number, (event, key) in enumerate(zip(events, keys, strict=True))
        if key is None or key not in known
    ]
    ids: list[int | None] = [None] * len(events)
    if not new:
        return ids
    written = await transaction.connection.execute(
        sa.insert(log_events).returning(log_events.c.id, sort_by_parameter_order=True),
        [row for _, row in new],
    )
    for (number, _), event_id in zip(new, written.scalars(), strict=True):
        ids[number] = event_id
    await _count(transaction.connection, stream, [row for _, row in new], now_ms)
    return ids


async def read_events(
    connection: AsyncConnection,
    of: sa.ColumnElement[bool],
    *,
    start_ms: int,
    end_ms: int | None = None,
    seen: Position | None = None,
    backward: bool = False,
    limit: int,
) -> list[KeptEvent]:
    """``of`` is ``of_stream``, ``of_group`` or ``of_streams``. From ``start_ms`` to before
    ``end_ms``, past ``seen``; backward they come latest first. No more than ``limit``, and of
    large ones fewer, so that memory is bounded: only none at all says that it was all."""
    place = sa.tuple_(log_events.c.at_ms, log_events.c.id)
    query = sa.select(log_events.c.id, log_events.c.counted_bytes)
    query = query.where(of, log_events.c.at_ms >= start_ms)
    if end_ms is not None:
        query = query.where(log_events.c.at_ms < end_ms)
    if seen is not None:
        # The time alone bounds the index; the tuple is exact.
        bound = log_events.c.at_ms <= seen.at_ms if backward else log_events.c.at_ms >= seen.at_ms
        there = sa.tuple_(sa.literal(seen.at_ms), sa.literal(seen.id))
        query = query.where(bound, place < there if backward else place > there)
    order = (log_events.c.at_ms, log_events.c.id)
    query = query.order_by(*(column.desc() if backward else column for column in order))
    sizes = (await connection.execute(query.limit(limit))).all()
    ids: list[int] = []
    size_bytes = 0
    for event_id, counted_bytes in sizes:
        size_bytes += counted_bytes
        if ids and size_bytes > MOST_BYTES_READ:
            break
        ids.append(event_id)
    found: dict[int, KeptEvent] = {}
    for first in range(0, len(ids), _AT_ONCE):
        some = sa.select(log_events).where(log_events.c.id.in_(ids[first : first + _AT_ONCE]))
        rows = (await connection.execute(some)).mappings()
        found.update((row["id"], _kept(row)) for row in rows)
    return [found[event_id] for event_id in ids]


async def read_ids(
    connection: AsyncConnection, group_id: int, ids: Sequence[int], ingested_ms: int
) -> list[KeptEvent]:
    """Those of the IDs that are still there, in the order of their time."""
    found: list[KeptEvent] = []
    for first in range(0, len(ids), _AT_ONCE):
        query = sa.select(log_events).where(
            log_events.c.id.in_(ids[first : first + _AT_ONCE]),
            # An ID may have been given again since.
            log_events.c.log_group == group_id,
            log_events.c.ingested_ms == ingested_ms,
        )
        found += [_kept(row) for row in (await connection.execute(query)).mappings()]
    return sorted(found, key=lambda event: event.position)


def of_stream(stream: int) -> sa.ColumnElement[bool]:
    return log_events.c.stream == stream


def of_streams(streams: Sequence[int]) -> sa.ColumnElement[bool]:
    return log_events.c.stream.in_(streams)


def of_group(group_id: int) -> sa.ColumnElement[bool]:
    return log_events.c.log_group == group_id


async def _known(transaction: Transaction, stream: Stream, once: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for first in range(0, len(once), _AT_ONCE):
        query = sa.select(log_events.c.once).where(
            log_events.c.stream == stream.id,
            log_events.c.once.in_(once[first : first + _AT_ONCE]),
        )
        found.update((await transaction.connection.execute(query)).scalars())
    return found


def _row(
    stream: Stream, group_id: int, event: NewEvent, now_ms: int, data_key: str, once: str | None
) -> dict[str, Any]:
    return {
        "stream": stream.id,
        "log_group": group_id,
        "at_ms": event.at_ms,
        "ingested_ms": now_ms,
        "counted_bytes": event.size_bytes + OVERHEAD_BYTES,
        "message": event.message,
        "data_key": data_key,
        "once": once,
    }


async def _count(
    connection: AsyncConnection, stream: Stream, rows: Sequence[dict[str, Any]], now_ms: int
) -> None:
    times = [row["at_ms"] for row in rows]
    first, last = log_streams.c.first_event_ms, log_streams.c.last_event_ms
    await connection.execute(
        sa.update(log_streams)
        .where(log_streams.c.id == stream.id)
        .values(
            first_event_ms=sa.func.min(sa.func.coalesce(first, min(times)), min(times)),
            last_event_ms=sa.func.max(sa.func.coalesce(last, max(times)), max(times)),
            last_ingested_ms=now_ms,
            stored_bytes=log_streams.c.stored_bytes + sum(row["counted_bytes"] for row in rows),
        )
    )


def _kept(row: Any) -> KeptEvent:
    return KeptEvent(
        row["id"], row["stream"], row["at_ms"], row["ingested_ms"], row["message"], row["data_key"]
    )
