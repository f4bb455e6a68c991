"""An application whose capacity has no processes, so that a test decides what comes of a purchase,
and clients that buy provisioned throughput of it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, running_inside
from statements import ACCOUNT, OTHER
from watched_capacity import WatchedCapacity

from outcrop.catalog.account_arns import custom_model_arn, new_resource_id
from outcrop.catalog.arns import foundation_model_arn
from outcrop.quotas.book import BASE_MODEL_UNITS, CUSTOM_MODEL_UNITS
from outcrop.stores.model_records import CustomModel, ModelAccess, ProvisionedModel
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Item, Place, Record, Transaction
from outcrop.stores.tables import accruals, jobs

SHORT, LONG = "anthropic.claude-v2:0:18k", "anthropic.claude-v2:0:100k"
TERM = {"commitmentDuration": "OneMonth"}


def model_arn(model: str) -> str:
    return foundation_model_arn(REGION, model)


@dataclass
class Bench:
    inside: Inside
    admin: Client
    capacity: WatchedCapacity

    async def quota(self, key: str, value: float) -> None:
        await self._add(QuotaValue(value=value), key)

    async def units(self, value: float) -> None:
        """An approved quota of both kinds of units with commitment."""
        await self.quota(BASE_MODEL_UNITS, value)
        await self.quota(CUSTOM_MODEL_UNITS, value)

    async def access(self, model: str, status: Any) -> None:
        await self._add(ModelAccess(status=status, by="operator"), model)

    async def custom(
        self, name: str, base: str = "anthropic.claude-v2", account: str = ACCOUNT, **fields: Any
    ) -> str:
        """Its ARN."""
        arn = custom_model_arn(REGION, account, base, new_resource_id())
        await self._add(CustomModel(base_model=base, **fields), name, arn, account)
        return arn

    async def _add(
        self, record: Record, name: str, arn: str | None = None, account: str = ACCOUNT
    ) -> None:
        async with self.inside.deployment.state.stores.resources.writing() as transaction:
            await transaction.add(record, Place(account, REGION, name), arn=arn)

    async def buy(self, name: str = "mine", client: Client | None = None, **params: Any) -> str:
        """Its ARN."""
        asked = {"modelId": SHORT, "modelUnits": 1, "provisionedModelName": name, **TERM, **params}
        asked = {key: value for key, value in asked.items() if value is not None}
        answer = await (client or self.admin).ask(
            "bedrock", "CreateProvisionedModelThroughput", **asked
        )
        return cast(str, answer["provisionedModelArn"])

    async def bought(self, name: str = "mine", **params: Any) -> str:
        """One in service."""
        arn = await self.buy(name, **params)
        assert (await self.settled(arn))["status"] == "InService"
        return arn

    async def get(self, identifier: str = "mine") -> dict[str, Any]:
        return await self.ask("Get", provisionedModelId=identifier)

    async def ask(self, verb: str, client: Client | None = None, **params: Any) -> dict[str, Any]:
        operation = f"{verb}ProvisionedModelThroughput{'s' if verb == 'List' else ''}"
        return await (client or self.admin).ask("bedrock", operation, **params)

    async def refusal(
        self, verb: str, client: Client | None = None, **params: Any
    ) -> tuple[str, str]:
        """Code and message."""
        asked = self.buy(client=client, **params) if verb == "Create" else None
        with pytest.raises(ClientError) as caught:
            await (asked or self.ask(verb, client, **params))
        error = cast(Any, caught.value.response)["Error"]
        return error["Code"], error["Message"]

    async def settled(self, identifier: str = "mine") -> dict[str, Any]:
        """As it is when its job is done."""
        async with asyncio.timeout(30):
            while True:
                found = await self.get(identifier)
                if found["status"] in ("InService", "Failed"):
                    return found
                await asyncio.sleep(0.01)

    async def record(self, name: str = "mine") -> Item[ProvisionedModel]:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            return await view.get(ProvisionedModel, Place(ACCOUNT, REGION, name))

    async def change(self, name: str = "mine", **fields: Any) -> None:
        item = await self.record(name)
        record = msgspec.structs.replace(item.record, **fields)
        await self.inside.change(replace(item, record=record))

    async def end_commitment(self, now: datetime, name: str = "mine") -> None:
        await self.change(name, commitment_ends_at=now)

    async def job_ended(self, kind: str, arn: str) -> None:
        """Returns when the job is done, whatever came of it."""
        query = sa.select(jobs.c.state).where(jobs.c.kind == kind, jobs.c.subject == arn)
        await self._ended(query)

    async def quiet(self) -> None:
        """Returns when there is no job left to do."""
        await self._ended(sa.select(jobs.c.state))

    async def _ended(self, query: sa.Select[Any]) -> None:
        database = self.inside.deployment.state.stores.database
        async with asyncio.timeout(30):
            while True:
                async with database.read() as connection:
                    states = (await connection.scalars(query)).all()
                if states and set(states) <= {"done", "failed"}:
                    return
                await asyncio.sleep(0.01)

    async def bill_since(self, transaction: Transaction, arn: str, moment: datetime) -> None:
        """As if it had been counted last at ``moment``."""
        counted = sa.update(accruals).where(accruals.c.resource == arn)
        await transaction.connection.execute(counted.values(until_s=int(moment.timestamp())))

    async def names(self, **filters: Any) -> list[str]:
        answer = await self.ask("List", **filters)
        return [each["provisionedModelName"] for each in answer["provisionedModelSummaries"]]


@asynccontextmanager
async def open_bench(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncGenerator[Bench]:
    capacity = WatchedCapacity()

    def watched(*_: object, **__: object) -> WatchedCapacity:
        return capacity

    # The application around it is whole: jobs, quotas, access, policies, bills.
    monkeypatch.setattr("outcrop.server.serving.ReservedCapacity", watched)
    async with running_inside(folder, monkeypatch, OTHER, **settings) as inside:
        yield Bench(inside, inside.client(ADMIN), capacity)


def named(bought: Mapping[str, Any]) -> str:
    return cast(str, bought["provisionedModelName"])
