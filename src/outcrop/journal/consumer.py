"""Takes the records of the journal into the database: each once, whatever dies in between.

Where the consumer stands is written in the transaction that holds what its sinks made of the
records, so neither goes without the other.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from outcrop.journal.files import START, Journal, Position
from outcrop.journal.records import CallRecord, decode
from outcrop.stores.database import DatabaseUnusable
from outcrop.stores.failures import StoreError
from outcrop.stores.resources import Resources, Transaction
from outcrop.stores.tables import journal_cursor

log = logging.getLogger(__name__)

_POLL_S: Final = 0.5
_BATCH_BYTES: Final = 1024 * 1024
_NAME: Final = "calls"


class Sink(Protocol):
    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        """Writes what it makes of the records. It is asked again with the same ones where the
        transaction fails, so nothing is kept elsewhere before ``taken``."""
        ...

    def taken(self) -> None:
        """What ``take`` wrote last is committed."""
        ...


class Consumer:
    def __init__(
        self, journal: Journal, resources: Resources, sinks: Sequence[Sink], poll_s: float = _POLL_S
    ) -> None:
        self._journal = journal
        self._resources = resources
        self._sinks = sinks
        self._poll_s = poll_s
        self._position: Position | None = None
        self._taking = asyncio.Lock()
        self._closing = asyncio.Event()
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="outcrop-journal")
        self._task.add_done_callback(_tell_of_death)

    async def close(self) -> None:
        """Takes what is there. Where the database fails, the next start does."""
        self._closing.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self._try_to_catch_up()

    async def catch_up(self) -> None:
        """Until everything that was appended before is in the database. A request that waits for
        it may be cancelled in the middle of a commit, of which nobody knew then: so what has
        begun goes on without it."""
        await asyncio.shield(asyncio.create_task(self._catch_up()))

    async def _catch_up(self) -> None:
        async with self._taking:
            end = self._journal.end
            while (await self._find_position()) < end:
                if not await self._take():
                    return

    async def count_backlog_bytes(self) -> int:
        """What is not in the database yet."""
        async with self._taking:
            # What is read while a commit goes on is old by then, and would be taken once more.
            position = await self._find_position()
        return await asyncio.to_thread(self._journal.bytes_after, position)

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self._try_to_catch_up()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._closing.wait()

    async def _try_to_catch_up(self) -> None:
        try:
            await self.catch_up()
        except (StoreError, SQLAlchemyError, OSError) as error:
            if not self._failing:
                log.warning("the journal is not read, and kept until it can be: %s", error)
            self._failing = True
            return
        if self._failing:
            log.warning("the journal is read again")
        self._failing = False

    async def _find_position(self) -> Position:
        if self._position is None:
            async with self._resources.reading() as view:
                row = (
                    await view.connection.execute(
                        sa.select(journal_cursor).where(journal_cursor.c.name == _NAME)
                    )
                ).first()
            found = Position(row.segment, row.offset) if row else START
            self._position = self._within(found)
        return self._position

    def _within(self, position: Position) -> Position:
        """The journal may be an older one than the database's, or a new one: what this process
        appended is new in any case."""
        if position <= self._journal.opened_at:
            return position
        log.warning("the journal ends before what was read of it; reading begins with this start")
        return self._journal.opened_at

    async def _take(self) -> bool:
        before = await self._find_position()
        # Here, where it is appended: a thread may see a new segment with the old one's size.
        end = self._journal.end
        raw, after = await asyncio.to_thread(self._journal.read, before, _BATCH_BYTES, end)
        if after == before:
            return False
        records = [record for each in raw if (record := _decoded(each)) is not None]
        sinks = self._sinks if records else ()
        # Of a commit that fails nobody knows whether it took place; the database does.
        self._position = None
        async with self._resources.writing() as transaction:
            for sink in sinks:
                await _give(sink, records, transaction)
            await _keep(transaction, after)
        self._position = after
        for sink in sinks:
            sink.taken()
        await asyncio.to_thread(self._journal.forget_before, after)
        return True


async def _give(sink: Sink, records: Sequence[CallRecord], transaction: Transaction) -> None:
    """A bug in one sink costs it these records, and no other sink anything."""
    try:
        async with transaction.connection.begin_nested():
            await sink.take(records, transaction)
    except (DatabaseUnusable, OperationalError, InterfaceError, OSError):
        # Of the database or the disk: all is tried again when they work.
        raise
    except Exception:
        # The last resort, as of a request: what is wrong is logged whole, and the rest goes on.
        log.exception("%d records were lost to %s", len(records), type(sink).__name__)


async def _keep(transaction: Transaction, position: Position) -> None:
    values = {"segment": position.segment, "offset": position.offset}
    written = await transaction.connection.execute(
        sa.update(journal_cursor).where(journal_cursor.c.name == _NAME).values(**values)
    )
    if written.rowcount == 0:
        await transaction.connection.execute(sa.insert(journal_cursor).values(name=_NAME, **values))


def _decoded(raw: bytes) -> CallRecord | None:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        log.exception("a record of the journal cannot be read; it is passed over")
        return None


def _tell_of_death(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.critical("the journal is no longer read", exc_info=error)
