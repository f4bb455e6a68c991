"""Who does which job, as rows: each change is one conditional statement, true whoever else writes.

A lease is its owner's until ``lease_until_ms`` and as long as nobody has taken it over since.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.jobs.queue import Job
from outcrop.stores.tables import from_ms, jobs

MOST_ENDED: Final = 10_000
"""Rows of done and failed jobs that are kept, for ``KEPT_MS`` at most."""
KEPT_MS: Final = 7 * 24 * 3600 * 1000
_LONGEST_ERROR: Final = 1024

# As the index has them, or SQLite would not use it.
_HELD: Final[tuple[Any, ...]] = tuple(map(sa.literal_column, ("'running'", "'failing'")))
_ENDED: Final = ("done", "failed")


@dataclass(frozen=True, slots=True)
class Lease:
    """``owner`` is unlike that of any other lease. A job that is ``given_up`` is not run again:
    its subject is told ``error``."""

    job: Job
    owner: str
    given_up: bool
    error: str | None


def _due(kinds: Collection[str], now_ms: int, own: Collection[str] = ()) -> sa.Select[Any]:
    """The first of each kind and state is where the index has it, however many wait behind it."""
    firsts = [first for kind in sorted(kinds) for first in _firsts(kind, now_ms, own)]
    found = sa.union_all(*(sa.select(first.subquery()) for first in firsts)).subquery()
    return sa.select(found.c.id).order_by(found.c.not_before_ms).limit(1)


def _firsts(kind: str, now_ms: int, own: Collection[str]) -> list[sa.Select[Any, Any]]:
    other = jobs.alias()
    held = sa.select(other.c.subject).where(other.c.kind == kind, other.c.state.in_(_HELD))
    # What waits has no lease, and of a subject that is held there is one job that does not wait.
    run_out = jobs.c.lease_until_ms <= now_ms
    if own:
        # What was given back is nobody's, though its finder may not be through with it.
        run_out = sa.and_(run_out, sa.or_(jobs.c.owner == "", jobs.c.id.not_in(own)))
    may = {
        "waiting": jobs.c.subject.not_in(held),
        **dict.fromkeys(("running", "failing"), run_out),
    }
    return [
        sa.select(jobs.c.id, jobs.c.not_before_ms)
        .where(jobs.c.kind == kind, jobs.c.state == state, jobs.c.not_before_ms <= now_ms, free)
        .order_by(jobs.c.not_before_ms)
        .limit(1)
        for state, free in may.items()
    ]


async def find_due(
    connection: AsyncConnection, kinds: Collection[str], now_ms: int, own: Collection[str] = ()
) -> str | None:
    """The ID of a job that may be claimed; ``own`` are those that its finder still does, whatever
    the clock says of their leases."""
    return await connection.scalar(_due(kinds, now_ms, own))


async def claim(
    connection: AsyncConnection,
    kinds: Collection[str],
    owner: str,
    now_ms: int,
    until_ms: int,
    *,
    own: Collection[str] = (),
) -> Lease | None:
    """A job that is due, or whose owner has not been heard of for the time of its lease; none of
    ``own``."""
    claimed = await connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == _due(kinds, now_ms, own).scalar_subquery())
        .values(
            state=sa.case((jobs.c.state == "failing", "failing"), else_="running"),
            attempt=jobs.c.attempt + 1,
            owner=owner,
            lease_until_ms=until_ms,
            heartbeat_ms=now_ms,
            changed_at_ms=now_ms,
        )
        .returning(jobs)
    )
    row = claimed.mappings().first()
    if row is None:
        return None
    payload: Any = msgspec.json.decode(row["payload"])
    created_at = from_ms(row["created_at_ms"])
    job = Job(row["id"], row["kind"], row["subject"], payload, row["attempt"], created_at)
    return Lease(job, owner, row["state"] == "failing", row["error"])


async def renew(connection: AsyncConnection, lease: Lease, now_ms: int, until_ms: int) -> bool:
    """Whether it is still its owner's; as after all that follow."""
    return await _change(connection, lease, {"lease_until_ms": until_ms, "heartbeat_ms": now_ms})


async def give_back(
    connection: AsyncConnection, lease: Lease, now_ms: int, not_before_ms: int
) -> bool:
    """As if it had not been tried."""
    values = {"not_before_ms": not_before_ms, "attempt": jobs.c.attempt - 1}
    return await _let_go(connection, lease, now_ms, values)


async def fail(
    connection: AsyncConnection, lease: Lease, now_ms: int, not_before_ms: int, error: str
) -> bool:
    """To be tried again then."""
    # What ended the work stays what its subject is told, whatever keeps it from being told.
    said = lease.error if lease.given_up else error[:_LONGEST_ERROR]
    values = {"not_before_ms": not_before_ms, "error": said}
    return await _let_go(connection, lease, now_ms, values)


async def give_up(connection: AsyncConnection, lease: Lease, now_ms: int, error: str) -> bool:
    """Its subject is to be told, at once."""
    values = {"state": "failing", "not_before_ms": now_ms, "error": error[:_LONGEST_ERROR]}
    return await _let_go(connection, lease, now_ms, values)


async def end(
    connection: AsyncConnection, lease: Lease, now_ms: int, state: Literal["done", "failed"]
) -> bool:
    # What it was about is nobody's any more, and it may be large.
    return await _let_go(connection, lease, now_ms, {"state": state, "payload": b"{}"})


async def free_all(connection: AsyncConnection, now_ms: int) -> int:
    """How many leases there were. Their owners change nothing any more."""
    state = sa.case((jobs.c.state == "failing", "failing"), else_="waiting")
    free = {"state": state, "owner": "", "lease_until_ms": 0, "changed_at_ms": now_ms}
    leased = sa.and_(jobs.c.state.in_(_HELD), jobs.c.owner != "")
    return (await connection.execute(sa.update(jobs).where(leased).values(free))).rowcount


async def prune(connection: AsyncConnection, now_ms: int) -> None:
    ended = jobs.c.state.in_(_ENDED)
    newest = sa.select(jobs.c.id).where(ended).order_by(jobs.c.changed_at_ms.desc())
    kept = newest.limit(MOST_ENDED).scalar_subquery()
    stale = sa.or_(jobs.c.changed_at_ms < now_ms - KEPT_MS, jobs.c.id.not_in(kept))
    await connection.execute(sa.delete(jobs).where(ended, stale))


async def _let_go(
    connection: AsyncConnection, lease: Lease, now_ms: int, values: dict[str, Any]
) -> bool:
    state = "failing" if lease.given_up else "waiting"
    free = {"state": state, "owner": "", "lease_until_ms": 0, "changed_at_ms": now_ms}
    return await _change(connection, lease, {**free, **values})


async def _change(connection: AsyncConnection, lease: Lease, values: dict[str, Any]) -> bool:
    own = sa.and_(jobs.c.id == lease.job.id, jobs.c.owner == lease.owner)
    changed = await connection.execute(sa.update(jobs).where(own).values(values))
    return changed.rowcount == 1
