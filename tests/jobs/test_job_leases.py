"""Leases of jobs as rows, at every moment of a clock that the test turns."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.strategies import integers, sampled_from

from outcrop.jobs import leases
from outcrop.jobs.leases import Lease
from outcrop.jobs.queue import submit
from outcrop.stores.database import Database
from outcrop.stores.resources import Resources
from outcrop.stores.tables import now_ms

T = TypeVar("T")

KINDS = ("a", "b")
LEASE_MS = 1000


def rows(file: Path) -> list[dict[str, Any]]:
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute("SELECT * FROM jobs ORDER BY id")]
    finally:
        connection.close()


class Leases(RuleBasedStateMachine):
    """Against a model: which lease is the last of each job, and until when."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "outcrop.db"
        self.database = self.runner.run(Database.open(self.file))
        self.resources = Resources(self.database)
        self.now = now_ms() + 1000
        self.leases: list[Lease] = []
        self.last: dict[str, tuple[Lease, int]] = {}
        self.runs = 0

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        self.folder.cleanup()

    def write(self, step: Callable[[Any], Awaitable[T]]) -> T:
        async def written() -> T:
            async with self.database.write() as connection:
                return await step(connection)

        return self.runner.run(written())

    @rule(kind=sampled_from(KINDS), subject=sampled_from(("x", "y")))
    def submit(self, kind: str, subject: str) -> None:
        async def submitted() -> None:
            async with self.resources.writing() as transaction:
                await submit(transaction, kind, subject, {"n": 1})

        self.runner.run(submitted())

    @rule(by_ms=integers(1, 2 * LEASE_MS))
    def wait(self, by_ms: int) -> None:
        self.now += by_ms

    @rule(kinds=sampled_from((KINDS, ("a",), ("b",))))
    def claim(self, kinds: tuple[str, ...]) -> None:
        self.runs += 1
        owner = f"owner {self.runs}"
        until = self.now + LEASE_MS
        lease = self.write(lambda on: leases.claim(on, kinds, owner, self.now, until))
        if lease is None:
            return
        assert lease.job.kind in kinds
        before = self.last.get(lease.job.id)
        if before is not None:
            assert before[1] <= self.now, "somebody else still has it"
        same = [
            held
            for held, until in self.last.values()
            if until > self.now
            and (held.job.kind, held.job.subject) == (lease.job.kind, lease.job.subject)
        ]
        assert not same, "another job of this subject runs"
        self.last[lease.job.id] = lease, until
        self.leases.append(lease)

    def ours(self, lease: Lease) -> bool:
        return lease.job.id in self.last and self.last[lease.job.id][0] is lease

    @rule(which=integers(0, 20))
    def renew(self, which: int) -> None:
        if self.leases:
            lease = self.leases[which % len(self.leases)]
            until = self.now + LEASE_MS
            kept = self.write(lambda on: leases.renew(on, lease, self.now, until))
            assert kept == self.ours(lease)
            if kept:
                self.last[lease.job.id] = lease, until

    @rule(which=integers(0, 20), how=sampled_from(("done", "fail", "later", "give up")))
    def let_go(self, which: int, how: str) -> None:
        if not self.leases:
            return
        lease = self.leases[which % len(self.leases)]
        now = self.now
        steps: dict[str, Callable[[Any], Awaitable[bool]]] = {
            "done": lambda on: leases.end(on, lease, now, "done"),
            "fail": lambda on: leases.fail(on, lease, now, now + 500, "broke"),
            "later": lambda on: leases.give_back(on, lease, now, now + 500),
            "give up": lambda on: leases.give_up(on, lease, now, "broke"),
        }
        kept = self.write(steps[how])
        assert kept == self.ours(lease)
        if kept:
            del self.last[lease.job.id]

    @invariant()
    def at_most_one_of_a_subject_is_held(self) -> None:
        if not hasattr(self, "file"):
            return
        held = [
            (row["kind"], row["subject"])
            for row in rows(self.file)
            if row["state"] in ("running", "failing")
        ]
        assert len(held) == len(set(held))


TestLeases = Leases.TestCase
Leases.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


@pytest.fixture
async def database(tmp_path: Path) -> Any:
    database = await Database.open(tmp_path / "outcrop.db")
    yield database
    await database.close()


async def submitted(database: Database, kind: str = "a", subject: str = "x", **payload: Any) -> str:
    async with Resources(database).writing() as transaction:
        return await submit(transaction, kind, subject, payload)


async def claim(database: Database, owner: str, now: int) -> Lease | None:
    async with database.write() as connection:
        return await leases.claim(connection, KINDS, owner, now, now + LEASE_MS)


async def test_a_job_is_not_there_before_its_transaction_commits(database: Database) -> None:
    async def submitted_in_vain() -> None:
        async with Resources(database).writing() as transaction:
            await submit(transaction, "a", "x")
            raise LookupError

    with pytest.raises(LookupError):
        await submitted_in_vain()
    assert await claim(database, "one", now_ms() + 1) is None


async def test_a_job_carries_what_it_was_given(database: Database) -> None:
    made = await submitted(database, subject="arn:x", nested={"ü": [1, None, 2.5]})
    lease = await claim(database, "one", now_ms() + 1)
    assert lease is not None
    job = lease.job
    assert (job.id, job.kind, job.subject, job.attempt) == (made, "a", "arn:x", 1)
    assert job.payload == {"nested": {"ü": [1, None, 2.5]}}


async def test_a_job_of_a_kind_nobody_here_knows_waits(database: Database) -> None:
    await submitted(database, kind="unknown")
    assert await claim(database, "one", now_ms() + 1) is None


async def test_a_lease_that_ran_out_is_taken_over_and_counts(database: Database) -> None:
    await submitted(database)
    now = now_ms() + 1
    first = await claim(database, "one", now)
    assert first is not None
    assert await claim(database, "two", now + LEASE_MS - 1) is None
    second = await claim(database, "two", now + LEASE_MS)
    assert second is not None
    assert second.job.attempt == 2
    async with database.write() as connection:
        assert not await leases.end(connection, first, now, "done")
        assert await leases.end(connection, second, now, "done")


async def test_what_ended_is_kept_for_a_week_and_ten_thousand_rows(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MOST_ENDED", 3)
    for index in range(6):
        await submitted(database, subject=f"s{index}")
    now = now_ms() + 1
    for index in range(5):
        lease = await claim(database, f"{index}", now)
        assert lease is not None
        async with database.write() as connection:
            # The first ended long ago.
            ended = now - leases.KEPT_MS - 1 if index == 0 else now + index
            await leases.end(connection, lease, ended, "failed" if index % 2 else "done")
    async with database.write() as connection:
        await leases.prune(connection, now)
    left = {(row["state"], row["changed_at_ms"] - now) for row in rows(tmp_path / "outcrop.db")}
    assert {state for state in left if state[0] != "waiting"} == {
        ("done", 2),
        ("failed", 3),
        ("done", 4),
    }
    assert sum(state == "waiting" for state, _ in left) == 1


async def test_looking_for_work_goes_by_the_indexes(database: Database) -> None:
    async with database.read() as connection:
        # The statement itself, as the database is asked it.
        query = leases._due(KINDS, 1).compile(  # pyright: ignore[reportPrivateUsage]
            connection.sync_engine, compile_kwargs={"literal_binds": True}
        )
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")
        steps = [row["detail"] for row in plan.mappings()]
    looks = [step for step in steps if " jobs" in step]
    line = "SEARCH jobs USING INDEX jobs_due (kind=? AND state=? AND not_before_ms<?)"
    # Each kind's line in each state is looked at from its beginning, and what is held besides.
    assert looks.count(line) == 3 * len(KINDS)
    assert all("(kind=? AND state=?" in look for look in looks)
    # That of the few that were found.
    assert steps.count("USE TEMP B-TREE FOR ORDER BY") == 1
