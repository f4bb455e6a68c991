"""Deliveries: what fails is tried again for a day, and nothing else; what ends is counted once."""

import gzip
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from logged_calls import ACCOUNT, BEGAN_US, REGION, call, read
from spool_under_test import LARGE, TO_GROUP, TO_S3, Spooled, opened

from outcrop.invocations.batches import put_batch, remove_batch
from outcrop.invocations.delivery import Deliveries, LogEvent
from outcrop.jobs.delivery import KEPT, NotDelivered
from outcrop.jobs.queue import Job, RetryLater
from outcrop.stores.model_records import LogBucket, LoggingConfiguration, LogGroup
from outcrop.stores.resources import Transaction

ROLE = f"arn:aws:iam::{ACCOUNT}:role/logs"
TO_BOTH = LoggingConfiguration(
    s3=LogBucket(bucket="logs", prefix="p"),
    group=LogGroup(name="g", role_arn=ROLE, large=LogBucket(bucket="beside")),
)
HOUR = f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/{REGION}/2023/11/14/22/"
OWNER = (ACCOUNT, REGION)


@dataclass
class Places:
    """Destinations that keep what they are given. ``broken`` names those that take nothing."""

    objects: dict[tuple[str, str], tuple[bytes, str]] = field(
        default_factory=dict[tuple[str, str], tuple[bytes, str]]
    )
    events: list[tuple[str, list[LogEvent]]] = field(
        default_factory=list[tuple[str, list[LogEvent]]]
    )
    puts: list[str] = field(default_factory=list[str])
    broken: set[str] = field(default_factory=set[str])
    too_old: int = 0

    async def put_object(
        self, owner: tuple[str, str], bucket: str, key: str, body: bytes, content_type: str
    ) -> None:
        assert owner == OWNER
        self._try(bucket)
        self.objects[bucket, key] = (body, content_type)

    async def put_events(
        self, owner: tuple[str, str], group: LogGroup, events: Sequence[LogEvent], once: str
    ) -> int:
        assert owner == OWNER
        self._try(group.name)
        self.events.append((once, list(events)))
        return len(events) - self.too_old

    def _try(self, place: str) -> None:
        if place in self.broken:
            raise NotDelivered(f"{place} is broken")
        self.puts.append(place)


@dataclass
class Delivering:
    spooled: Spooled
    places: Places = field(default_factory=Places)
    counts: dict[str, int] = field(default_factory=dict[str, int])
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    fails_to_count: bool = False

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(
            self.folder,
            self.spooled.resources,
            self.places,
            self._count,
            clock=lambda: self.now,
        )
        self.began = self.now

    @property
    def folder(self) -> Path:
        return self.spooled.folder / "spool"

    async def _count(
        self, transaction: Transaction, owner: tuple[str, str], name: str, number: int
    ) -> None:
        assert owner == OWNER
        assert transaction.connection.in_transaction()
        if self.fails_to_count:
            raise OSError("the disk is full")
        self.counts[name] = self.counts.get(name, 0) + number

    async def deliver(self, part: str) -> None:
        """Of every batch, as often as it is asked for."""
        for batch in await self.spooled.batches():
            await self.run(batch.id, part)

    async def run(self, batch_id: str, part: str) -> None:
        payload = {"batch": batch_id, "part": part}
        job = Job("j", f"invocations:{part}", "arn:d", payload, 1, self.began)
        await self.deliveries.job_kinds()[job.kind].run(job)


@pytest.fixture
async def delivering(tmp_path: Path) -> AsyncIterator[Delivering]:
    spooled = await opened(tmp_path)
    yield Delivering(spooled)
    await spooled.database.close()


async def test_records_and_large_bodies_lie_where_aws_has_them(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_BOTH)
    first, second = call(1), call(2, content={"output": LARGE})
    await delivering.spooled.take(first, second)
    (batch,) = await delivering.spooled.batches()
    for part in ("s3", "s3-data", "logs-data", "logs"):
        await delivering.deliver(part)
    key = f"p/{HOUR}20231114T221320000Z_{batch.id}.json.gz"
    data = f"{HOUR}data/{second.request_id}_output.json.gz"
    objects = delivering.places.objects
    assert objects.keys() == {("logs", key), ("logs", f"p/{data}"), ("beside", data)}
    body, content_type = objects["logs", key]
    lines = gzip.decompress(body).splitlines()
    assert [read(line)["requestId"] for line in lines] == [first.request_id, second.request_id]
    assert read(lines[1])["output"]["outputBodyS3Path"] == f"s3://logs/p/{data}"
    assert content_type == "application/json"
    assert gzip.decompress(objects["beside", data][0]) == LARGE
    ((_, events),) = delivering.places.events
    assert [event.at_ms for event in events] == [first.began_ms, second.began_ms]
    assert read(events[1].message.encode())["output"]["outputBodyS3Path"] == f"s3://beside/{data}"
    assert delivering.counts == {
        "ModelInvocationLogsS3DeliverySuccess": 2,
        "ModelInvocationLogsCloudWatchDeliverySuccess": 2,
        "ModelInvocationLargeDataS3DeliverySuccess": 2,
    }
    assert await delivering.spooled.batches() == []
    assert list(delivering.folder.iterdir()) == []


async def test_a_batch_that_is_delivered_takes_no_more_records(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_BOTH)
    await delivering.spooled.take(call(1))
    await delivering.deliver("s3")
    await delivering.spooled.take(call(2))
    assert len(await delivering.spooled.batches()) == 2
    await delivering.deliver("s3")
    await delivering.deliver("logs")
    assert await delivering.spooled.batches() == []
    assert delivering.counts["ModelInvocationLogsS3DeliverySuccess"] == 2


async def test_what_fails_is_tried_again_and_nothing_else(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_BOTH)
    await delivering.spooled.take(call(1))
    (batch,) = await delivering.spooled.batches()
    delivering.places.broken = {"logs"}
    await delivering.deliver("logs")
    for minutes in (0, 1, 60):
        delivering.now = delivering.began + timedelta(minutes=minutes)
        with pytest.raises(RetryLater) as caught:
            await delivering.deliver("s3")
        assert caught.value.after <= timedelta(minutes=5)
        # Jobs are done at least once.
        await delivering.deliver("logs")
    assert delivering.places.puts == ["g"]
    delivering.places.broken = set()
    await delivering.deliver("s3")
    await delivering.run(batch.id, "s3")
    await delivering.run(batch.id, "logs")
    assert delivering.places.puts == ["g", "logs"]
    assert delivering.counts == {
        "ModelInvocationLogsS3DeliverySuccess": 1,
        "ModelInvocationLogsCloudWatchDeliverySuccess": 1,
    }


async def test_after_a_day_what_is_left_is_dropped_and_counted(
    delivering: Delivering, caplog: pytest.LogCaptureFixture
) -> None:
    await delivering.spooled.configure(TO_S3)
    await delivering.spooled.take(*map(call, range(700)), call(700, content={"input": LARGE}))
    delivering.places.broken = {"logs"}
    delivering.now += KEPT - timedelta(seconds=1)
    with pytest.raises(RetryLater):
        await delivering.deliver("s3")
    assert delivering.counts == {}
    delivering.now += timedelta(seconds=1)
    (batch,) = await delivering.spooled.batches()
    with caplog.at_level(logging.ERROR):
        await delivering.deliver("s3")
        await delivering.deliver("s3-data")
    assert delivering.counts == {
        "ModelInvocationLogsS3DeliveryFailure": 701,
        "ModelInvocationLargeDataS3DeliveryFailure": 1,
    }
    assert "701 invocation log records of 123456789012 in us-east-1 are lost" in caplog.text
    assert "1 large bodies of 123456789012 in us-east-1 are lost" in caplog.text
    assert list(delivering.folder.iterdir()) == []
    # It may be told more than once.
    await delivering.run(batch.id, "s3")
    assert delivering.counts["ModelInvocationLogsS3DeliveryFailure"] == 701


async def test_each_try_puts_the_same_object(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_S3)
    await delivering.spooled.take(call(1), call(2))
    delivering.fails_to_count = True
    with pytest.raises(RetryLater):
        await delivering.deliver("s3")
    before = dict(delivering.places.objects)
    delivering.fails_to_count = False
    await delivering.deliver("s3")
    assert delivering.places.puts == ["logs", "logs"]
    assert delivering.places.objects == before
    assert delivering.counts == {"ModelInvocationLogsS3DeliverySuccess": 2}


async def test_events_go_in_requests_that_the_log_group_takes(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_GROUP)
    body = b'"' + b"x" * 100_000 + b'"'
    calls = [call(n, content={"input": body}, began_us=10**15 - n * 1000) for n in range(25)]
    await delivering.spooled.take(*calls)
    (batch,) = await delivering.spooled.batches()
    await delivering.deliver("logs")
    sent = delivering.places.events
    assert [len(events) for _, events in sent] == [10, 10, 5]
    for _, events in sent:
        assert sum(len(event.message) + 26 for event in events) <= 1_048_576
    times = [event.at_ms for _, events in sent for event in events]
    assert times == sorted(times)
    assert [once for once, _ in sent] == [f"{batch.id}-{first}" for first in (0, 10, 20)]


async def test_events_that_come_again_come_under_the_same_token(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_GROUP)
    body = b'"' + b"x" * 100_000 + b'"'
    await delivering.spooled.take(*(call(n, content={"input": body}) for n in range(25)))
    delivering.fails_to_count = True
    with pytest.raises(RetryLater):
        await delivering.deliver("logs")
    # As if the process had died before it wrote down how far it was.
    (batch,) = await delivering.spooled.batches()
    assert (batch.events_put, batch.events_taken) == (25, 25)
    before, delivering.places.events = delivering.places.events, []
    async with delivering.spooled.resources.writing() as transaction:
        from_start = replace(batch, events_put=10, events_taken=10)
        await put_batch(transaction.connection, from_start)
    delivering.fails_to_count = False
    await delivering.deliver("logs")
    assert delivering.places.events == before[1:]
    assert delivering.counts == {"ModelInvocationLogsCloudWatchDeliverySuccess": 25}


async def test_events_too_old_for_the_group_are_failures(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_GROUP)
    await delivering.spooled.take(call(1), call(2), call(3))
    delivering.places.too_old = 1
    await delivering.deliver("logs")
    assert delivering.counts == {
        "ModelInvocationLogsCloudWatchDeliverySuccess": 2,
        "ModelInvocationLogsCloudWatchDeliveryFailure": 1,
    }


async def test_a_file_that_cannot_be_read_is_tried_again(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_S3)
    await delivering.spooled.take(call(1))
    (batch,) = await delivering.spooled.batches()
    records = delivering.folder / batch.id / "records"
    records.rename(records.with_name("away"))
    with pytest.raises(RetryLater):
        await delivering.deliver("s3")
    records.with_name("away").rename(records)
    await delivering.deliver("s3")
    assert delivering.counts == {"ModelInvocationLogsS3DeliverySuccess": 1}


async def test_the_batch_of_an_account_that_is_gone_is_thrown_away(delivering: Delivering) -> None:
    await delivering.spooled.configure(TO_S3)
    await delivering.spooled.take(call(1))
    (batch,) = await delivering.spooled.batches()
    async with delivering.spooled.resources.writing() as transaction:
        await remove_batch(transaction.connection, batch.id)
    await delivering.run(batch.id, "s3")
    assert list(delivering.folder.iterdir()) == []
    assert (delivering.places.puts, delivering.counts) == ([], {})


async def test_events_of_different_days_go_in_requests_of_their_own(
    delivering: Delivering,
) -> None:
    """A request may not span more than a day, and a batch does when a server that was killed is
    started again days later: it was refused until it was dropped."""
    await delivering.spooled.configure(TO_GROUP)
    days_us = 2 * 24 * 3600 * 1_000_000
    await delivering.spooled.take(call(1), call(2), call(3, began_us=BEGAN_US + days_us))
    await delivering.deliver("logs")
    assert [len(events) for _, events in delivering.places.events] == [2, 1]
    assert delivering.counts == {"ModelInvocationLogsCloudWatchDeliverySuccess": 3}
