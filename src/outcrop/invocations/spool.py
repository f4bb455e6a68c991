"""Collects log records into batches: on disk at once, delivered some seconds later.

A batch's row is written in the transaction that takes the records from the journal, and says how
much of the batch's file counts. So no record is lost, and none is there twice.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from outcrop.invocations.batches import (
    BatchFiles,
    Frame,
    Part,
    StoredBatch,
    add_batch,
    find_open,
    framed,
    list_ids,
    put_batch,
)
from outcrop.invocations.configurations import find_logging
from outcrop.invocations.records import Batch, is_logged, render
from outcrop.jobs.queue import submit
from outcrop.journal.records import CallRecord
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import LoggingConfiguration
from outcrop.stores.resources import Transaction
from outcrop.stores.tables import from_ms, now_ms

OPEN_MS: Final = 5_000
MOST_RECORDS: Final = 1_000
MOST_BYTES: Final = 5 * 1024 * 1024
"""Of records: a batch's last one may lie beyond. Bodies beside the records do not count."""

KINDS: Final[dict[Part, str]] = {
    "s3": "invocations:s3",
    "s3-data": "invocations:s3-data",
    "logs": "invocations:logs",
    "logs-data": "invocations:logs-data",
}
"""The kind of the job that delivers a part. A broken destination holds up no other one."""

_ID_BYTES: Final = 8


class InvocationSpool:
    """A sink of the journal. ``models`` tells how an account logs; ``clock`` milliseconds since
    1970."""

    def __init__(self, folder: Path, models: Mirror, *, clock: Callable[[], int] = now_ms) -> None:
        self._files = BatchFiles(folder)
        self._models = models
        self._clock = clock
        self._uncommitted: set[str] = set()
        self._is_swept = False

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        await self._sweep(transaction)
        for (account, region), own in _by_owner(records).items():
            configuration = find_logging(self._models, account, region)
            # Taken away while the call went on: there is nowhere to put it.
            if configuration is not None:
                await self._take(account, region, own, configuration, transaction)

    def taken(self) -> None:
        self._uncommitted.clear()

    async def _take(
        self,
        account: str,
        region: str,
        records: list[CallRecord],
        configuration: LoggingConfiguration,
        transaction: Transaction,
    ) -> None:
        connection = transaction.connection
        batch = await find_open(connection, account, region)
        at = 0
        while at < len(records):
            if batch is None or not self._takes_more(batch, configuration):
                if batch is not None:
                    await put_batch(connection, replace(batch, is_open=False))
                batch = self._new(account, region, configuration)
            before, keep = batch.waiting, put_batch if batch.records else add_batch
            batch, taken = await asyncio.to_thread(self._write, batch, records[at:])
            at += taken
            batch = replace(batch, waiting=batch.parts())
            await keep(connection, batch)
            await _submit(transaction, batch, before)

    def _takes_more(self, batch: StoredBatch, configuration: LoggingConfiguration) -> bool:
        return (
            batch.configuration == configuration
            and batch.records < MOST_RECORDS
            and batch.bytes < MOST_BYTES
            and self._clock() < batch.began_at_ms + OPEN_MS
        )

    def _new(self, account: str, region: str, configuration: LoggingConfiguration) -> StoredBatch:
        batch_id = secrets.token_hex(_ID_BYTES)
        self._uncommitted.add(batch_id)
        return StoredBatch(
            id=batch_id,
            account=account,
            region=region,
            began_at_ms=self._clock(),
            records=0,
            bytes=0,
            large=0,
            events_put=0,
            events_taken=0,
            is_open=True,
            configuration=configuration,
            waiting=(),
        )

    def _write(self, batch: StoredBatch, records: Sequence[CallRecord]) -> tuple[StoredBatch, int]:
        """As many as there is room for, and at least one."""
        frames: list[bytes] = []
        place, room, large = batch.place, MOST_BYTES - batch.bytes, 0
        for record in records[: MOST_RECORDS - batch.records]:
            frame = self._frame(batch, place, record)
            frames.append(framed(frame))
            large += len(frame.large)
            room -= len(frames[-1])
            if room <= 0:
                break
        self._files.append(batch, frames)
        grown = replace(
            batch,
            records=batch.records + len(frames),
            bytes=MOST_BYTES - room,
            large=batch.large + large,
        )
        return grown, len(frames)

    def _frame(self, batch: StoredBatch, place: Batch, record: CallRecord) -> Frame:
        rendered = render(record, batch.configuration, place)
        event = b"" if rendered.event is rendered.line else rendered.event
        for large, body in rendered.large:
            self._files.put_large(batch.id, large, body)
        names = tuple(large for large, _ in rendered.large)
        return Frame(record.request_id, record.began_ms, rendered.line, event, names)

    async def _sweep(self, transaction: Transaction) -> None:
        """Files whose batches were never committed, or have been delivered."""
        if self._is_swept and not self._uncommitted:
            return
        kept = await list_ids(transaction.connection)
        found = self._uncommitted if self._is_swept else await asyncio.to_thread(self._files.ids)
        for batch_id in found - kept:
            await asyncio.to_thread(self._files.remove, batch_id)
        self._uncommitted.clear()
        self._is_swept = True


async def _submit(transaction: Transaction, batch: StoredBatch, before: Sequence[Part]) -> None:
    """The deliveries of the parts that are new."""
    closes_at = from_ms(batch.began_at_ms + OPEN_MS)
    for part in batch.waiting:
        if part not in before:
            payload = {"batch": batch.id, "part": part}
            subject = batch.destination(part)
            await submit(transaction, KINDS[part], subject, payload, not_before=closes_at)


def _by_owner(records: Sequence[CallRecord]) -> dict[tuple[str, str], list[CallRecord]]:
    """Those that are logged, by account and region."""
    found: dict[tuple[str, str], list[CallRecord]] = {}
    for record in filter(is_logged, records):
        found.setdefault((record.account, record.region), []).append(record)
    return found
