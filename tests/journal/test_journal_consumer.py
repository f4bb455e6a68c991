"""The consumer of the journal: each record into the database once, whatever fails on the way."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from outcrop.journal.consumer import Consumer, Sink
from outcrop.journal.files import Journal
from outcrop.journal.records import CallRecord, encode
from outcrop.stores.database import Database
from outcrop.stores.resources import Resources, Transaction, View
from outcrop.stores.tables import journal_cursor, usage_tags


@pytest.fixture
async def resources(tmp_path: Path) -> AsyncGenerator[Resources]:
    database = await Database.open(tmp_path / "outcrop.db")
    yield Resources(database)
    await database.close()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", segment_bytes=2000)


def record(number: int) -> bytes:
    name = f"id-{number}"
    return encode(CallRecord(name, 0, 0, "1", "us-east-1", "sts", "GetCallerIdentity", "arn", 200))


class Rows:
    """A sink that writes a row for each record. A primary key finds what comes twice."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.commits = 0
        self.given: list[str] = []

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        self.given += [each.request_id for each in records]
        rows = [{"resource": each.request_id, "tags": b""} for each in records]
        await transaction.connection.execute(sa.insert(usage_tags), rows)
        if self.failures:
            raise self.failures.pop(0)

    def taken(self) -> None:
        self.commits += 1


async def written(resources: Resources) -> list[str]:
    async with resources.reading() as view:
        query = sa.select(usage_tags.c.resource)
        found = [str(row[0]) for row in await view.connection.execute(query)]
    return sorted(found, key=lambda name: int(name.removeprefix("id-")))


def ids(count: int) -> list[str]:
    return [f"id-{number}" for number in range(count)]


async def test_each_record_is_taken_once_across_segments_and_restarts(
    tmp_path: Path, journal: Journal, resources: Resources
) -> None:
    for number in range(50):
        journal.append(record(number))
    await Consumer(journal, resources, [Rows()]).catch_up()
    journal.close()
    journal = Journal(tmp_path / "journal", segment_bytes=2000)
    for number in range(50, 60):
        journal.append(record(number))
    rows = Rows()
    again = Consumer(journal, resources, [rows])
    await again.catch_up()
    await again.catch_up()
    assert await written(resources) == ids(60)
    assert rows.commits == 1
    assert await again.count_backlog_bytes() == 0


@pytest.mark.parametrize(
    "failure", [OperationalError("", {}, Exception("disk full")), OSError("disk full")]
)
async def test_a_database_that_fails_is_asked_again_and_nothing_comes_twice(
    journal: Journal, resources: Resources, failure: Exception
) -> None:
    rows = Rows()
    rows.failures = [failure]
    consumer = Consumer(journal, resources, [rows])
    journal.append(record(0))
    with pytest.raises(Exception, match="disk full"):
        await consumer.catch_up()
    assert await written(resources) == []
    assert rows.commits == 0
    journal.append(record(1))
    await consumer.catch_up()
    assert await written(resources) == ids(2)


@pytest.mark.parametrize(
    "failure", [KeyError("bug"), IntegrityError("", {}, Exception("twice")), ValueError("bug")]
)
async def test_a_bug_of_one_sink_costs_it_its_records_and_no_other_anything(
    journal: Journal, resources: Resources, failure: Exception
) -> None:
    broken, kept = Rows(), Listing()
    broken.failures = [failure]
    consumer = Consumer(journal, resources, [broken, kept])
    journal.append(record(0))
    await consumer.catch_up()
    journal.append(record(1))
    await consumer.catch_up()
    assert await written(resources) == ["id-1"]
    assert kept.seen == ids(2)


class Listing:
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        self.seen += [each.request_id for each in records]

    def taken(self) -> None:
        pass


async def test_what_is_no_record_is_passed_over(journal: Journal, resources: Resources) -> None:
    for data in (record(0), b"", b"\xff\xff", b"\x81\xa1a\x01", b"\x90" * 5000, record(1)):
        journal.append(data)
    await Consumer(journal, resources, [Rows()]).catch_up()
    assert await written(resources) == ids(2)


async def test_damage_costs_its_record_and_later_ones_are_taken_at_once(
    tmp_path: Path, journal: Journal, resources: Resources
) -> None:
    for number in range(3):
        journal.append(record(number))
    [file] = (tmp_path / "journal").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    consumer = Consumer(journal, resources, [Rows()])
    await consumer.catch_up()
    journal.append(record(3))
    await consumer.catch_up()
    assert await written(resources) == ["id-0", "id-2", "id-3"]


async def test_a_journal_that_is_older_than_the_database_loses_nothing_new(
    tmp_path: Path, journal: Journal, resources: Resources
) -> None:
    for number in range(100):
        journal.append(record(number))
    await Consumer(journal, resources, [Rows()]).catch_up()
    journal.close()
    for file in (tmp_path / "journal").iterdir():
        file.unlink()
    fresh = Journal(tmp_path / "journal")
    fresh.append(record(100))
    consumer = Consumer(fresh, resources, [Rows()])
    await consumer.catch_up()
    fresh.append(record(101))
    await consumer.catch_up()
    assert await written(resources) == ids(102)
    fresh.close()


async def test_a_consumer_that_is_closed_has_taken_what_was_there(
    journal: Journal, resources: Resources
) -> None:
    sinks: list[Sink] = [Rows()]
    consumer = Consumer(journal, resources, sinks, poll_s=1000)
    consumer.start()
    journal.append(record(0))
    await consumer.close()
    assert await written(resources) == ids(1)


async def test_the_cursor_goes_with_what_was_written(
    journal: Journal, resources: Resources
) -> None:
    journal.append(record(0))
    await Consumer(journal, resources, [Rows()]).catch_up()
    async with resources.reading() as view:
        row: Any = (await view.connection.execute(sa.select(journal_cursor))).one()
    assert (row.segment, row.offset) == (journal.end.segment, journal.end.offset)


async def test_a_request_that_leaves_during_the_commit_doubles_nothing(
    journal: Journal, resources: Resources
) -> None:
    for number in range(3):
        journal.append(record(number))
    rows = Rows()
    consumer = Consumer(journal, resources, [rows])
    asking = asyncio.create_task(consumer.catch_up())

    def leave(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("outcrop_writes"):
            asking.cancel()

    event.listen(sa.Engine, "commit", leave)
    try:
        await asyncio.wait([asking])
        await consumer.catch_up()
    finally:
        event.remove(sa.Engine, "commit", leave)
    assert asking.cancelled()
    assert await written(resources) == rows.given == ids(3)
    assert rows.commits == 1


class Held(Resources):
    """A reader that has read goes on when ``goes_on`` is set, where ``is_held``."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_held = False
        self.has_read = asyncio.Event()
        self.goes_on = asyncio.Event()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[View]:
        async with super().reading() as view:
            yield view
        if self.is_held:
            self.has_read.set()
            await self.goes_on.wait()


async def test_whoever_counts_the_backlog_during_a_commit_doubles_nothing(
    tmp_path: Path, journal: Journal
) -> None:
    database = await Database.open(tmp_path / "outcrop.db")
    resources = Held(database)
    counting: list[asyncio.Task[int]] = []

    class Counted(Rows):
        async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
            await super().take(records, transaction)
            if not counting:
                resources.is_held = True
                counting.append(asyncio.create_task(consumer.count_backlog_bytes()))
                # One that waits for the commit does not read before it.
                read = asyncio.create_task(resources.has_read.wait())
                await asyncio.wait([read], timeout=0.3)
                read.cancel()

    rows = Counted()
    consumer = Consumer(journal, resources, [rows])
    journal.append(record(0))
    await consumer.catch_up()
    resources.is_held = False
    resources.goes_on.set()
    await counting[0]
    journal.append(record(1))
    await consumer.catch_up()
    assert rows.given == await written(resources) == ids(2)
    await database.close()
