"""Deliveries of trails: log files and digests to buckets, notices to topics, events to log groups.

Each is tried again for a day. What is put keeps its key, so that a second time changes nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from outcrop.errors import AWSError
from outcrop.identity import Caller
from outcrop.jobs.delivery import Clock, NotDelivered, delivery, now as system_now
from outcrop.jobs.queue import Job, JobKind, submit
from outcrop.services.background import Background
from outcrop.services.service_callers import CLOUDTRAIL, service_caller
from outcrop.services.service_roles import RoleNotAssumable, ServiceRole, assume
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place
from outcrop.stores.tables import from_ms, trail_events
from outcrop.stores.trail_records import LogFile, Trail
from outcrop.trail.files import SIGNATURE_ALGORITHM, compress, render_file, sha256
from outcrop.trail.selection import condition, find_last_within, folder_region, takes
from outcrop.trail.states import DIGEST_KIND, FILE_KIND, change_state
from outcrop.wire import json

NOTICE_KIND: Final = "trail-notice"
LOGS_KIND: Final = "trail-logs"

_LOG_BATCH_EVENTS: Final = 5_000
_LOG_BATCH_BYTES: Final = 900_000
_LOG_EVENT_BYTES: Final = 26
"""What an event counts besides its text, and how large it may be (PutLogEvents)."""
_LOG_EVENT_MOST_BYTES: Final = 256 * 1024 - _LOG_EVENT_BYTES

_events = trail_events.c


@dataclass(frozen=True, slots=True)
class _Row:
    seq: int
    at_ms: int
    body: bytes


class Deliveries:
    def __init__(self, stores: Stores, background: Background, clock: Clock) -> None:
        self._stores = stores
        self._background = background
        self._clock = clock

    async def put_file(self, job: Job) -> None:
        trail = await self._find(job)
        if trail is None:
            return
        found = await self._rows(trail, job.payload)
        rows, content, checksum = await asyncio.to_thread(_rendered, trail, found)
        if not rows:
            return
        await self._put(trail, job, content, {}, "delivery_error")
        times = [row.at_ms for row in rows]
        file = LogFile(
            bucket=job.payload["bucket"],
            key=job.payload["key"],
            sha256=checksum,
            oldest_at=from_ms(min(times)),
            newest_at=from_ms(max(times)),
        )
        await self._delivered(trail, job.payload["region"], file)

    async def put_digest(self, job: Job) -> None:
        trail = await self._find(job)
        if trail is None:
            return
        metadata = {
            "signature": job.payload["signature"],
            "signature-algorithm": SIGNATURE_ALGORITHM,
        }
        content = job.payload["content"].encode()
        await self._put(trail, job, content, metadata, "digest_error")
        await self._note(trail, digest_delivered_at=self._clock(), digest_error="")

    async def notify(self, job: Job) -> None:
        trail = await self._find(job)
        if trail is None or trail.record.topic_arn is None:
            return
        told = {"s3Bucket": job.payload["bucket"], "s3ObjectKey": [job.payload["key"]]}
        message = {"TopicArn": trail.record.topic_arn, "Message": json.encode(told).decode()}
        now = self._clock()
        try:
            await self._background.perform(_acting_for(trail), "sns", "Publish", message)
        except AWSError as error:
            await self._note(trail, notification_error=error.code, notification_tried_at=now)
            raise NotDelivered(f"{error.code}: {error.message}") from error
        await self._note(trail, notification_error="", notification_tried_at=now, notified_at=now)

    async def put_log_events(self, job: Job) -> None:
        """One batch; what is left is a job of its own, so that a failure repeats no batch."""
        trail = await self._find(job)
        if trail is None or trail.record.log_group is None or trail.record.log_role is None:
            return
        rows = await self._rows(trail, job.payload, most=_LOG_BATCH_EVENTS)
        batch = _batch(rows)
        taken = _taken(trail, batch)
        if taken:
            await self._put_batch(trail, trail.record.log_group, trail.record.log_role, taken)
        async with self._stores.resources.writing() as transaction:
            if taken:
                now = self._clock()
                await change_state(transaction, trail.place, logs_error="", logs_delivered_at=now)
            if batch:
                rest = {**job.payload, "first": batch[-1].seq + 1}
                await submit(transaction, LOGS_KIND, job.subject, rest)

    async def lost_file(self, job: Job, message: str) -> None:
        await self._lost(job, delivery_error=message)

    async def lost_digest(self, job: Job, message: str) -> None:
        await self._lost(job, digest_error=message)

    async def lost_notice(self, job: Job, message: str) -> None:
        await self._lost(job, notification_error=message)

    async def lost_log_events(self, job: Job, message: str) -> None:
        await self._lost(job, logs_error=message)

    async def _lost(self, job: Job, **changes: Any) -> None:
        trail = await self._find(job)
        if trail is not None:
            await self._note(trail, **changes)

    async def _find(self, job: Job) -> Item[Trail] | None:
        async with self._stores.resources.reading() as view:
            return await view.find_arn(Trail, job.subject)

    async def _rows(
        self, trail: Item[Trail], span: Mapping[str, Any], most: int | None = None
    ) -> list[_Row]:
        wanted = [condition(trail), _events.seq >= span["first"], _events.seq <= span["last"]]
        if span["until_ms"] is not None:
            wanted.append(_events.at_ms <= span["until_ms"])
        if "region" in span:
            wanted.append(folder_region(trail) == span["region"])
        async with self._stores.resources.reading() as view:
            if most is not None:
                last = await find_last_within(view, wanted, most, _LOG_BATCH_BYTES)
                wanted.append(_events.seq <= (last or 0))
            query = sa.select(_events.seq, _events.at_ms, _events.body).where(*wanted)
            found = await view.connection.execute(query.order_by(_events.seq))
            return [_Row(row.seq, row.at_ms, row.body) for row in found]

    async def _put(
        self,
        trail: Item[Trail],
        job: Job,
        content: bytes,
        metadata: Mapping[str, str],
        error_field: str,
    ) -> None:
        params: dict[str, Any] = {
            "Bucket": job.payload["bucket"],
            "Key": job.payload["key"],
            "ACL": "bucket-owner-full-control",
            "ContentType": "application/json",
            "ContentEncoding": "gzip",
            "Metadata": dict(metadata),
        }
        if trail.record.kms_key is not None:
            params |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": trail.record.kms_key}
        body = await asyncio.to_thread(compress, content)
        try:
            await self._background.perform(_acting_for(trail), "s3", "PutObject", params, body=body)
        except AWSError as error:
            # As S3 calls it, whose errors these are.
            code = error.code.removesuffix("Exception")
            changes = {error_field: code, "delivery_tried_at": self._clock()}
            await self._note(trail, **changes)
            raise NotDelivered(f"{error.code}: {error.message}") from error

    async def _delivered(self, trail: Item[Trail], region: str, file: LogFile) -> None:
        now = self._clock()
        name = file.key.rpartition("/")[2]
        place = Place(trail.place.account, region, name)
        async with self._stores.resources.writing() as transaction:
            known = await transaction.find(LogFile, place)
            if trail.record.is_validated and known is None:
                await transaction.add(file, place, parent=trail.arn or "")
            await change_state(
                transaction,
                trail.place,
                delivery_error="",
                delivered_at=now,
                delivery_tried_at=now,
            )
            if trail.record.topic_arn is not None:
                told = {"bucket": file.bucket, "key": file.key}
                await submit(transaction, NOTICE_KIND, trail.arn or "", told)

    async def _put_batch(
        self, trail: Item[Trail], log_group: str, log_role: str, batch: Sequence[_Row]
    ) -> None:
        place = trail.place
        stream = {
            "logGroupName": log_group.split(":")[6],
            "logStreamName": f"{place.account}_CloudTrail_{place.region}",
        }
        events = [
            {"timestamp": row.at_ms, "message": row.body.decode("utf-8", "ignore")} for row in batch
        ]
        events.sort(key=lambda event: event["timestamp"])
        role = ServiceRole(log_role, trail.arn or "", CLOUDTRAIL)
        try:
            caller = await assume(self._stores, role, self._clock())
            perform = self._background.perform
            put = {**stream, "logEvents": events}
            try:
                await perform(caller, "logs", "PutLogEvents", put)
            except AWSError as error:
                if error.code != "ResourceNotFoundException":
                    raise
                # Only now: what makes a stream is an event, which would be delivered, and so on.
                await self._make_stream(caller, stream)
                await perform(caller, "logs", "PutLogEvents", put)
        except RoleNotAssumable as error:
            await self._note(trail, logs_error=str(error))
            raise NotDelivered(str(error)) from error
        except AWSError as error:
            await self._note(trail, logs_error=error.code)
            raise NotDelivered(f"{error.code}: {error.message}") from error

    async def _make_stream(self, caller: Caller, stream: Mapping[str, str]) -> None:
        try:
            await self._background.perform(caller, "logs", "CreateLogStream", stream)
        except AWSError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def _note(self, trail: Item[Trail], **changes: Any) -> None:
        async with self._stores.resources.writing() as transaction:
            if await transaction.find(Trail, trail.place) is not None:
                await change_state(transaction, trail.place, **changes)


def job_kinds(
    stores: Stores, background: Background, clock: Clock = system_now
) -> Mapping[str, JobKind]:
    to = Deliveries(stores, background, clock)
    return {
        FILE_KIND: delivery(to.put_file, to.lost_file, clock=clock),
        DIGEST_KIND: delivery(to.put_digest, to.lost_digest, clock=clock),
        NOTICE_KIND: delivery(to.notify, to.lost_notice, clock=clock),
        LOGS_KIND: delivery(to.put_log_events, to.lost_log_events, clock=clock),
    }


def _acting_for(trail: Item[Trail]) -> Any:
    return service_caller(CLOUDTRAIL, trail.arn or "")


def _taken(trail: Item[Trail], rows: Sequence[_Row]) -> Sequence[_Row]:
    if any(selector.objects for selector in trail.record.effective_selectors):
        return [row for row in rows if takes(trail.record, row.body)]
    return rows


def _rendered(trail: Item[Trail], rows: Sequence[_Row]) -> tuple[Sequence[_Row], bytes, str]:
    taken = _taken(trail, rows)
    content = render_file([row.body for row in taken])
    return taken, content, sha256(content)


def _batch(rows: Sequence[_Row]) -> list[_Row]:
    """As many as one PutLogEvents takes. An event that a log group cannot hold is cut."""
    batch: list[_Row] = []
    size = 0
    for row in rows:
        body = row.body[:_LOG_EVENT_MOST_BYTES]
        size += len(body) + _LOG_EVENT_BYTES
        if batch and size > _LOG_BATCH_BYTES:
            break
        batch.append(_Row(row.seq, row.at_ms, body))
    return batch
