"""Work that outlives requests and processes: one row a job, leased by the process that does it.

A job that was submitted is done at least once, in no promised order; of one kind, no two of the
same subject run at a time.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from outcrop.stores.resources import Transaction
from outcrop.stores.tables import jobs, now_ms, to_ms

TOPIC: Final = "jobs"
"""Whose listeners are told of new jobs."""


@dataclass(frozen=True, slots=True)
class Job:
    """``subject`` is the ARN of what the job works for; ``attempt`` counts from 1."""

    id: str
    kind: str
    subject: str
    payload: Mapping[str, Any]
    attempt: int
    created_at: datetime


class RetryLater(Exception):
    """Raised by a handler: not now, and no failure either."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(f"again in {after}")
        self.after = after


Handler = Callable[[Job], Awaitable[None]]
"""Does the work, from wherever an earlier attempt left it. Returns when it is done; what it raises
is retried with back-off, and given up after the kind's attempts."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """``gave_up`` tells the job's subject what came of it, with the last error's message; it is
    asked again until it returns. ``at_once``: how many a process does at a time, so that a kind
    that waits for others leaves room to all others."""

    run: Handler
    gave_up: Callable[[Job, str], Awaitable[None]]
    attempts: int = 5
    at_once: int = 8


async def submit(
    transaction: Transaction,
    kind: str,
    subject: str,
    payload: Mapping[str, Any] | None = None,
    *,
    not_before: datetime | None = None,
) -> str:
    """The job's ID. It is there when the transaction commits, and only then."""
    now = now_ms()
    job_id = secrets.token_hex(16)
    row = {
        "id": job_id,
        "kind": kind,
        "subject": subject,
        "payload": msgspec.json.encode(payload or {}),
        "state": "waiting",
        "attempt": 0,
        "not_before_ms": now if not_before is None else to_ms(not_before),
        "owner": "",
        "lease_until_ms": 0,
        "created_at_ms": now,
        "changed_at_ms": now,
    }
    await transaction.connection.execute(sa.insert(jobs).values(row))
    transaction.touched.add(TOPIC)
    return job_id


async def revise(transaction: Transaction, job: Job, payload: Mapping[str, Any]) -> None:
    """What the next attempt of a job finds as its payload. For the handler that runs it."""
    values = {"payload": msgspec.json.encode(payload)}
    await transaction.connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(values))
