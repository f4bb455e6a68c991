"""The jobs that take provisioned throughput from state to state, done by hand, once or again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from running_gateways import ACCOUNT
from watched_capacity import WatchedCapacity

from outcrop.billing.ledger import read_lines
from outcrop.capacity.capacity import CapacityShort
from outcrop.capacity.provisioning import PROVISION, RELEASE, UPDATE, job_kinds
from outcrop.capacity.served_models import model_of_arn
from outcrop.catalog.account_arns import custom_model_arn, new_resource_id, provisioned_model_arn
from outcrop.catalog.arns import foundation_model_arn
from outcrop.catalog.catalog import NoSuchModel
from outcrop.catalog.load import load_catalog
from outcrop.config import Config, Scripted
from outcrop.engines.protocol import EngineFailed
from outcrop.jobs.queue import Job
from outcrop.server.state import open_state
from outcrop.stores.model_records import CustomModel, ModelUnit, ProvisionedModel
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place

REGION = "us-east-1"
PLACE = Place(ACCOUNT, REGION, "mine")
ARN = provisioned_model_arn(REGION, ACCOUNT, "abcdefghijkl")
SHORT = foundation_model_arn(REGION, "anthropic.claude-v2:0:18k")
LONG = foundation_model_arn(REGION, "anthropic.claude-v2:0:100k")
CATALOG = load_catalog(Config(engines={"script": Scripted()}))
BOUGHT = ProvisionedModel(
    units=1,
    desired_units=1,
    model=SHORT,
    desired_model=SHORT,
    foundation_model="anthropic.claude-v2:0:18k",
    unit=ModelUnit(input_tokens=100, output_tokens=10, hourly_price=3600.0),
)


@dataclass
class Bench:
    stores: Stores
    capacity: WatchedCapacity

    async def buy(self, **fields: Any) -> None:
        async with self.stores.resources.writing() as transaction:
            record = msgspec.structs.replace(BOUGHT, **fields)
            await transaction.add(record, PLACE, arn=ARN)

    async def change(self, **fields: Any) -> None:
        async with self.stores.resources.writing() as transaction:
            item = await transaction.get(ProvisionedModel, PLACE)
            record = msgspec.structs.replace(item.record, **fields)
            await transaction.put(replace(item, record=record))

    async def delete(self) -> None:
        async with self.stores.resources.writing() as transaction:
            await transaction.remove(ProvisionedModel, PLACE)

    async def run(self, kind: str, attempt: int = 1) -> None:
        await self._kinds()[kind].run(self._job(kind, attempt))

    async def give_up(self, kind: str, message: str) -> None:
        await self._kinds()[kind].gave_up(self._job(kind, 6), message)

    async def now(self) -> ProvisionedModel:
        async with self.stores.resources.reading() as view:
            return (await view.get(ProvisionedModel, PLACE)).record

    def _kinds(self) -> Any:
        return job_kinds(self.stores, self.capacity, lambda: CATALOG)

    def _job(self, kind: str, attempt: int) -> Job:
        return Job("id", kind, ARN, {}, attempt, datetime.now(UTC))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_state(tmp_path / "data", {"OUTCROP_ACCOUNT_ID": ACCOUNT}) as state:
        yield Bench(state.stores, WatchedCapacity())


async def test_what_has_been_created_is_in_service(bench: Bench) -> None:
    await bench.buy()
    await bench.run(PROVISION)
    assert (await bench.now()).status == "InService"
    assert bench.capacity.held[ARN].id == "anthropic.claude-v2:0:18k"


@pytest.mark.parametrize(("kind", "status"), [(PROVISION, "Creating"), (UPDATE, "Updating")])
async def test_a_pool_that_is_too_small_fails_it_at_once_with_the_reason(
    bench: Bench, kind: str, status: str
) -> None:
    await bench.buy(status=status, desired_model=LONG)
    bench.capacity.failures.append(CapacityShort("4 CPUs were asked for, 1 is free"))
    await bench.run(kind)
    record = await bench.now()
    assert (record.status, record.failure) == ("Failed", "4 CPUs were asked for, 1 is free")
    assert bench.capacity.asked[-1] == ("release", ARN)


@pytest.mark.parametrize(("kind", "status"), [(PROVISION, "Creating"), (UPDATE, "Updating")])
async def test_an_engine_that_does_not_start_is_tried_again_and_then_fails_it(
    bench: Bench, kind: str, status: str
) -> None:
    await bench.buy(status=status, desired_model=LONG)
    bench.capacity.failures.append(EngineFailed("no such file"))
    with pytest.raises(EngineFailed):
        await bench.run(kind)
    assert (await bench.now()).status == status
    await bench.run(kind, attempt=2)
    assert (await bench.now()).status == "InService"
    await bench.change(status=status)
    await bench.give_up(kind, "no such file" * 1000)
    record = await bench.now()
    assert record.status == "Failed"
    assert record.failure == ("no such file" * 1000)[:2048]
    assert bench.capacity.held == {}


async def test_an_update_ends_with_the_model_that_was_desired(bench: Bench) -> None:
    await bench.buy()
    await bench.run(PROVISION)
    await bench.change(status="Updating", desired_model=LONG)
    bench.capacity.open.clear()
    bench.capacity.arrived.clear()
    work = asyncio.ensure_future(bench.run(UPDATE))
    await bench.capacity.arrived.wait()
    record = await bench.now()
    assert (record.status, record.model) == ("Updating", SHORT)
    assert bench.capacity.held[ARN].id == "anthropic.claude-v2:0:18k"
    bench.capacity.open.set()
    await work
    record = await bench.now()
    assert (record.status, record.model) == ("InService", LONG)
    assert record.foundation_model == "anthropic.claude-v2:0:100k"


@pytest.mark.parametrize("kind", [PROVISION, UPDATE])
@pytest.mark.parametrize("status", ["InService", "Failed"])
async def test_a_job_that_is_done_again_after_its_end_changes_nothing(
    bench: Bench, kind: str, status: str
) -> None:
    await bench.buy(status=status)
    before = await bench.now()
    await bench.run(kind, attempt=2)
    await bench.give_up(kind, "the process ended")
    assert await bench.now() == before
    assert ("reserve", "anthropic.claude-v2:0:18k") not in bench.capacity.asked
    released = ("release", ARN) in bench.capacity.asked
    assert released == (status == "Failed")


@pytest.mark.parametrize(("kind", "status"), [(PROVISION, "Creating"), (UPDATE, "Updating")])
async def test_what_is_deleted_meanwhile_gives_back_what_the_job_took(
    bench: Bench, kind: str, status: str
) -> None:
    await bench.buy(status=status)
    bench.capacity.open.clear()
    work = asyncio.ensure_future(bench.run(kind))
    await bench.capacity.arrived.wait()
    await bench.delete()
    bench.capacity.open.set()
    await work
    assert bench.capacity.held == {}
    await bench.run(kind, attempt=2)
    await bench.give_up(kind, "gone")
    await bench.run(RELEASE)
    await bench.give_up(RELEASE, "it was not to be")
    assert bench.capacity.held == {}


@pytest.mark.parametrize(("kind", "status"), [(PROVISION, "Creating"), (UPDATE, "Updating")])
async def test_a_work_that_ends_in_the_middle_is_done_by_the_next_attempt(
    bench: Bench, kind: str, status: str
) -> None:
    await bench.buy(status=status, desired_model=LONG)
    bench.capacity.open.clear()
    work = asyncio.ensure_future(bench.run(kind))
    await bench.capacity.arrived.wait()
    work.cancel()
    await asyncio.wait([work])
    assert (await bench.now()).status == status
    bench.capacity.open.set()
    await bench.run(kind, attempt=2)
    assert ((await bench.now()).status, (await bench.now()).model) == ("InService", LONG)


async def test_a_model_that_is_gone_is_a_reason_to_fail(bench: Bench) -> None:
    gone = custom_model_arn(REGION, ACCOUNT, "anthropic.claude-v2", new_resource_id())
    await bench.buy(model=gone, desired_model=gone)
    await bench.run(PROVISION)
    record = await bench.now()
    assert record.status == "Failed"
    assert record.failure is not None
    assert gone in record.failure


async def test_what_failed_costs_nothing_and_what_served_does(bench: Bench) -> None:
    await bench.buy()
    bench.capacity.failures.append(CapacityShort("no"))
    await bench.run(PROVISION)
    async with bench.stores.resources.reading() as view:
        lines = await read_lines(view.connection, first_hour=0, end_hour=10_000_000)
    assert lines == []


async def test_a_custom_model_is_served_by_its_own_engine_and_never_by_its_base_s(
    bench: Bench,
) -> None:
    own = await custom(bench, "own", CustomModel(base_model="anthropic.claude-v2", engine="script"))
    plain = await custom(bench, "plain", CustomModel(base_model="anthropic.claude-v2"))
    base = CATALOG.get("anthropic.claude-v2", REGION)
    found = model_of_arn(bench.stores.models, CATALOG, str(own.arn), REGION)
    assert (found.id, found.engine, found.standby) == (base.id, "script", ())
    unserved = model_of_arn(bench.stores.models, CATALOG, str(plain.arn), REGION)
    assert (unserved.id, unserved.engine, unserved.standby) == (base.id, None, ())
    lost = await custom(bench, "lost", CustomModel(base_model="nobody.knows-v1"))
    for arn in (str(lost.arn), ARN, "arn:aws:bedrock:us-east-1::foundation-model/nobody.knows-v1"):
        with pytest.raises(NoSuchModel):
            model_of_arn(bench.stores.models, CATALOG, arn, REGION)


async def custom(bench: Bench, name: str, record: CustomModel) -> Item[CustomModel]:
    async with bench.stores.resources.writing() as transaction:
        arn = custom_model_arn(REGION, ACCOUNT, record.base_model, new_resource_id())
        return await transaction.add(record, Place(ACCOUNT, REGION, name), arn=arn)
