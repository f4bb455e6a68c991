"""One attempt at a customization job, from its data in S3 to its model.

It goes on from wherever an earlier attempt was left: what is in the job's folder is not fetched
again, and training begins at its checkpoint.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from outcrop.capacity.capacity import Capacity
from outcrop.engines.protocol import EngineError
from outcrop.errors import AWSError
from outcrop.objects.protocol import ObjectsError
from outcrop.services.bedrock.customization.ending import Ending, Job
from outcrop.services.bedrock.customization.keys import KeyUnavailable, open_data_key
from outcrop.services.bedrock.customization.locations import result_names
from outcrop.services.bedrock.customization.network import find_path, open_interface
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.services.bedrock.customization.specs import (
    Specs,
    arn_of,
    folder_of,
    job_id,
    sources_of,
)
from outcrop.services.bedrock.customization.states import (
    PhaseName,
    change_job,
    change_phase,
    is_ended,
)
from outcrop.services.bedrock.customization.storage import JobStorage
from outcrop.services.service_roles import RoleInUse, RoleNotAssumable, ServiceRole
from outcrop.stores.customization_records import CustomizationJob, PhaseStatus
from outcrop.stores.failures import StoreError
from outcrop.stores.resources import Transaction
from outcrop.training.runner import TrainingRun, run_training
from outcrop.training.spec import (
    Broken,
    Progress,
    Rejected,
    Report,
    Stopped,
    Trained,
    TrainingSpec,
    Validated,
)

log = logging.getLogger(__name__)

_WRITE_EVERY_S: Final = 2.0
_ORDER: Final[Sequence[PhaseStatus]] = (
    *("NotStarted", "InProgress", "Stopping"),
    *("Completed", "Failed", "Stopped"),
)


class GivenUp(Exception):
    """It broke, again and again; the text is for the operator."""


class _TrainingBroken(Exception):
    pass


_BREAKING: Final = (
    _TrainingBroken,
    AWSError,
    ObjectsError,
    EngineError,
    StoreError,
    SQLAlchemyError,
    OSError,
)
"""What another try may find mended."""


@dataclass(frozen=True, slots=True)
class Means:
    """What jobs are done with. ``turns`` are as many as there may be training processes at a time,
    which run ``command``. ``pauses_s`` come before what broke is tried again; after the last of
    them it is given up."""

    ending: Ending
    specs: Specs
    capacity: Capacity
    turns: asyncio.Semaphore
    command: Sequence[str]
    pauses_s: Sequence[float]


class Attempt:
    def __init__(self, item: Job, means: Means) -> None:
        self._item = item
        self.arn = arn_of(item)
        self._means = means
        self._ending = means.ending
        self._folder = folder_of(means.specs.config.data_dir, self.arn)
        self._role = RoleInUse(means.ending.stores, ServiceRole(item.record.role_arn, self.arn))
        self._run: TrainingRun | None = None
        self._last: Progress | None = None
        self._written_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._is_over = False
        """The training process has said its last."""

    def begin(self) -> asyncio.Task[None]:
        """Ends when the job is over, as whatever it has become; raises ``JobRefused`` or
        ``GivenUp`` where it is to fail."""
        self._task = asyncio.create_task(self._try(), name=f"outcrop-customizing-{self.arn}")
        return self._task

    async def stop(self) -> None:
        """As its owner asked. Called again and again until it has ended; once the training is
        done, the job is completed all the same."""
        if self._run is not None:
            await self._run.stop()
        elif self._task is not None and not self._is_over and not self._is_stopping:
            self._task.cancel()
            self._is_stopping = True

    def place(self) -> None:
        """Keeps the training off the CPUs that are reserved by now."""
        if self._run is not None:
            self._run.bind(self._free_cpus())

    async def _try(self) -> None:
        try:
            await self._try_again_and_again()
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            await self._ending.stop(self._item, 0)

    async def _try_again_and_again(self) -> None:
        """What went further than ever before it broke has all its tries again."""
        failures, furthest = 0, 0
        while True:
            try:
                await self._once()
            except _BREAKING as error:
                log.warning("%s broke: %s", self.arn, error, exc_info=error)
                step = self._last.step if self._last else 0
                failures = 1 if step > furthest else failures + 1
                furthest = max(furthest, step)
                if failures > len(self._means.pauses_s):
                    raise GivenUp(str(error) or type(error).__name__) from error
                await asyncio.sleep(self._means.pauses_s[failures - 1])
            else:
                return

    async def _once(self) -> None:
        await asyncio.to_thread(_make_folder, self._folder)
        self._is_over = False
        storage = await self._validate()
        async with self._means.turns:
            await self._download(storage)
            ended = await self._train(await self._spec())
        await self._write_last()
        if isinstance(ended, Stopped):
            await self._ending.stop(self._item, ended.tokens)
            return
        # Routes and policies of its network may be others by now.
        await self._upload(await self._storage())
        await self._ending.complete(self._item, ended, self._last)

    async def _validate(self) -> JobStorage:
        """What can be asked before any data are fetched."""
        if self._item.record.validation.status == "NotStarted":
            await self._reach("validation", "InProgress")
        try:
            await self._role.caller(datetime.now(UTC))
        except RoleNotAssumable as error:
            raise JobRefused(f"Could not assume provided IAM role. {error}") from error
        storage = await self._storage()
        if self._item.record.validation.status != "Completed":
            for source in sources_of(self._item.record, self._folder):
                await storage.check_read(source.uri)
            await storage.check_write(self._item.record.output_uri)
        return storage

    async def _storage(self) -> JobStorage:
        stores, background, job = self._ending.stores, self._ending.background, self._item.record
        path = None
        if job.subnets:
            interface = job.interface
            if interface is None:
                interface = await open_interface(background, stores, self._role, self._item)
                await self._change(interface=interface)
            path = await find_path(stores, self._item, interface)
        return JobStorage(background, stores, self._role, self._item.place.region, path)

    async def _download(self, storage: JobStorage) -> None:
        for source in sources_of(self._item.record, self._folder):
            if not await asyncio.to_thread(source.path.exists):
                most = self._means.specs.file_bytes(source, self._item.place)
                quota = self._means.specs.name_of(source.file_quota)
                await storage.download(source.uri, source.path, most, quota)

    async def _spec(self) -> TrainingSpec:
        model = self._ending.find_model(self._item)
        if model is None:
            raise JobRefused(f"There is no model {self._item.record.base_model} any more.")
        try:
            key = await open_data_key(self._ending.background, self._item.record.data_key)
        except KeyUnavailable as error:
            if error.may_pass:
                raise _TrainingBroken(str(error)) from error
            raise JobRefused(str(error)) from error
        return await self._means.specs.make(self._item, model, key, len(self._free_cpus()))

    async def _train(self, spec: TrainingSpec) -> Trained | Stopped:
        async with run_training(spec, cpus=self._free_cpus(), command=self._means.command) as run:
            self._run = run
            try:
                async with aclosing(run.reports()) as reports:
                    async for report in reports:
                        if isinstance(report, Trained | Stopped):
                            self._is_over = True
                            return report
                        await self._hear(report)
            finally:
                self._run = None
        raise _TrainingBroken("The training process ended without a final report.")

    async def _hear(self, report: Report) -> None:
        match report:
            case Validated():
                await self._reach("validation", "Completed")
                await self._reach("processing", "InProgress")
            case Progress():
                await self._progress(report)
            case Rejected():
                await self._write_last()
                raise JobRefused(report.message)
            case Broken():
                await self._write_last()
                raise _TrainingBroken(report.message)
            case _:
                raise TypeError(f"{type(report).__name__} is a final report")

    async def _progress(self, report: Progress) -> None:
        if self._last is None:
            await self._reach("processing", "Completed")
            await self._reach("training", "InProgress")
        self._last = report
        now = asyncio.get_running_loop().time()
        if now - self._written_at >= _WRITE_EVERY_S:
            self._written_at = now
            await self._write_last()

    async def _write_last(self) -> None:
        """However a job ends, what it has trained is paid for."""
        if self._last is not None:
            await self._ending.progress(self._item, self._last)

    async def _upload(self, storage: JobStorage) -> None:
        job = self._item.record
        for name in result_names(job_id(self.arn), is_validated=bool(job.validation_uris)):
            file = self._folder / name.rpartition("/")[2]
            content = await asyncio.to_thread(file.read_bytes)
            await storage.upload(job.output_uri, name, content)

    async def _reach(self, phase: PhaseName, status: PhaseStatus) -> None:
        """Nothing where an earlier attempt has come as far. A job that is being stopped begins no
        phase any more."""
        async with self._ending.stores.resources.writing() as transaction:
            current = await self._find(transaction)
            if current is None or current.record.status != "InProgress":
                return
            reached: PhaseStatus = getattr(current.record, phase).status
            if _ORDER.index(reached) < _ORDER.index(status):
                now = datetime.now(UTC)
                fields = change_phase(current.record, phase, status, now)
                await self._change_in(transaction, current, **fields)

    async def _change(self, **fields: Any) -> None:
        async with self._ending.stores.resources.writing() as transaction:
            current = await self._find(transaction)
            if current is not None and not is_ended(current.record):
                await self._change_in(transaction, current, **fields)

    async def _find(self, transaction: Transaction) -> Job | None:
        return await transaction.find_arn(CustomizationJob, self.arn)

    async def _change_in(self, transaction: Transaction, current: Job, **fields: Any) -> None:
        now = datetime.now(UTC)
        self._item = await change_job(transaction, self._ending.events, current, now, **fields)

    def _free_cpus(self) -> Sequence[int]:
        pool = self._means.capacity.pool()
        reserved = {cpu for cpus in pool.reserved.values() for cpu in cpus}
        return [cpu for cpu in pool.cpus if cpu not in reserved]


def _make_folder(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
