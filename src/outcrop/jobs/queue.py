"""Work that outlives requests and processes: one row a job, leased by the process that does it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from outcrop.stores.resources import Transaction


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
    """``gave_up`` tells the job's subject what came of it, with the last error's message."""

    run: Handler
    gave_up: Callable[[Job, str], Awaitable[None]]
    attempts: int = 5


async def submit(
    transaction: Transaction, kind: str, subject: str, payload: Mapping[str, Any] | None = None
) -> str:
    """The job's ID. It is there when the transaction commits, and only then."""
    raise NotImplementedError
