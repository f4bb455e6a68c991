"""Delivers batches of log records: gzip of JSON lines to buckets, events to log groups.

Each part of a batch is tried for a day and counted once, when it has ended: by record, or by object
of what is large. What is put twice has the same key, or is a part that has ended.
"""

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

from outcrop.invocations.batches import (
    BatchFiles,
    Frame,
    Part,
    StoredBatch,
    find_batch,
    put_batch,
    remove_batch,
)
from outcrop.invocations.configurations import batch_name, hour_folder
from outcrop.invocations.records import Large, data_key
from outcrop.invocations.spool import KINDS
from outcrop.jobs.delivery import Clock, NotDelivered, delivery, now
from outcrop.jobs.queue import Job, JobKind
from outcrop.stores.failures import StoreError
from outcrop.stores.model_records import LogBucket, LogGroup
from outcrop.stores.resources import Resources, Transaction

log = logging.getLogger(__name__)

METRICS: Final[Mapping[Part, str]] = {
    "s3": "ModelInvocationLogsS3Delivery",
    "s3-data": "ModelInvocationLargeDataS3Delivery",
    "logs": "ModelInvocationLogsCloudWatchDelivery",
    "logs-data": "ModelInvocationLargeDataS3Delivery",
}
"""With ``Success`` or ``Failure`` behind."""

_JSON: Final = "application/json"
# Limits of one PutLogEvents, which counts 26 bytes for each event besides its message. What a
# server that was killed left in its journal may lie days before what it answers once it is back.
_MOST_EVENTS: Final = 10_000
_MOST_EVENT_BYTES: Final = 1_048_576
_EVENT_OVERHEAD_BYTES: Final = 26
_LONGEST_SPAN_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class LogEvent:
    at_ms: int
    message: str


class Destinations(Protocol):
    """What is put is put as Bedrock, acting for the account. Raise ``NotDelivered``."""

    async def put_object(
        self,
        owner: tuple[str, str],
        bucket: str,
        key: str,
        body: bytes,
        content_type: str,
    ) -> None:
        """``owner`` is account and region; ``body`` is compressed with gzip."""
        ...

    async def put_events(
        self, owner: tuple[str, str], group: LogGroup, events: Sequence[LogEvent], once: str
    ) -> int:
        """In the order of their times. How many were taken: others were too old for the group.
        What comes again under the same ``once`` is there one time."""
        ...


Counted = Callable[[Transaction, tuple[str, str], str, int], Awaitable[None]]
"""Told of account and region, a metric's name and how many, in the transaction that ends a part."""


class Deliveries:
    """``clock`` decides when a day is over."""

    def __init__(
        self,
        folder: Path,
        resources: Resources,
        destinations: Destinations,
        counted: Counted,
        *,
        clock: Clock = now,
    ) -> None:
        self._files = BatchFiles(folder)
        self._resources = resources
        self._destinations = destinations
        self._counted = counted
        self._clock = clock

    def job_kinds(self) -> Mapping[str, JobKind]:
        kind = delivery(self._run, self._lost, clock=self._clock)
        return dict.fromkeys(KINDS.values(), kind)

    async def _run(self, job: Job) -> None:
        try:
            await self._deliver(job)
        except (StoreError, SQLAlchemyError, OSError) as error:
            # Not the destination's fault, and no reason either to give up sooner.
            raise NotDelivered(f"{type(error).__name__}: {error}") from error

    async def _deliver(self, job: Job) -> None:
        batch, part = await self._close(job)
        if batch is None:
            return
        done = 0
        match part:
            case "s3":
                done = await self._put_records(batch)
            case "s3-data" | "logs-data":
                done = await self._put_large(batch, part)
            case "logs":
                done = await self._put_events(batch)
        await self._end(batch.id, part, done)

    async def _lost(self, job: Job, error: str) -> None:
        batch, part = await self._close(job)
        if batch is None:
            return
        done = batch.events_taken if part == "logs" else 0
        what = "large bodies" if part.endswith("-data") else "invocation log records"
        log.error(
            "%d %s of %s in %s are lost, %s did not take them: %s",
            _size(batch, part) - done,
            what,
            batch.account,
            batch.region,
            job.subject,
            error,
        )
        await self._end(batch.id, part, done)

    async def _close(self, job: Job) -> tuple[StoredBatch | None, Part]:
        """The job's batch, which takes no more records from now on, where the part has not ended
        already."""
        batch_id, part = str(job.payload["batch"]), job.payload["part"]
        async with self._resources.reading() as view:
            batch = await find_batch(view.connection, batch_id)
        if batch is not None and batch.is_open:
            async with self._resources.writing() as transaction:
                batch = await find_batch(transaction.connection, batch_id)
                if batch is not None:
                    batch = replace(batch, is_open=False)
                    await put_batch(transaction.connection, batch)
        if batch is None:
            await asyncio.to_thread(self._files.remove, batch_id)
        return (batch if batch is not None and part in batch.waiting else None), part

    async def _end(self, batch_id: str, part: Part, done: int) -> None:
        """Counts what became of the part, once; the last one takes the batch's files along."""
        async with self._resources.writing() as transaction:
            batch = await find_batch(transaction.connection, batch_id)
            if batch is None or part not in batch.waiting:
                return
            waiting = tuple(each for each in batch.waiting if each != part)
            if waiting:
                await put_batch(transaction.connection, replace(batch, waiting=waiting))
            else:
                await remove_batch(transaction.connection, batch_id)
            owner, failed = (batch.account, batch.region), _size(batch, part) - done
            for outcome, number in (("Success", done), ("Failure", failed)):
                if number:
                    await self._counted(transaction, owner, f"{METRICS[part]}{outcome}", number)
        if not waiting:
            await asyncio.to_thread(self._files.remove, batch_id)

    async def _put_records(self, batch: StoredBatch) -> int:
        bucket = _bucket(batch, "s3")
        body = await asyncio.to_thread(self._lines, batch)
        hour = hour_folder(bucket, batch.account, batch.region, batch.began_at_ms)
        key = f"{hour}{batch_name(batch.began_at_ms, batch.id)}"
        owner = (batch.account, batch.region)
        await self._destinations.put_object(owner, bucket.bucket, key, body, _JSON)
        return batch.records

    def _lines(self, batch: StoredBatch) -> bytes:
        lines = [frame.line for frame in self._files.read(batch)]
        return _zipped(b"".join(line + b"\n" for line in lines))

    async def _put_large(self, batch: StoredBatch, part: Part) -> int:
        bucket, owner = _bucket(batch, part), (batch.account, batch.region)
        frames = await asyncio.to_thread(self._files.read, batch)
        every = [large for frame in frames for large in frame.large]
        for large in every:
            body = await asyncio.to_thread(self._zipped_large, batch, large)
            key = data_key(bucket, batch.place, large)
            await self._destinations.put_object(owner, bucket.bucket, key, body, large.content_type)
        return len(every)

    def _zipped_large(self, batch: StoredBatch, large: Large) -> bytes:
        return _zipped(self._files.read_large(batch, large))

    async def _put_events(self, batch: StoredBatch) -> int:
        group = batch.configuration.group
        if group is None:
            raise NotDelivered("the batch goes to no log group")
        frames = await asyncio.to_thread(self._files.read, batch)
        events = sorted(map(_event, frames), key=lambda event: event.at_ms)
        put, taken = batch.events_put, batch.events_taken
        owner = (batch.account, batch.region)
        for some in _requests(events[put:]):
            once = f"{batch.id}-{put}"
            taken += await self._destinations.put_events(owner, group, some, once)
            put += len(some)
            await self._keep_progress(batch.id, put, taken)
        return taken

    async def _keep_progress(self, batch_id: str, put: int, taken: int) -> None:
        async with self._resources.writing() as transaction:
            batch = await find_batch(transaction.connection, batch_id)
            if batch is not None:
                kept = replace(batch, events_put=put, events_taken=taken)
                await put_batch(transaction.connection, kept)


def _size(batch: StoredBatch, part: Part) -> int:
    return batch.large if part.endswith("-data") else batch.records


def _bucket(batch: StoredBatch, part: Part) -> LogBucket:
    bucket = batch.bucket(part)
    if bucket is None:
        raise NotDelivered("the batch goes to no bucket")
    return bucket


def _zipped(content: bytes) -> bytes:
    # Without the time, so that each try puts the same bytes.
    return gzip.compress(content, mtime=0)


def _event(frame: Frame) -> LogEvent:
    return LogEvent(frame.at_ms, (frame.event or frame.line).decode())


def _requests(events: Sequence[LogEvent]) -> Iterator[list[LogEvent]]:
    """As many at a time as one request may hold."""
    some: list[LogEvent] = []
    size = 0
    for event in events:
        own = len(event.message.encode()) + _EVENT_OVERHEAD_BYTES
        is_full = len(some) == _MOST_EVENTS or size + own > _MOST_EVENT_BYTES
        if some and (is_full or event.at_ms - some[0].at_ms > _LONGEST_SPAN_MS):
            yield some
            some, size = [], 0
        some.append(event)
        size += own
    if some:
        yield some
