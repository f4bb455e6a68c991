"""Jobs are done whatever happens to who does them: failures, other processes, kill -9, closing."""

import asyncio
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from outcrop.jobs.queue import Job, JobKind, RetryLater, submit
from outcrop.jobs.runner import JobRunner, Pace
from outcrop.stores.database import Database
from outcrop.stores.resources import Resources
from outcrop.stores.tables import now_ms

ROUND_S = 20
"""Until a test gives up on what should happen at once."""


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(ROUND_S):
        # Rows are written by other connections: there is no event to wait for.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Clock:
    def __init__(self) -> None:
        self.ms = now_ms() + 1000

    def __call__(self) -> int:
        return self.ms


class Work:
    """A kind of job that does what the test tells it."""

    def __init__(self, run: Callable[[Job], Awaitable[None]] | None = None) -> None:
        self.run = run
        self.jobs: list[Job] = []
        self.given_up: list[tuple[Job, str]] = []
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.telling_fails = 0

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        self.began.set()
        if self.run is not None:
            await self.run(job)

    async def gave_up(self, job: Job, message: str) -> None:
        if self.telling_fails > 0:
            self.telling_fails -= 1
            raise OSError("nobody listens")
        self.given_up.append((job, message))

    async def forever(self, _job: Job) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def kind(self, attempts: int = 5, at_once: int = 8) -> dict[str, JobKind]:
        return {"work": JobKind(self, self.gave_up, attempts, at_once)}


class Node:
    """One process's part: its own database, as another process would have it."""

    def __init__(self, file: Path, stack: AsyncExitStack) -> None:
        self.file = file
        self._stack = stack

    async def open(self) -> Database:
        database = await Database.open(self.file)
        self._stack.push_async_callback(database.close)
        return database

    async def runner(
        self, work: Work, pace: Pace, *, attempts: int = 5, at_once: int = 8, **more: JobKind
    ) -> JobRunner:
        kinds = work.kind(attempts, at_once) | more
        runner = JobRunner(await self.open(), kinds, node="n", pace=pace)
        self._stack.push_async_callback(runner.close)
        return runner

    async def submit(self, subject: str = "x", *, kind: str = "work", **more: Any) -> str:
        async with Resources(await self.open()).writing() as transaction:
            return await submit(transaction, kind, subject, **more)

    def row(self) -> dict[str, Any]:
        (row,) = self.rows()
        return row

    def rows(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.file, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM jobs")]

    def write(self, statement: str) -> None:
        with closing(sqlite3.connect(self.file, timeout=10)) as connection, connection:
            connection.execute(statement)

    async def until(self, state: str) -> dict[str, Any]:
        """The one job, once it is in this state."""
        await eventually(lambda: self.row()["state"] == state)
        return self.row()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with AsyncExitStack() as stack:
        yield Node(tmp_path / "outcrop.db", stack)


QUICK = Pace(poll_s=0.02)


async def round_of(runner: JobRunner, node: Node, clock: Clock) -> dict[str, Any]:
    """One look for work, and what came of the job that was begun."""
    await runner.poll()
    await eventually(lambda: not node.row()["lease_until_ms"])
    row = node.row()
    assert row["changed_at_ms"] == clock.ms, "nothing was due"
    return row


async def test_a_submitted_job_begins_at_once_where_it_was_submitted(node: Node) -> None:
    work = Work()
    resources = Resources(await node.open())
    # Looking only once an hour: what begins it is the commit.
    runner = await node.runner(work, Pace(poll_s=3600))
    runner.listen_to(resources)
    runner.start()
    async with resources.writing() as transaction:
        made = await submit(transaction, "work", "arn:x", {"epochs": 2})
    async with asyncio.timeout(ROUND_S):
        await work.began.wait()
    assert (await node.until("done"))["id"] == made
    assert [(job.id, job.subject, job.payload) for job in work.jobs] == [
        (made, "arn:x", {"epochs": 2})
    ]


async def test_a_job_submitted_elsewhere_begins_soon(node: Node) -> None:
    runner = await node.runner(Work(), QUICK)
    runner.start()
    await node.submit()
    assert (await node.until("done"))["attempt"] == 1


async def test_a_job_for_later_waits_until_then(node: Node) -> None:
    work, clock = Work(), Clock()
    runner = await node.runner(work, Pace(clock=clock))
    then = datetime.fromtimestamp(clock.ms / 1000, UTC) + timedelta(hours=1)
    await node.submit(not_before=then)
    clock.ms += 3_599_000
    await runner.poll()
    assert node.row()["state"] == "waiting"
    clock.ms += 2_000
    assert (await round_of(runner, node, clock))["state"] == "done"


async def test_what_fails_comes_back_later_and_later(node: Node) -> None:
    async def fail(_job: Job) -> None:
        raise ValueError("the disk is full")

    work, clock = Work(fail), Clock()
    runner = await node.runner(work, Pace(clock=clock, chance=lambda: 0.0), attempts=9)
    await node.submit()
    pauses: list[int] = []
    for attempt in range(1, 9):
        row = await round_of(runner, node, clock)
        assert (row["state"], row["attempt"]) == ("waiting", attempt)
        assert row["error"] == "the disk is full"
        pauses.append((row["not_before_ms"] - clock.ms) // 1000)
        clock.ms = row["not_before_ms"] - 1
        await runner.poll()
        assert len(work.jobs) == attempt, "it came back too early"
        clock.ms += 1
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]


async def test_back_off_is_spread_by_chance(node: Node) -> None:
    async def fail(_job: Job) -> None:
        raise ValueError

    clock = Clock()
    runner = await node.runner(Work(fail), Pace(clock=clock, chance=lambda: 1.0))
    await node.submit()
    row = await round_of(runner, node, clock)
    assert row["not_before_ms"] - clock.ms == 4_000
    assert row["error"] == "ValueError"


async def test_what_failed_too_often_is_given_up_and_told_until_it_is_heard(node: Node) -> None:
    async def fail(_job: Job) -> None:
        raise ValueError("no such bucket")

    work, clock = Work(fail), Clock()
    work.telling_fails = 2
    pace = Pace(clock=clock, chance=lambda: 0.0)
    runner = await node.runner(work, pace, attempts=2)
    await node.submit()
    states: list[str] = []
    for _ in range(5):
        row = await round_of(runner, node, clock)
        states.append(row["state"])
        if row["state"] == "failing" and not work.given_up and len(states) == 3:
            # Another process goes on with the telling.
            await runner.close()
            runner = await node.runner(work, pace, attempts=2)
        clock.ms = max(row["not_before_ms"], clock.ms + 1)
    assert states == ["waiting", "failing", "failing", "failing", "failed"]
    assert len(work.jobs) == 2
    assert [message for _, message in work.given_up] == ["no such bucket"]
    assert node.row()["error"] == "no such bucket"


async def test_a_job_that_is_not_ready_comes_back_without_a_failure(node: Node) -> None:
    async def later(_job: Job) -> None:
        if len(work.jobs) < 20:
            raise RetryLater(timedelta(minutes=2))

    work, clock = Work(later), Clock()
    runner = await node.runner(work, Pace(clock=clock), attempts=1)
    await node.submit()
    for _ in range(19):
        row = await round_of(runner, node, clock)
        assert (row["state"], row["not_before_ms"]) == ("waiting", clock.ms + 120_000)
        clock.ms += 120_000
    assert (await round_of(runner, node, clock))["state"] == "done"
    assert {job.attempt for job in work.jobs} == {1}


async def test_a_job_whose_processes_all_died_is_given_up(node: Node) -> None:
    work, clock = Work(), Clock()
    runner = await node.runner(work, Pace(clock=clock), attempts=3)
    await node.submit()
    node.write("UPDATE jobs SET state = 'running', attempt = 3, owner = 'dead', lease_until_ms = 1")
    assert (await round_of(runner, node, clock))["state"] == "failing"
    clock.ms += 1
    assert (await round_of(runner, node, clock))["state"] == "failed"
    assert work.jobs == []
    assert "ended before the work was done" in work.given_up[0][1]


async def test_a_handler_that_cancels_itself_has_failed(node: Node) -> None:
    async def cancel(_job: Job) -> None:
        raise asyncio.CancelledError

    clock = Clock()
    runner = await node.runner(Work(cancel), Pace(clock=clock))
    await node.submit()
    row = await round_of(runner, node, clock)
    assert (row["state"], row["error"]) == ("waiting", "CancelledError")
    assert row["not_before_ms"] > clock.ms


async def test_a_lost_lease_ends_the_handler_and_changes_nothing(node: Node) -> None:
    work = Work()
    work.run = work.forever
    runner = await node.runner(work, Pace(poll_s=0.02, heartbeat_s=0.02))
    await node.submit()
    runner.start()
    async with asyncio.timeout(ROUND_S):
        await work.began.wait()
        # Another process has it, and its lease does not end in this test.
        node.write("UPDATE jobs SET owner = 'other', lease_until_ms = lease_until_ms + 3600000")
        await work.cancelled.wait()
    await runner.close()
    row = node.row()
    assert (row["state"], row["owner"], row["attempt"]) == ("running", "other", 1)


async def test_a_database_out_of_reach_ends_the_handler_before_its_lease_ends(node: Node) -> None:
    work, clock = Work(), Clock()
    work.run = work.forever
    pace = Pace(poll_s=3600, heartbeat_s=0.02, lease_s=30, clock=clock)
    runner = await node.runner(work, pace)
    await node.submit()
    runner.start()
    async with asyncio.timeout(ROUND_S):
        await work.began.wait()
        node.write("ALTER TABLE jobs RENAME TO away")
        clock.ms += 29_990
        await work.cancelled.wait()
    node.write("ALTER TABLE away RENAME TO jobs")


async def test_heartbeats_keep_a_long_job(node: Node) -> None:
    work, clock = Work(), Clock()
    work.run = work.forever
    pace = Pace(poll_s=3600, heartbeat_s=0.02, lease_s=30, clock=clock)
    runner = await node.runner(work, pace)
    rival = await node.runner(Work(), Pace(clock=clock))
    await node.submit()
    runner.start()
    async with asyncio.timeout(ROUND_S):
        await work.began.wait()
    for _ in range(5):
        clock.ms += 20_000
        await eventually(lambda: node.row()["lease_until_ms"] == clock.ms + 30_000)
        await rival.poll()
    assert node.row()["attempt"] == 1
    assert not work.cancelled.is_set()


async def test_closing_gives_running_jobs_back_at_once(node: Node) -> None:
    work = Work()
    work.run = work.forever
    runner = await node.runner(work, QUICK, attempts=1)
    await node.submit()
    runner.start()
    async with asyncio.timeout(ROUND_S):
        await work.began.wait()
        await runner.close()
    assert work.cancelled.is_set()
    row = node.row()
    assert (row["state"], row["attempt"], row["owner"]) == ("waiting", 0, "")
    after = Work()
    (await node.runner(after, QUICK, attempts=1)).start()
    assert (await node.until("done"))["attempt"] == 1
    assert len(after.jobs) == 1


async def test_a_closed_runner_may_be_closed_again_and_begins_nothing(node: Node) -> None:
    work = Work()
    runner = await node.runner(work, QUICK)
    runner.start()
    await runner.close()
    await runner.close()
    await node.submit()
    await runner.poll()
    assert work.jobs == []


async def test_no_more_than_so_many_jobs_run_at_a_time(node: Node) -> None:
    go = asyncio.Event()

    async def wait(_job: Job) -> None:
        await go.wait()

    work = Work(wait)
    runner = await node.runner(work, QUICK, at_once=3)
    for index in range(7):
        await node.submit(f"s{index}")
    for _ in range(3):
        await runner.poll()
        await eventually(lambda: len(work.jobs) == 3)
    assert sum(row["state"] == "running" for row in node.rows()) == 3
    runner.start()
    go.set()
    await eventually(lambda: {row["state"] for row in node.rows()} == {"done"})
    assert len(work.jobs) == 7


async def test_a_kind_that_hangs_leaves_room_to_others(node: Node) -> None:
    hanging = Work()
    hanging.run = hanging.forever
    done = Work()
    other = JobKind(done, done.gave_up)
    runner = await node.runner(hanging, QUICK, at_once=3, other=other)
    for index in range(5):
        await node.submit(f"s{index}")
    await node.submit("late", kind="other")
    runner.start()
    await eventually(lambda: len(done.jobs) == 1)
    assert len(hanging.jobs) == 3


async def test_a_job_that_is_done_keeps_nothing_of_what_it_was_about(node: Node) -> None:
    runner = await node.runner(Work(), QUICK)
    await node.submit(payload={"message": "secret"})
    runner.start()
    assert (await node.until("done"))["payload"] == b"{}"


async def test_a_database_out_of_reach_for_a_while_ends_nothing(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    runner = await node.runner(work, QUICK)
    await node.submit()
    node.write("ALTER TABLE jobs RENAME TO away")
    runner.start()
    await eventually(lambda: "jobs were not looked for" in caplog.text)
    node.write("ALTER TABLE away RENAME TO jobs")
    await node.until("done")
    assert len(work.jobs) == 1


async def test_what_came_of_a_job_but_was_not_written_down_is_found_out_again(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    looked = asyncio.Event()

    async def hide(job: Job) -> None:
        await looked.wait()
        if job.attempt == 1:
            node.write("ALTER TABLE jobs RENAME TO away")

    work, clock = Work(hide), Clock()
    runner = await node.runner(work, Pace(clock=clock))
    await node.submit()
    await runner.poll()
    looked.set()
    await eventually(lambda: "was not written down" in caplog.text)
    node.write("ALTER TABLE away RENAME TO jobs")
    assert node.row()["state"] == "running"
    clock.ms += 30_000
    assert (await round_of(runner, node, clock))["state"] == "done"
    assert [job.attempt for job in work.jobs] == [1, 2]


async def test_two_runners_do_every_job_once_and_no_subject_twice_at_a_time(node: Node) -> None:
    busy: set[str] = set()
    clashes: list[str] = []

    async def work_on(job: Job) -> None:
        if job.subject in busy:
            clashes.append(job.subject)
        busy.add(job.subject)
        await asyncio.sleep(0.003)
        busy.discard(job.subject)

    work = Work(work_on)
    resources = Resources(await node.open())
    made: list[str] = []
    for index in range(40):
        async with resources.writing() as transaction:
            made.append(await submit(transaction, "work", f"s{index % 5}"))
    for _ in range(2):
        (await node.runner(work, QUICK)).start()
    await eventually(lambda: {row["state"] for row in node.rows()} == {"done"})
    assert sorted(job.id for job in work.jobs) == sorted(made)
    assert clashes == []


WORKER = """
import asyncio, sys
from pathlib import Path
from outcrop.jobs.queue import JobKind
from outcrop.jobs.runner import JobRunner, Pace
from outcrop.stores.database import Database

async def run(job):
    print(job.id, flush=True)
    await asyncio.Event().wait()

async def gave_up(job, message):
    raise AssertionError

async def main():
    database = await Database.open(Path(sys.argv[1]))
    pace = Pace(lease_s=0.6, heartbeat_s=0.1, poll_s=0.02)
    JobRunner(database, {"work": JobKind(run, gave_up)}, node="killed", pace=pace).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_another_process_takes_over_from_one_that_was_killed(node: Node) -> None:
    made = await node.submit()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(node.file), stdout=PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).decode().strip() == made
        work = Work()
        (await node.runner(work, QUICK)).start()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        killed_at = now_ms()
        await work.began.wait()
    row = await node.until("done")
    assert [(job.id, job.attempt) for job in work.jobs] == [(made, 2)]
    assert row["attempt"] == 2
    assert row["changed_at_ms"] > killed_at


async def test_who_is_alone_does_not_wait_for_the_leases_of_the_dead(node: Node) -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    await node.submit()
    dead = Work(Work().forever)
    await (await node.runner(dead, pace)).poll()
    await dead.began.wait()
    # Also where the clock went back since, so that the lease would last long.
    clock.ms -= 1
    alone = Work()
    runner = await node.runner(alone, pace)
    await runner.poll()
    assert not alone.jobs
    await runner.take_over()
    row = await round_of(runner, node, clock)
    assert (row["state"], [job.attempt for job in alone.jobs]) == ("done", [2])


async def test_what_was_given_up_stays_given_up_when_it_is_taken_over(node: Node) -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    await node.submit()
    node.write(
        "UPDATE jobs SET state = 'failing', error = 'why', attempt = 5, owner = 'dead', "
        "lease_until_ms = 9e12"
    )
    work = Work()
    runner = await node.runner(work, pace)
    await runner.take_over()
    row = await round_of(runner, node, clock)
    assert (row["state"], work.jobs) == ("failed", [])
    assert [message for _, message in work.given_up] == ["why"]


async def test_a_clock_that_leaps_begins_no_job_a_second_time_where_it_runs(node: Node) -> None:
    clock = Clock()
    work = Work()
    work.run = work.forever
    runner = await node.runner(work, Pace(clock=clock))
    await node.submit()
    await runner.poll()
    async with asyncio.timeout(ROUND_S):
        await work.began.wait()
    # As after the sleep of a laptop: the look for work comes before the next heartbeat.
    clock.ms += 3_600_000
    await runner.poll()
    assert node.row()["attempt"] == 1
    other = Work()
    taking_over = await node.runner(other, Pace(clock=clock))
    await taking_over.poll()
    await eventually(other.began.is_set)
    assert [job.attempt for job in other.jobs] == [2]
