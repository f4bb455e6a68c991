"""Deliveries: jobs that are tried again for a day, ever more seldom, and then given up.

Source: AWS tries to deliver invocation logs, and events to their targets, for up to 24 hours.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from outcrop.jobs.queue import Handler, Job, JobKind, RetryLater

log = logging.getLogger(__name__)

KEPT: Final = timedelta(hours=24)
_SOONEST: Final = timedelta(seconds=1)
_LATEST: Final = timedelta(minutes=5)
_AGE_TO_PAUSE: Final = 4
"""The pause is a fourth of the delivery's age."""

Clock = Callable[[], datetime]
Lost = Callable[[Job, str], Awaitable[None]]


class NotDelivered(Exception):
    """The destination did not take it this time. The message says why."""


def now() -> datetime:
    return datetime.now(UTC)


def delivery(
    run: Handler, lost: Lost, *, kept: timedelta = KEPT, clock: Clock = now, at_once: int = 8
) -> JobKind:
    """``run`` raises ``NotDelivered`` to be asked again. ``lost`` is told of what was given up,
    with the last failure; it may be told more than once."""

    async def attempt(job: Job) -> None:
        try:
            await run(job)
        except NotDelivered as error:
            age = clock() - job.created_at
            if age < kept:
                pause = min(max(age / _AGE_TO_PAUSE, _SOONEST), _LATEST)
                raise RetryLater(pause) from error
            log.error("%s of %s is dropped after %s: %s", job.kind, job.subject, age, error)
            await lost(job, str(error))

    return JobKind(attempt, lost, at_once=at_once)
