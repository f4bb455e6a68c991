"""Batches on disk: what a killed process leaves, when they close, and that nothing is twice."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from logged_calls import ACCOUNT, REGION, call, read, without
from spool_under_test import LARGE, TO_GROUP, TO_S3, Spooled, opened

from outcrop.invocations import spool as spools
from outcrop.invocations.batches import BatchFiles, Frame
from outcrop.journal.records import CallRecord
from outcrop.stores.model_records import LogBucket, LoggingConfiguration, LogGroup


@pytest.fixture
async def spooled(tmp_path: Path) -> AsyncIterator[Spooled]:
    spooled = await opened(tmp_path)
    yield spooled
    await spooled.database.close()


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [int(frame.request_id[-12:]) for frame in frames]


async def test_a_batch_holds_the_calls_of_an_account_and_region(spooled: Spooled) -> None:
    await spooled.configure(TO_S3)
    await spooled.configure(TO_GROUP, "eu-west-1")
    await spooled.take(
        call(1),
        call(2, region="eu-west-1"),
        call(3, region="ap-northeast-1"),
        call(4, account="210987654321"),
        call(5),
        without(call(6), "content"),
    )
    await spooled.take(call(7))
    found = {batch.region: batch for batch in await spooled.batches()}
    assert found.keys() == {REGION, "eu-west-1"}
    own = found[REGION]
    assert numbers(spooled.frames(own)) == [1, 5, 7]
    assert (own.records, own.configuration, own.is_open) == (3, TO_S3, True)
    assert read(spooled.frames(own)[0].line)["requestId"] == call(1).request_id
    due = spooled.clock_ms + 5_000
    assert await spooled.jobs() == [
        ("invocations:logs", f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:g", due),
        ("invocations:s3", "arn:aws:s3:::logs", due),
    ]


async def test_what_lies_on_disk_is_its_owner_s_alone(spooled: Spooled) -> None:
    await spooled.configure(TO_S3)
    await spooled.take(call(1, content={"input": LARGE}))
    for path in [spooled.folder / "spool", *(spooled.folder / "spool").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


async def test_a_batch_closes_after_five_seconds(spooled: Spooled) -> None:
    await spooled.configure(TO_S3)
    await spooled.take(call(1))
    spooled.clock_ms += 4_999
    await spooled.take(call(2))
    spooled.clock_ms += 1
    await spooled.take(call(3))
    first, second = await spooled.batches()
    assert (numbers(spooled.frames(first)), first.is_open) == ([1, 2], False)
    assert (numbers(spooled.frames(second)), second.is_open) == ([3], True)


async def test_a_batch_closes_when_it_is_full(spooled: Spooled) -> None:
    await spooled.configure(TO_S3)
    assert (spools.MOST_RECORDS, spools.MOST_BYTES) == (1_000, 5 * 1024 * 1024)
    await spooled.take(*map(call, range(2_500)))
    found = await spooled.batches()
    assert sorted(batch.records for batch in found) == [500, 1000, 1000]
    assert sorted(n for batch in found for n in numbers(spooled.frames(batch))) == [*range(2_500)]
    spooled.clock_ms += 5_000
    body = b'"' + b"x" * 100_000 + b'"'
    await spooled.take(*(call(n, content={"input": body}) for n in range(60)))
    grown = [batch for batch in await spooled.batches() if batch.began_at_ms == spooled.clock_ms]
    assert sorted(batch.records for batch in grown) == [7, 53]


async def test_calls_go_where_the_configuration_of_their_time_said(spooled: Spooled) -> None:
    await spooled.configure(TO_S3)
    await spooled.take(call(1))
    await spooled.configure(TO_GROUP)
    await spooled.take(call(2))
    found = {batch.configuration.s3 is not None: batch for batch in await spooled.batches()}
    assert numbers(spooled.frames(found[True])) == [1]
    assert not found[True].is_open
    assert numbers(spooled.frames(found[False])) == [2]


async def test_large_bodies_are_deliveries_of_their_own(spooled: Spooled) -> None:
    group = LogGroup(name="g", role_arn="arn:r", large=LogBucket(bucket="beside"))
    await spooled.configure(LoggingConfiguration(s3=LogBucket(bucket="logs"), group=group))
    await spooled.take(call(1))
    assert len(await spooled.jobs()) == 2
    await spooled.take(call(2, content={"input": LARGE}))
    await spooled.take(call(3, content={"input": LARGE, "output": LARGE}))
    assert [job[:2] for job in await spooled.jobs()] == [
        ("invocations:logs", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g"),
        ("invocations:logs-data", "arn:aws:s3:::beside"),
        ("invocations:s3", "arn:aws:s3:::logs"),
        ("invocations:s3-data", "arn:aws:s3:::logs"),
    ]
    (batch,) = await spooled.batches()
    assert batch.large == 3
    assert [len(frame.large) for frame in spooled.frames(batch)] == [0, 1, 2]
    last = spooled.frames(batch)[-1].large[-1]
    assert BatchFiles(spooled.folder / "spool").read_large(batch, last) == LARGE


class Fails(Exception):
    pass


async def fail(spooled: Spooled, *records: CallRecord) -> None:
    async with spooled.resources.writing() as transaction:
        await spooled.spool.take(records, transaction)
        raise Fails


async def test_a_transaction_that_fails_leaves_nothing(spooled: Spooled) -> None:
    await spooled.configure(TO_S3)
    for _ in range(3):
        with pytest.raises(Fails):
            await fail(spooled, call(1))
    assert await spooled.batches() == []
    await spooled.take(call(1))
    with pytest.raises(Fails):
        await fail(spooled, call(2), call(3))
    await spooled.take(call(2))
    (batch,) = await spooled.batches()
    assert numbers(spooled.frames(batch)) == [1, 2]
    assert [path.name for path in (spooled.folder / "spool").iterdir()] == [batch.id]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from logged_calls import call
from spool_under_test import LARGE, opened

async def die():
    spooled = await opened(Path(sys.argv[1]))
    await spooled.take(call(1))
    async with spooled.resources.writing() as transaction:
        records = [call(2), call(3, content={"input": LARGE})]
        await spooled.spool.take(records, transaction)
        # Another batch, which nobody will know of.
        spooled.clock_ms += 5_000
        await spooled.spool.take([call(4)], transaction)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(die())
"""


async def test_a_process_killed_between_file_and_commit_loses_and_doubles_nothing(
    spooled: Spooled,
) -> None:
    await spooled.configure(TO_S3)
    arguments = [str(spooled.folder), str(Path(__file__).parent)]
    died = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, *arguments)
    assert await died.wait() == -signal.SIGKILL
    folder = spooled.folder / "spool"
    (batch,) = await spooled.batches()
    assert (batch.records, batch.large) == (1, 0)
    assert (folder / batch.id / "records").stat().st_size > batch.bytes
    assert len(list(folder.iterdir())) == 2
    # The journal gives again what was not committed.
    await spooled.take(call(2), call(3, content={"input": LARGE}), call(4))
    (batch,) = await spooled.batches()
    assert numbers(spooled.frames(batch)) == [1, 2, 3, 4]
    assert (folder / batch.id / "records").stat().st_size == batch.bytes
    assert [path.name for path in folder.iterdir()] == [batch.id]


async def test_a_configuration_that_was_taken_away_takes_nothing(spooled: Spooled) -> None:
    await spooled.take(call(1))
    assert await spooled.batches() == []
    assert not (spooled.folder / "spool").exists()
