"""Custom models as a completed job leaves them, written straight into the records, and clients that
deploy them, buy throughput of them and call them."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, parse, whole
from statements import ACCOUNT

from outcrop.catalog.account_arns import (
    custom_model_arn,
    customization_job_arn,
    new_resource_id,
)
from outcrop.services.bedrock.customization.keys import make_data_key
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import CustomModel, DataKey, TrainedAdapter
from outcrop.stores.resources import Place, Record
from outcrop.stores.tables import jobs

SONNET = "anthropic.claude-sonnet-4-20250514-v1:0"
"""All five operations of the runtime answer for it."""
OPERATIONS = (
    *("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"),
    "CountTokens",
)
NO_KEY = DataKey(kms_key="", ciphertext=b"", context="", grant="")
HYPERPARAMETERS = {
    "batchSize": "1",
    "epochCount": "1",
    "learningRate": "0.005",
    "learningRateWarmupSteps": "0",
}


@dataclass
class Models:
    inside: Inside
    admin: Client

    @classmethod
    def of(cls, inside: Inside) -> "Models":
        return cls(inside, inside.client(ADMIN))

    async def add(
        self, name: str, base: str = SONNET, key: str | None = None, account: str = ACCOUNT
    ) -> str:
        """Its ARN. With ``key`` it is under the customer's, else under the account's default."""
        job = customization_job_arn(REGION, account, base, new_resource_id())
        caller = replace(self.inside.caller(ADMIN))
        data_key = NO_KEY
        if account == ACCOUNT:
            data_key = await make_data_key(self.inside.call(caller), job, key)
        arn = custom_model_arn(REGION, account, base, new_resource_id())
        place = Place(account, REGION, name)
        await self.write(job_record(base, arn, name, data_key), place, job)
        adapter = TrainedAdapter(
            folder=arn.rpartition("/")[2], base="", size_bytes=1, data_key=data_key
        )
        model = CustomModel(
            base_model=base, engine="script", kms_key=key, job_arn=job, adapter=adapter
        )
        await self.write(model, place, arn)
        return arn

    async def write(self, record: Record, place: Place, arn: str) -> None:
        async with self.inside.deployment.state.stores.resources.writing() as transaction:
            await transaction.add(record, place, arn=arn)

    async def remove(self, name: str) -> None:
        """As no request can: while it is served."""
        async with self.inside.deployment.state.stores.resources.writing() as transaction:
            await transaction.remove(CustomModel, Place(ACCOUNT, REGION, name))

    async def change(self, type: type[Record], name: str, **fields: Any) -> None:
        async with self.inside.deployment.state.stores.resources.writing() as transaction:
            item = await transaction.get(type, Place(ACCOUNT, REGION, name))
            record = msgspec.structs.replace(item.record, **fields)
            await transaction.put(replace(item, record=record))

    async def adapter_of(self, arn: str) -> TrainedAdapter:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            item = await view.find_arn(CustomModel, arn)
        assert item is not None
        assert item.record.adapter is not None
        return item.record.adapter

    async def ask(
        self, operation: str, client: Client | None = None, **params: Any
    ) -> dict[str, Any]:
        return await (client or self.admin).ask("bedrock", operation, **params)

    async def refusal(
        self, operation: str, client: Client | None = None, **params: Any
    ) -> tuple[str, str]:
        """Code and message."""
        with pytest.raises(ClientError) as caught:
            await self.ask(operation, client, **params)
        error = cast(Any, caught.value.response)["Error"]
        return error["Code"], error["Message"]

    async def deploy(self, model: str, name: str = "mine", **params: Any) -> str:
        """Its ARN, while it may still be created."""
        answer = await self.ask(
            "CreateCustomModelDeployment", modelArn=model, modelDeploymentName=name, **params
        )
        return answer["customModelDeploymentArn"]

    async def deployed(self, model: str, name: str = "mine", **params: Any) -> str:
        arn = await self.deploy(model, name, **params)
        assert (await self.settled(arn))["status"] == "Active"
        return arn

    async def get(self, identifier: str = "mine") -> dict[str, Any]:
        answer = await self.ask(
            "GetCustomModelDeployment", customModelDeploymentIdentifier=identifier
        )
        answer.pop("ResponseMetadata")
        return answer

    async def update(self, model: str, identifier: str = "mine") -> None:
        await self.ask(
            "UpdateCustomModelDeployment",
            customModelDeploymentIdentifier=identifier,
            modelArn=model,
        )

    async def settled(self, identifier: str = "mine") -> dict[str, Any]:
        """As it is when its job is done."""
        async with asyncio.timeout(60):
            while True:
                found = await self.get(identifier)
                updating = found.get("updateDetails", {}).get("updateStatus") == "Updating"
                if found["status"] != "Creating" and not updating:
                    return found
                await asyncio.sleep(0.01)

    async def bought(self, model: str, name: str = "bought") -> str:
        """The ARN of throughput of it, in service."""
        answer = await self.ask(
            "CreateProvisionedModelThroughput",
            modelId=model,
            modelUnits=1,
            provisionedModelName=name,
        )
        arn: str = answer["provisionedModelArn"]
        async with asyncio.timeout(60):
            while True:
                status = (await self.throughput(arn))["status"]
                if status != "Creating":
                    break
                await asyncio.sleep(0.01)
        assert status == "InService"
        return arn

    async def throughput(self, arn: str) -> dict[str, Any]:
        return await self.ask("GetProvisionedModelThroughput", provisionedModelId=arn)

    async def jobs_done(self, kind: str) -> None:
        """Returns when no job of the kind that is due is left to do."""
        query = sa.select(jobs.c.state).where(jobs.c.kind == kind)
        database = self.inside.deployment.state.stores.database
        async with asyncio.timeout(60):
            while True:
                async with database.read() as connection:
                    states = (await connection.scalars(query)).all()
                if states and set(states) <= {"done", "failed"}:
                    return
                await asyncio.sleep(0.01)

    async def outcome(
        self, operation: str, model_id: str, client: Client | None = None
    ) -> tuple[str, str]:
        """``ok`` and who served it, or code and message of the refusal."""
        client = client or self.admin
        request = client.request(
            "bedrock-runtime", operation, modelId=model_id, **asking(operation)
        )
        response = await client.app.handle(request)
        body = await whole(response)
        if response.status == 200:
            assert b"xception" not in body
            return "ok", response.headers["x-outcrop-served-by"]
        try:
            parse("bedrock-runtime", operation, response.status, response.headers, body)
        except ClientError as error:
            told = cast(Any, error.response)["Error"]
            return told["Code"], told["Message"]
        raise AssertionError("an error that is none to botocore")


def job_record(base: str, model: str, name: str, data_key: DataKey) -> CustomizationJob:
    return CustomizationJob(
        base_model=base,
        type="FINE_TUNING",
        role_arn=f"arn:aws:iam::{ACCOUNT}:role/tuner",
        model_name=name,
        model_arn=model,
        training_uri="s3://bucket/training.jsonl",
        output_uri="s3://bucket",
        hyperparameters=HYPERPARAMETERS,
        engine="script",
        base="",
        data_key=data_key,
        by=f"arn:aws:iam::{ACCOUNT}:user/builder",
        status="Completed",
        training_loss=6.125,
        validation_losses=(66.83333587646484,),
    )


def served_by(model: str) -> str:
    return f"scripted+{model.rpartition('/')[2]}"


def asking(operation: str, text: str = "granite") -> Mapping[str, Any]:
    conversation = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    if operation == "CountTokens":
        return {"input": {"converse": conversation}}
    if operation.startswith("Converse"):
        return conversation
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 8,
        "messages": [{"role": "user", "content": text}],
    }
    return {"body": json.dumps(body)}


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
