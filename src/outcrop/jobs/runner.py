"""Does the jobs of one database, beside other processes that do the same.

A handler runs as long as this process holds the job's lease: what would end the process's claim
(a lost lease, a database out of reach, closing) cancels it.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.jobs import leases
from outcrop.jobs.leases import Lease
from outcrop.jobs.queue import TOPIC, JobKind, RetryLater
from outcrop.stores.database import Database
from outcrop.stores.failures import StoreError
from outcrop.stores.resources import Resources
from outcrop.stores.tables import now_ms

log = logging.getLogger(__name__)

_FIRST_PAUSE_MS: Final = 5_000
_LONGEST_PAUSE_MS: Final = 300_000
_PRUNE_EVERY_MS: Final = 60_000
_CANCEL_S: Final = 10.0
"""How long a cancelled handler may take to end before closing goes on without it."""

_DIED = "The process that did the work ended before the work was done."


@dataclass(slots=True)
class _Running:
    lease: Lease
    task: asyncio.Task[None]
    heard_at_ms: int
    """When the lease was last known to be ours."""
    stopped: Literal["", "lost", "closing"] = ""
    """Why we cancelled it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``clock`` tells milliseconds since 1970, ``chance`` a number from 0 to 1 that spreads the
    back-off."""

    lease_s: float = 30
    heartbeat_s: float = 10
    poll_s: float = 1.0
    clock: Callable[[], int] = now_ms
    chance: Callable[[], float] = secrets.SystemRandom().random

    @property
    def lease_ms(self) -> int:
        return round(self.lease_s * 1000)


_PACE: Final = Pace()


class JobRunner:
    """``node`` names this process in the rows, for who reads them. How many jobs it does at a time,
    each kind says for itself."""

    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, JobKind],
        *,
        node: str,
        pace: Pace = _PACE,
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._node = node
        self._pace = pace
        self._clock = pace.clock
        self._running: dict[asyncio.Task[None], _Running] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._loop: asyncio.Task[None] | None = None
        self._prune_at_ms = 0

    def listen_to(self, resources: Resources) -> None:
        """Jobs submitted in this process begin at once, those of other processes soon."""
        resources.listen(TOPIC, lambda _changes: self.wake(), self._woken)

    async def take_over(self) -> None:
        """Frees what earlier processes of the database were doing, which need not run out then. For
        one that knows that no other process works on it now."""
        async with self._database.write() as connection:
            left = await leases.free_all(connection, self._clock())
        if left:
            log.info("%d jobs that another process left go on here", left)

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name=f"outcrop-jobs-{self._node}")
        self._loop.add_done_callback(_tell_of_death)

    def wake(self) -> None:
        self._wake.set()

    async def close(self) -> None:
        """Cancels what runs and gives it back, so that whoever is next goes on at once."""
        self._closing = True
        self.wake()
        if self._loop is not None:
            await self._loop
            self._loop = None
        for running in self._running.values():
            running.stopped = running.stopped or "closing"
            running.task.cancel()
        if not self._running:
            return
        _, stubborn = await asyncio.wait(self._running, timeout=_CANCEL_S)
        for work in stubborn:
            log.error("job %s does not end when cancelled", self._running[work].lease.job.id)
            work.cancel()

    async def poll(self) -> None:
        """Begins what is due, as far as there is room."""
        now = self._clock()
        if now >= self._prune_at_ms:
            async with self._database.write() as connection:
                await leases.prune(connection, now)
            self._prune_at_ms = now + _PRUNE_EVERY_MS
        while (kinds := self._with_room()) and not self._closing:
            lease = await self._claim(kinds)
            if lease is None:
                return
            self._begin(lease)

    async def _woken(self) -> None:
        self.wake()

    async def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                await self.poll()
            except (StoreError, SQLAlchemyError) as error:
                log.warning("jobs were not looked for; trying again: %s", error)
            try:
                async with asyncio.timeout(self._pace.poll_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _with_room(self) -> list[str]:
        running = Counter(one.lease.job.kind for one in self._running.values())
        return [name for name, kind in self._kinds.items() if running[name] < kind.at_once]

    async def _claim(self, kinds: Collection[str]) -> Lease | None:
        # A clock that leaps, as after the machine's sleep, ends leases before they can be renewed:
        # what runs here must not run here twice.
        own = [one.lease.job.id for one in self._running.values()]
        # Looking needs no turn among the writers; most looks find nothing.
        async with self._database.read() as connection:
            if await leases.find_due(connection, kinds, self._clock(), own) is None:
                return None
        owner = f"{self._node[:200]}:{secrets.token_hex(16)}"
        async with self._database.write() as connection:
            now = self._clock()
            until = now + self._pace.lease_ms
            return await leases.claim(connection, kinds, owner, now, until, own=own)

    def _begin(self, lease: Lease) -> None:
        task = asyncio.ensure_future(self._do(lease))
        running = _Running(lease, task, self._clock())
        work = asyncio.create_task(self._watch_over(running), name=f"outcrop-job-{lease.job.id}")
        self._running[work] = running
        work.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Task[None]) -> None:
        del self._running[work]
        _tell_of_death(work)
        self.wake()

    async def _do(self, lease: Lease) -> None:
        kind = self._kinds[lease.job.kind]
        if lease.given_up:
            await kind.gave_up(lease.job, lease.error or _DIED)
        elif lease.job.attempt <= kind.attempts:
            await kind.run(lease.job)
        else:
            raise _Died(lease.error or _DIED)

    async def _watch_over(self, running: _Running) -> None:
        """Renews the lease until the handler has ended, then writes down what came of it."""
        try:
            while not (await asyncio.wait({running.task}, timeout=self._pace.heartbeat_s))[0]:
                if not running.stopped and not await self._renew(running):
                    log.warning("the lease of job %s is lost; it ends here", running.lease.job.id)
                    running.stopped = "lost"
                    running.task.cancel()
        finally:
            running.task.cancel()
        await self._write(running.lease, self._outcome(running))

    async def _renew(self, running: _Running) -> bool:
        now = self._clock()
        try:
            async with self._database.write() as connection:
                kept = await leases.renew(connection, running.lease, now, now + self._pace.lease_ms)
        except (StoreError, SQLAlchemyError) as error:
            log.warning("the lease of job %s was not renewed: %s", running.lease.job.id, error)
            # It must have ended before another process may begin.
            next_ms = self._clock() + round(self._pace.heartbeat_s * 1000)
            return next_ms - running.heard_at_ms < self._pace.lease_ms
        running.heard_at_ms = now
        return kept

    def _outcome(self, running: _Running) -> "_Outcome | None":
        """What to write; nothing where the job is no longer ours."""
        lease, task, now = running.lease, running.task, self._clock()
        error = None if task.cancelled() else task.exception()
        if running.stopped == "lost":
            return None
        if error is None and not task.cancelled():
            return lambda on: leases.end(on, lease, now, "failed" if lease.given_up else "done")
        if isinstance(error, RetryLater):
            later = now + round(error.after.total_seconds() * 1000)
            return lambda on: leases.give_back(on, lease, now, later)
        if running.stopped == "closing":
            return lambda on: leases.give_back(on, lease, now, now)
        return self._failure(lease, error, now)

    def _failure(self, lease: Lease, error: BaseException | None, now: int) -> "_Outcome":
        job = lease.job
        kind = self._kinds[job.kind]
        message = str(error or "") or type(error or asyncio.CancelledError()).__name__
        doing = "telling its subject" if lease.given_up else f"attempt {job.attempt}"
        log.warning(
            "job %s (%s of %s) failed, %s", job.id, job.kind, job.subject, doing, exc_info=error
        )
        if job.attempt >= kind.attempts and not lease.given_up:
            return lambda on: leases.give_up(on, lease, now, message)
        later = now + self._pause_ms(job.attempt - (kind.attempts if lease.given_up else 0))
        return lambda on: leases.fail(on, lease, now, later, message)

    def _pause_ms(self, failures: int) -> int:
        """Twice as long each time, and up to a fifth less by chance: what failed together does not
        come back together."""
        pause = min(_FIRST_PAUSE_MS * 2 ** min(max(failures - 1, 0), 10), _LONGEST_PAUSE_MS)
        return round(pause * (1 - 0.2 * self._pace.chance()))

    async def _write(self, lease: Lease, outcome: "_Outcome | None") -> None:
        if outcome is None:
            return
        try:
            async with self._database.write() as connection:
                kept = await outcome(connection)
        except (StoreError, SQLAlchemyError) as error:
            # Its lease runs out and it is done again, as after the death of this process.
            log.warning("what came of job %s was not written down: %s", lease.job.id, error)
            return
        if not kept:
            log.warning("job %s was taken over before it ended here", lease.job.id)


_Outcome = Callable[[AsyncConnection], Awaitable[bool]]


class _Died(Exception):
    """A job whose processes died as often as it may be tried."""


def _tell_of_death(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.critical("a bug ended %s", task.get_name(), exc_info=error)
