"""The end of a customization job: its last state in one transaction, then nothing of its data is
left here. What an earlier attempt ended is cleaned up again: whoever was killed may not have."""

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrop.billing.prices import UNKNOWN, Prices, training_prices
from outcrop.billing.training import count_tokens
from outcrop.catalog.catalog import Catalog
from outcrop.catalog.model import Model
from outcrop.events.bus import EventBuses
from outcrop.services.background import Background
from outcrop.services.bedrock.customization.keys import drop_data_key
from outcrop.services.bedrock.customization.network import close_interface
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.services.bedrock.customization.specs import arn_of, folder_of, job_id, jobs_folder
from outcrop.services.bedrock.customization.states import change_job, is_ended, write_progress
from outcrop.services.service_roles import RoleInUse, ServiceRole
from outcrop.stores.artifacts import Artifacts
from outcrop.stores.customization_records import CustomizationJob, TrainingProgress
from outcrop.stores.failures import NameTaken
from outcrop.stores.model_records import CustomModel, TrainedAdapter
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.training.spec import ADAPTER_GGUF, ADAPTER_PEFT, Progress, Trained

log = logging.getLogger(__name__)

INTERNAL: Final = "Encountered an unexpected error when processing the request, please try again"
"""The documents' sentence; what really happened is the operator's to read in the log."""

_LONGEST_FAILURE: Final = 2048

Job = Item[CustomizationJob]


@dataclass(frozen=True, slots=True)
class Ending:
    """``get_catalog`` gives the catalog of the moment."""

    stores: Stores
    background: Background
    events: EventBuses
    artifacts: Artifacts
    data_dir: Path
    get_catalog: Callable[[], Catalog]

    def find_model(self, item: Job) -> Model | None:
        return self.get_catalog().find_foundation_model(item.record.base_model, item.place.region)

    async def progress(self, item: Job, report: Progress) -> None:
        """Writes how far it is, and counts what was trained since. Nothing of a job that is gone
        or has ended."""
        async with self.stores.resources.writing() as transaction:
            current = await _find_running(transaction, item)
            if current is not None:
                reached = await self._count(transaction, current, _reached(report))
                await write_progress(transaction, current, reached)

    async def complete(self, item: Job, trained: Trained, last: Progress | None) -> None:
        """Its model is there with it. Raises ``JobRefused`` where the model's name was taken
        meanwhile. ``last`` is the last progress that this attempt saw."""
        adapter = await self._keep(item)
        try:
            async with self.stores.resources.writing() as transaction:
                current = await _find_running(transaction, item)
                if current is not None:
                    await self._add_model(transaction, current, adapter)
                    await self._complete_in(transaction, current, trained, last)
        finally:
            await self._drop_without_model(item.record.model_arn, adapter)

    async def fail(self, item: Job, message: str) -> None:
        await self._end(item, status="Failed", failure=message[:_LONGEST_FAILURE])

    async def stop(self, item: Job, tokens: int) -> None:
        """``tokens`` are those trained until then."""
        await self._end(item, tokens, status="Stopped")

    async def clean_up(self, item: Job) -> None:
        """After the end. What the role cannot take away in its network is its owner's to take."""
        arn = arn_of(item)
        has_model = item.record.status == "Completed"
        if not has_model:
            # An attempt that was killed may have put the model's files there already.
            await self.artifacts.remove(job_id(item.record.model_arn))
        await asyncio.to_thread(_remove, folder_of(self.data_dir, arn))
        if item.record.subnets:
            role = RoleInUse(self.stores, ServiceRole(item.record.role_arn, arn))
            await close_interface(self.background, self.stores, role, item)
        if not has_model:
            await drop_data_key(self.background, item.record.data_key)

    async def forget(self, arn: str) -> None:
        """A job whose record is gone."""
        await asyncio.to_thread(_remove, folder_of(self.data_dir, arn))

    async def sweep(self) -> None:
        """Removes the folders of jobs that do not run. For the start."""
        async with self.stores.resources.reading() as view:
            items = await view.list(CustomizationJob)
        kept = {job_id(arn_of(item)) for item in items if not is_ended(item.record)}
        await asyncio.to_thread(_sweep, jobs_folder(self.data_dir), kept)

    async def _drop_without_model(self, model_arn: str, adapter: TrainedAdapter) -> None:
        """The database knows: whoever was cancelled while it committed has a model all the same.
        Writers wait for that commit, readers would not."""
        async with self.stores.resources.writing() as transaction:
            model = await transaction.find_arn(CustomModel, model_arn)
        if model is None:
            await self.artifacts.remove(adapter.folder)

    async def _complete_in(
        self, transaction: Transaction, item: Job, trained: Trained, last: Progress | None
    ) -> None:
        reached = item.record.progress if last is None else _reached(last)
        reached = _with_tokens(reached, max(reached.tokens, trained.tokens))
        counted = msgspec.structs.replace(
            await self._count(transaction, item, reached), step=reached.steps, left_s=0.0
        )
        await change_job(
            transaction,
            self.events,
            item,
            datetime.now(UTC),
            status="Completed",
            progress=counted,
            training_loss=trained.training_loss,
            validation_losses=trained.validation_losses,
            note=trained.note or None,
        )

    async def _end(self, item: Job, tokens: int = 0, **fields: Any) -> None:
        async with self.stores.resources.writing() as transaction:
            current = await _find_running(transaction, item)
            if current is None:
                return
            before = current.record.progress
            reached = await self._count(transaction, current, _with_tokens(before, tokens))
            now = datetime.now(UTC)
            await change_job(transaction, self.events, current, now, progress=reached, **fields)

    async def _count(
        self, transaction: Transaction, item: Job, reached: TrainingProgress
    ) -> TrainingProgress:
        now = datetime.now(UTC)
        tokens = await count_tokens(transaction, item, reached.tokens, self._prices(item), now)
        return _with_tokens(reached, tokens)

    def _prices(self, item: Job) -> Prices:
        model = self.find_model(item)
        if model is None:
            return UNKNOWN
        prices = training_prices(model)
        if prices != UNKNOWN or model.base_id is None:
            return prices
        base = self.get_catalog().find_foundation_model(model.base_id, item.place.region)
        return UNKNOWN if base is None else training_prices(base)

    async def _keep(self, item: Job) -> TrainedAdapter:
        """Takes the sealed files out of the job's folder. What was trained once more, after a
        crash, replaces what the crash left."""
        folder = folder_of(self.data_dir, arn_of(item))
        name = job_id(item.record.model_arn)
        files = {file: folder / file for file in (ADAPTER_GGUF, ADAPTER_PEFT)}
        await self.artifacts.put(name, files)
        return TrainedAdapter(
            folder=name,
            base=item.record.base,
            size_bytes=await self.artifacts.size(name),
            data_key=item.record.data_key,
        )

    async def _add_model(
        self, transaction: Transaction, item: Job, adapter: TrainedAdapter
    ) -> None:
        job, place = item.record, item.place
        base = self.find_model(item)
        is_bound = base is not None and base.engine == job.engine
        model = CustomModel(
            base_model=job.base_model,
            engine=job.engine,
            engine_model=base.engine_model if base and is_bound else None,
            kms_key=job.kms_key,
            job_arn=item.arn,
            adapter=adapter,
        )
        try:
            await transaction.add(
                model,
                Place(place.account, place.region, job.model_name),
                arn=job.model_arn,
                tags=job.model_tags,
            )
        except NameTaken as error:
            raise JobRefused(
                f"A custom model with the name {job.model_name} was created while the job ran."
            ) from error


async def _find_running(transaction: Transaction, item: Job) -> Job | None:
    """As it is in the transaction; None where it is gone or has ended."""
    current = await transaction.find_arn(CustomizationJob, arn_of(item))
    return None if current is None or is_ended(current.record) else current


def _reached(report: Progress) -> TrainingProgress:
    return TrainingProgress(
        step=report.step,
        steps=report.steps,
        epoch=report.epoch,
        loss=report.loss,
        tokens=report.tokens,
        tokens_per_s=report.tokens_per_s,
        left_s=report.left_s,
        at=datetime.now(UTC),
    )


def _with_tokens(progress: TrainingProgress, tokens: int) -> TrainingProgress:
    return msgspec.structs.replace(progress, tokens=tokens)


def _sweep(folder: Path, kept: Collection[str]) -> None:
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name not in kept:
            log.info("the data of a job that has ended is removed: %s", entry)
            _remove(entry)


def _remove(path: Path) -> None:
    """What stays although it should not is the operator's to take away; nothing else waits."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.error("the data of a job that has ended are still at %s: %s", path, error)
