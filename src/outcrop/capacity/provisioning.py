"""The jobs behind provisioned throughput: what takes it from state to state.

Each looks at the record first and writes its state last, so that it can be done again from any
point: Creating → InService, Updating → InService, either → Failed. What has been deleted in the
meantime gives back what it holds, and nobody is told.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from outcrop.billing.accrual import accrue_in
from outcrop.capacity.capacity import Capacity, CapacityShort
from outcrop.capacity.served_models import model_of_arn
from outcrop.catalog.catalog import Catalog, NoSuchModel
from outcrop.catalog.model import Model
from outcrop.jobs.queue import Job, JobKind
from outcrop.stores.model_records import ProvisionedModel, ProvisionedStatus
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Transaction

log = logging.getLogger(__name__)

PROVISION: Final = "provision-throughput"
UPDATE: Final = "update-throughput"
RELEASE: Final = "release-throughput"

_LONGEST_FAILURE: Final = 2048
_CHANGING: Final = ("Creating", "Updating")


def job_kinds(
    stores: Stores, capacity: Capacity, get_catalog: Callable[[], Catalog]
) -> Mapping[str, JobKind]:
    jobs = _Provisioning(stores, capacity, get_catalog)
    return {
        PROVISION: JobKind(run=jobs.provision, gave_up=jobs.fail),
        UPDATE: JobKind(run=jobs.update, gave_up=jobs.fail),
        RELEASE: JobKind(run=jobs.release, gave_up=jobs.leave),
    }


@dataclass(frozen=True, slots=True)
class _Provisioning:
    stores: Stores
    capacity: Capacity
    get_catalog: Callable[[], Catalog]

    async def provision(self, job: Job) -> None:
        item = await self._find_in(job, "Creating")
        if item is None:
            return
        record = item.record
        try:
            model = self._model(item)
            await self.capacity.reserve(job.subject, model, record.units, record.unit)
        except (CapacityShort, NoSuchModel) as error:
            await self.fail(job, str(error))
            return
        await self._settle(job, "Creating", model)

    async def update(self, job: Job) -> None:
        item = await self._find_in(job, "Updating")
        if item is None:
            return
        try:
            model = self._model(item)
            await self.capacity.swap(job.subject, model)
        except (CapacityShort, NoSuchModel) as error:
            await self.fail(job, str(error))
            return
        await self._settle(job, "Updating", model)

    async def release(self, job: Job) -> None:
        """After a deletion, whose answer may not have waited for it."""
        await self.capacity.release(job.subject)

    async def fail(self, job: Job, message: str) -> None:
        """One that failed serves nothing, holds nothing and costs nothing."""
        async with self.stores.resources.writing() as transaction:
            item = await transaction.find_arn(ProvisionedModel, job.subject)
            if item is not None:
                if item.record.status not in _CHANGING:
                    return
                failure = message[:_LONGEST_FAILURE]
                await _change(transaction, item, status="Failed", failure=failure)
        await self.capacity.release(job.subject)

    async def leave(self, job: Job, message: str) -> None:
        log.error("%s still holds its capacity: %s", job.subject, message)

    async def _find_in(self, job: Job, status: ProvisionedStatus) -> Item[ProvisionedModel] | None:
        """None where there is nothing left to do. An earlier attempt may have ended between its
        last write and its end."""
        async with self.stores.resources.reading() as view:
            item = await view.find_arn(ProvisionedModel, job.subject)
        if item is None or item.record.status == "Failed":
            await self.capacity.release(job.subject)
            return None
        return item if item.record.status == status else None

    def _model(self, item: Item[ProvisionedModel]) -> Model:
        arn, region = item.record.desired_model, item.place.region
        return model_of_arn(self.stores.models, self.get_catalog(), arn, region)

    async def _settle(self, job: Job, status: ProvisionedStatus, model: Model) -> None:
        async with self.stores.resources.writing() as transaction:
            item = await transaction.find_arn(ProvisionedModel, job.subject)
            if item is not None:
                if item.record.status == status:
                    serving = {"model": item.record.desired_model, "foundation_model": model.id}
                    await _change(transaction, item, status="InService", **serving)
                return
        await self.capacity.release(job.subject)


async def _change(transaction: Transaction, item: Item[ProvisionedModel], **fields: Any) -> None:
    """Its cost is counted up to the change, and from there on."""
    now = datetime.now(UTC)
    await accrue_in(transaction, item, now)
    record = msgspec.structs.replace(item.record, **fields)
    await accrue_in(transaction, await transaction.put(replace(item, record=record)), now)
