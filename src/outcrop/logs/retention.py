"""Removes events whose time is over, and those of groups and streams that were deleted.

It works in small pieces, so that others write in between. Whoever reads leaves out what is too old
already before it is removed.
"""

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from outcrop.stores.log_records import LogGroup, RemovedEvents
from outcrop.stores.periodic import Periodic
from outcrop.stores.resources import Item, Resources, Transaction
from outcrop.stores.tables import log_events, log_streams, now_ms

DAY_MS: Final = 24 * 3600 * 1000
_PIECE: Final = 2000


def oldest_ms(retention_days: int | None, now: int) -> int:
    """The time of the oldest event that still counts."""
    return 0 if retention_days is None else max(0, now - retention_days * DAY_MS)


class Retention:
    def __init__(
        self,
        resources: Resources,
        clock_ms: Callable[[], int] = now_ms,
        *,
        interval_s: float = 600.0,
    ) -> None:
        self._resources = resources
        self._clock_ms = clock_ms
        self._periodic = Periodic("Removing old log events", self.prune, interval_s)

    def start(self) -> None:
        self._periodic.start()

    async def close(self) -> None:
        await self._periodic.close()

    async def prune(self) -> int:
        """How many events went."""
        async with self._resources.reading() as view:
            groups = await view.list(LogGroup)
            removed = await view.list(RemovedEvents)
        pruned = 0
        for each in removed:
            pruned += await self._remove(each)
        for group in groups:
            oldest = oldest_ms(group.record.retention_days, self._clock_ms())
            if oldest > 0:
                of_group = log_events.c.log_group == group.record.id
                pruned += await self._delete(of_group & (log_events.c.at_ms < oldest))
        return pruned

    async def _remove(self, item: Item[RemovedEvents]) -> int:
        record = item.record
        condition = (
            log_events.c.log_group == record.group
            if record.group is not None
            else log_events.c.stream == record.stream
        )
        pruned = await self._delete(condition)
        if not self._periodic.is_closing:
            async with self._resources.writing() as transaction:
                if await transaction.find(RemovedEvents, item.place) is not None:
                    await transaction.remove(RemovedEvents, item.place)
        return pruned

    async def _delete(self, condition: sa.ColumnElement[bool]) -> int:
        pruned = 0
        while not self._periodic.is_closing:
            async with self._resources.writing() as transaction:
                size = await _delete_piece(transaction, condition)
            pruned += size
            if size < _PIECE:
                break
        return pruned


async def _delete_piece(transaction: Transaction, condition: sa.ColumnElement[bool]) -> int:
    piece = sa.select(log_events.c.id).where(condition).limit(_PIECE)
    deleted = await transaction.connection.execute(
        sa.delete(log_events)
        .where(log_events.c.id.in_(piece))
        .returning(log_events.c.stream, log_events.c.counted_bytes)
    )
    rows = deleted.all()
    freed: dict[int, int] = {}
    for stream, size_bytes in rows:
        freed[stream] = freed.get(stream, 0) + size_bytes
    for stream, size_bytes in freed.items():
        await transaction.connection.execute(
            sa.update(log_streams)
            .where(log_streams.c.id == stream)
            .values(
                stored_bytes=log_streams.c.stored_bytes - size_bytes,
                first_event_ms=_edge(sa.func.min, stream),
                last_event_ms=_edge(sa.func.max, stream),
            )
        )
    return len(rows)


def _edge(function: Any, stream: int) -> Any:
    return (
        sa.select(function(log_events.c.at_ms))
        .where(log_events.c.stream == stream)
        .scalar_subquery()
    )
