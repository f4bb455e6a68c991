"""The jobs behind custom models on demand: what gets one to serve, and ends its engine.

Each looks at the record first and writes its state last, so that it can be done again from any
point: Creating → Active or Failed, Updating → Active, with the new model or still with the old.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from outcrop.capacity.rates import START_WAIT_S
from outcrop.capacity.served_models import model_of_arn
from outcrop.catalog.catalog import Catalog, NoSuchModel
from outcrop.engines.fitting import AdapterUnavailable
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import Engine, EngineFailed, EngineNotReady, Unsupported
from outcrop.engines.reserved import Process, start
from outcrop.generation import Generation, Text, Turn
from outcrop.jobs.queue import Job, JobKind, submit
from outcrop.services.bedrock.customization.kinds import DEPLOY, RETIRE
from outcrop.services.bedrock.customization.users import CHANGING, needs
from outcrop.stores.model_records import CustomModelDeployment
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Transaction

log = logging.getLogger(__name__)

_LONGEST_FAILURE: Final = 2048
_LAST_CALLS: Final = timedelta(minutes=1)
"""How long the engine of a model that was replaced is kept for calls that had begun before."""


def job_kinds(
    stores: Stores, engines: EnginePool, get_catalog: Callable[[], Catalog]
) -> Mapping[str, JobKind]:
    jobs = _Deploying(stores, engines, get_catalog)
    return {
        DEPLOY: JobKind(run=jobs.deploy, gave_up=jobs.fail),
        RETIRE: JobKind(run=jobs.retire, gave_up=jobs.leave),
    }


@dataclass(frozen=True, slots=True)
class _Deploying:
    stores: Stores
    engines: EnginePool
    get_catalog: Callable[[], Catalog]

    async def deploy(self, job: Job) -> None:
        async with self.stores.resources.reading() as view:
            item = await view.find_arn(CustomModelDeployment, job.subject)
        if item is None or item.record.status not in CHANGING:
            return
        try:
            await self._start(item)
        except (AdapterUnavailable, EngineFailed, NoSuchModel) as error:
            if isinstance(error, AdapterUnavailable) and error.may_pass:
                raise
            # Nothing that passes by itself.
            await self.fail(job, str(error))
        else:
            await self._settle(job, item)

    async def fail(self, job: Job, message: str) -> None:
        """One that was being updated serves its old model still."""
        failure = message[:_LONGEST_FAILURE]
        async with self.stores.resources.writing() as transaction:
            item = await transaction.find_arn(CustomModelDeployment, job.subject)
            if item is None or item.record.status not in CHANGING:
                return
            if item.record.status == "Creating":
                await _change(transaction, item, status="Failed", failure=failure)
            else:
                await _change(
                    transaction, item, status="Active", updated="UpdateFailed", failure=failure
                )
            await submit(transaction, RETIRE, item.record.desired_model)

    async def retire(self, job: Job) -> None:
        """Ends the engine on demand of a model, unless a deployment serves it again."""
        async with self.stores.resources.reading() as view:
            deployed = await view.list(CustomModelDeployment)
        if not any(needs(item.record, job.subject) for item in deployed):
            await self.engines.drop_adapter(job.subject)

    async def leave(self, job: Job, message: str) -> None:
        log.error("the engine of %s still runs: %s", job.subject, message)

    async def _start(self, item: Item[CustomModelDeployment]) -> None:
        """Returns when the engine can answer."""
        catalog, region = self.get_catalog(), item.place.region
        model = model_of_arn(self.stores.models, catalog, item.record.desired_model, region)
        if model.engine is None:
            raise EngineFailed(f"No engine serves {item.record.desired_model} in this deployment.")
        engine = await self.engines.get(
            model.engine, model.engine_model, model.id, adapter=model.adapter
        )
        try:
            async with asyncio.timeout(START_WAIT_S):
                await _try(engine)
        except TimeoutError as error:
            raise EngineNotReady(
                f"engine {engine.name!r} was not ready after {START_WAIT_S:.0f} seconds"
            ) from error

    async def _settle(self, job: Job, begun: Item[CustomModelDeployment]) -> None:
        async with self.stores.resources.writing() as transaction:
            item = await transaction.find_arn(CustomModelDeployment, job.subject)
            if item is None:
                # Deleted while its engine started.
                await submit(transaction, RETIRE, begun.record.desired_model)
            elif item.record.status == "Creating":
                await _change(transaction, item, status="Active")
            elif item.record.status == "Updating":
                old, new = item.record.model, item.record.desired_model
                await _change(
                    transaction, item, status="Active", updated="UpdateCompleted", model=new
                )
                await submit(transaction, RETIRE, old, not_before=_after_last_calls())


async def _try(engine: Engine) -> None:
    await start(engine)
    if isinstance(engine, Process):
        return
    # Another server: whether it has the model shows when it is asked for something small.
    with suppress(Unsupported):
        await engine.count_tokens(Generation((Turn("user", (Text("Hello"),)),), max_tokens=1))


def _after_last_calls() -> datetime:
    return datetime.now(UTC) + _LAST_CALLS


async def _change(
    transaction: Transaction, item: Item[CustomModelDeployment], **fields: Any
) -> None:
    record = msgspec.structs.replace(item.record, **fields)
    await transaction.put(replace(item, record=record))
