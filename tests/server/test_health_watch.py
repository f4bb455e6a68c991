"""An issue is one event from its first sight until it is gone, over restarts too."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest_asyncio

from outcrop.server.health import HealthWatch, Issue
from outcrop.stores.database import Database
from outcrop.stores.health_records import HealthEventRecord
from outcrop.stores.resources import Resources

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
DEAD = Issue("BEDROCK", "engine:one", "The engine one does not answer: it crashed", "us-east-1a")
STORE = Issue("S3", "objects", "The object store does not answer")


@pytest_asyncio.fixture
async def resources(tmp_path: Path) -> AsyncGenerator[Resources]:
    database = await Database.open(tmp_path / "outcrop.db")
    yield Resources(database)
    await database.close()


async def records(resources: Resources) -> list[HealthEventRecord]:
    async with resources.reading() as view:
        return [item.record for item in await view.list(HealthEventRecord)]


def watch(resources: Resources, issues: list[Issue]) -> HealthWatch:
    return HealthWatch(resources, "us-east-1", lambda: issues)


async def test_an_issue_seen_again_is_the_same_event(resources: Resources) -> None:
    watching = watch(resources, [DEAD])
    await watching.check(NOW)
    commits = resources.commits
    await watching.check(LATER)
    assert resources.commits == commits
    (record,) = await records(resources)
    assert (record.status, record.started_at, record.zone) == ("open", NOW, "us-east-1a")


async def test_an_issue_that_is_gone_closes_its_event(resources: Resources) -> None:
    issues = [DEAD, STORE]
    watching = watch(resources, issues)
    await watching.check(NOW)
    issues.remove(DEAD)
    await watching.check(LATER)
    ended = {record.source: record.ended_at for record in await records(resources)}
    assert ended == {"engine:one": LATER, "objects": None}


async def test_what_comes_back_is_a_new_event(resources: Resources) -> None:
    issues = [DEAD]
    watching = watch(resources, issues)
    for issues[:] in ([DEAD], [], [DEAD]):
        await watching.check(NOW)
    states = sorted(record.status for record in await records(resources))
    assert states == ["closed", "open"]


async def test_an_event_left_open_by_a_server_before_is_gone_on_with(resources: Resources) -> None:
    await watch(resources, [DEAD]).check(NOW)
    await watch(resources, []).check(LATER)
    (record,) = await records(resources)
    assert record.ended_at == LATER
