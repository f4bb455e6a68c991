"""What is left of a custom model that was deleted: its engine, its sealed files, its data key.

The record went with the request; a job does the rest, however often it is interrupted.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from outcrop.engines.pool import EnginePool
from outcrop.jobs.queue import Job, JobKind
from outcrop.services.background import Background
from outcrop.services.bedrock.customization.keys import drop_data_key
from outcrop.services.bedrock.customization.kinds import DISCARD
from outcrop.stores.artifacts import Artifacts
from outcrop.stores.model_records import CustomModel, TrainedAdapter

log = logging.getLogger(__name__)


def discarded(model: CustomModel) -> dict[str, Any]:
    """The payload of the job."""
    return {} if model.adapter is None else {"adapter": msgspec.to_builtins(model.adapter)}


def job_kinds(
    engines: EnginePool, artifacts: Artifacts, background: Background
) -> Mapping[str, JobKind]:
    jobs = _Discarding(engines, artifacts, background)
    return {DISCARD: JobKind(run=jobs.discard, gave_up=jobs.leave)}


@dataclass(frozen=True, slots=True)
class _Discarding:
    engines: EnginePool
    artifacts: Artifacts
    background: Background

    async def discard(self, job: Job) -> None:
        await self.engines.drop_adapter(job.subject)
        if "adapter" not in job.payload:
            return
        adapter = msgspec.convert(job.payload["adapter"], TrainedAdapter)
        await self.artifacts.remove(adapter.folder)
        await drop_data_key(self.background, adapter.data_key)

    async def leave(self, job: Job, message: str) -> None:
        log.error("artifacts of %s, which was deleted, are still there: %s", job.subject, message)
