"""Removes events whose time is over, and those of groups and streams that were deleted.

It works in small pieces, so that others write in between. Whoever reads leaves out what is too old
already before it is removed.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from outcrop.stores.failures import StoreError
from outcrop.stores.log_records import LogGroup, RemovedEvents
from outcrop.stores.resources import Item, Resources, Transaction
from outcrop.stores.tables import log_events, log_streams, now_ms

log = logging.getLogger(__name__)

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
        self._interval_s = interval_s
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="outcrop-logs-retention")
        self._task.add_done_callback(_tell_of_death)

    async def close(self) -> None:
        self._closing.set()
        if self._task is not None:
            await self._task
            self._task = None

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

    async def _run(self) -> None:
        while not self._closing.is_set():
            try:
                await self.prune()
            except (StoreError, SQLAlchemyError) as error:
                log.warning("log events that are too old are not removed: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._interval_s)

    async def _remove(self, item: Item[RemovedEvents]) -> int:
        record = item.record
        condition = (
            log_events.c.log_group == record.group
            if record.group is not None
            else log_events.c.stream == record.stream
        )
        pruned = await self._delete(condition)
        if not self._closing.is_set():
            async with self._resources.writing() as transaction:
                if await transaction.find(RemovedEvents, item.place) is not None:
                    await transaction.remove(RemovedEvents, item.place)
        return pruned

    async def _delete(self, condition: sa.ColumnElement[bool]) -> int:
        pruned = 0
        while not self._closing.is_set():
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


def _tell_of_death(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.critical("log events that are too old are no longer removed", exc_info=error)
