"""The jobs behind customization jobs: each looks at the record first, so that it can be done again
from any point: InProgress → Completed or Failed, Stopping → Stopped.

While one runs, its record is looked at every second: who stops or removes it writes there.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from outcrop.capacity.capacity import Capacity
from outcrop.jobs.queue import Job as QueuedJob, JobKind
from outcrop.services.bedrock.customization.attempt import Attempt, GivenUp, Means
from outcrop.services.bedrock.customization.ending import INTERNAL, Ending, Job
from outcrop.services.bedrock.customization.kinds import CUSTOMIZE
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.services.bedrock.customization.specs import Specs
from outcrop.services.bedrock.customization.states import is_ended
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.failures import StoreError
from outcrop.training.runner import COMMAND

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_PAUSES_S: Final = (2.0, 10.0, 60.0)
_ATTEMPTS: Final = 10
"""Each is a death of this server while the job ran: what breaks by itself is counted elsewhere."""
_AT_ONCE: Final = 256
"""Those that wait for their turn are among them: they can be stopped, too."""


def job_kinds(
    ending: Ending,
    specs: Specs,
    capacity: Capacity,
    *,
    command: Sequence[str] = COMMAND,
    pauses_s: Sequence[float] = _PAUSES_S,
) -> Mapping[str, JobKind]:
    turns = asyncio.Semaphore(specs.config.training.jobs_at_once)
    jobs = _Customizing(ending, Means(ending, specs, capacity, turns, command, pauses_s))
    return {CUSTOMIZE: JobKind(jobs.run, jobs.gave_up, attempts=_ATTEMPTS, at_once=_AT_ONCE)}


@dataclass(frozen=True, slots=True)
class _Customizing:
    ending: Ending
    means: Means

    async def run(self, job: QueuedJob) -> None:
        item = await self._find(job.subject)
        if item is not None and item.record.status == "Stopping":
            await self.ending.stop(item, 0)
        elif item is not None and not is_ended(item.record):
            await self._attempt(item)
        await self._clean_up(job.subject)

    async def gave_up(self, job: QueuedJob, error: str) -> None:
        item = await self._find(job.subject)
        if item is not None and not is_ended(item.record):
            await self._fail(item, error)
        await self._clean_up(job.subject)

    async def _attempt(self, item: Job) -> None:
        attempt = Attempt(item, self.means)
        work = attempt.begin()
        try:
            await self._watch(attempt, work)
        finally:
            work.cancel()
            await asyncio.wait([work])
        if work.cancelled():
            # Its record is gone, and with it whoever wanted to know.
            return
        try:
            work.result()
        except JobRefused as error:
            await self.ending.fail(item, str(error))
        except GivenUp as error:
            await self._fail(item, str(error))

    async def _watch(self, attempt: Attempt, work: asyncio.Task[None]) -> None:
        """Returns when the work has ended, or is to end."""
        while not (await asyncio.wait([work], timeout=_LOOK_S))[0]:
            attempt.place()
            try:
                item = await self._find(attempt.arn)
            except (StoreError, SQLAlchemyError) as error:
                log.warning("%s was not looked at: %s", attempt.arn, error)
                continue
            if item is None:
                return
            if item.record.status == "Stopping":
                await attempt.stop()

    async def _fail(self, item: Job, reason: str) -> None:
        log.error("%s has failed: %s", item.arn, reason)
        await self.ending.fail(item, INTERNAL)

    async def _clean_up(self, arn: str) -> None:
        item = await self._find(arn)
        if item is None:
            await self.ending.forget(arn)
        elif is_ended(item.record):
            await self.ending.clean_up(item)

    async def _find(self, arn: str) -> Job | None:
        async with self.ending.stores.resources.reading() as view:
            return await view.find_arn(CustomizationJob, arn)
