"""An application whose jobs wait for ever, so that a test decides what becomes of them, and clients
that ask it for customization jobs."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, running_inside
from statements import ACCOUNT, OTHER, document

from outcrop.config import Binding, Llama, Scripted
from outcrop.events.bus import EVENT
from outcrop.jobs.runner import JobRunner
from outcrop.services.bedrock.customization.states import change_job
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.kms_records import KmsGrant
from outcrop.stores.model_records import CustomModel, ModelAccess
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Item, Place, Record
from outcrop.stores.tables import jobs

EXPRESS = "amazon.titan-text-express-v1"
VARIANT = f"{EXPRESS}:0:8k"
BASE_ARN = f"arn:aws:bedrock:us-east-1::foundation-model/{VARIANT}"
JOBS = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-customization-job"
HYPERPARAMETERS = {
    "epochCount": "1",
    "batchSize": "1",
    "learningRate": "0.005",
    "learningRateWarmupSteps": "0",
}
TRUST = document(
    {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnEquals": {"aws:SourceArn": f"{JOBS}/*"},
        },
    }
)


@dataclass
class Bench:
    inside: Inside
    admin: Client
    role: str

    def request(self, **params: Any) -> dict[str, Any]:
        """The documents' request (RUN-106); a parameter that is None is left out."""
        asked = {
            "jobName": "job-name",
            "customModelName": "custom-model-name",
            "roleArn": self.role,
            "baseModelIdentifier": f"arn:aws:bedrock:us-east-1::foundation-model/{EXPRESS}",
            "hyperParameters": HYPERPARAMETERS,
            "trainingDataConfig": {"s3Uri": "s3://bucket/path/to/train.jsonl"},
            "outputDataConfig": {"s3Uri": "s3://bucket/path/to/output-folder"},
            **params,
        }
        return {name: value for name, value in asked.items() if value is not None}

    async def create(self, client: Client | None = None, /, **params: Any) -> str:
        """Its ARN."""
        answer = await (client or self.admin).ask(
            "bedrock", "CreateModelCustomizationJob", **self.request(**params)
        )
        return cast(str, answer["jobArn"])

    async def get(self, identifier: str = "job-name") -> dict[str, Any]:
        answer = await self.ask("GetModelCustomizationJob", jobIdentifier=identifier)
        answer.pop("ResponseMetadata")
        return answer

    async def stop(self, identifier: str = "job-name") -> None:
        await self.ask("StopModelCustomizationJob", jobIdentifier=identifier)

    async def names(self, **filters: Any) -> list[str]:
        answer = await self.ask("ListModelCustomizationJobs", **filters)
        return [each["jobName"] for each in answer["modelCustomizationJobSummaries"]]

    async def ask(
        self, operation: str, client: Client | None = None, /, **params: Any
    ) -> dict[str, Any]:
        return await (client or self.admin).ask("bedrock", operation, **params)

    async def refusal(
        self, operation: str = "", client: Client | None = None, /, **params: Any
    ) -> tuple[str, str]:
        """Code and message, of a request for a job where no other operation is named."""
        asked = (
            self.ask(operation, client, **params) if operation else self.create(client, **params)
        )
        with pytest.raises(ClientError) as caught:
            await asked
        error = cast(Any, caught.value.response)["Error"]
        return error["Code"], error["Message"]

    async def record(self, name: str = "job-name") -> Item[CustomizationJob]:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            return await view.get(CustomizationJob, Place(ACCOUNT, REGION, name))

    async def change(self, name: str = "job-name", **fields: Any) -> Item[CustomizationJob]:
        """As whoever works on the job would."""
        item = await self.record(name)
        deployment = self.inside.deployment
        async with deployment.state.stores.resources.writing() as transaction:
            events = deployment.records.observing.events
            return await change_job(transaction, events, item, datetime.now(UTC), **fields)

    async def model(self, name: str, base: str = VARIANT, account: str = ACCOUNT) -> str:
        arn = f"arn:aws:bedrock:{REGION}:{account}:custom-model/{base}/{name.ljust(12, 'x')}"
        await self._add(CustomModel(base_model=base), Place(account, REGION, name), arn)
        return arn

    async def access(self, model: str, status: Any) -> None:
        await self._add(ModelAccess(status=status, by="operator"), Place(ACCOUNT, REGION, model))

    async def quota(self, key: str, value: float) -> None:
        await self._add(QuotaValue(value=value), Place(ACCOUNT, REGION, key))

    async def _add(self, record: Record, place: Place, arn: str | None = None) -> None:
        async with self.inside.deployment.state.stores.resources.writing() as transaction:
            await transaction.add(record, place, arn=arn)

    async def grants(self) -> list[Item[KmsGrant]]:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            return await view.list(KmsGrant, account=ACCOUNT)

    async def submitted(self, kind: str) -> list[str]:
        """The subjects of jobs of this kind."""
        query = sa.select(jobs.c.subject).where(jobs.c.kind == kind)
        async with self.inside.deployment.state.stores.database.read() as connection:
            return list((await connection.scalars(query)).all())

    async def events(self) -> list[dict[str, Any]]:
        """Those of customization jobs that were published, the first first."""
        query = sa.select(jobs.c.payload).where(jobs.c.kind == EVENT)
        async with self.inside.deployment.state.stores.database.read() as connection:
            rows = (await connection.scalars(query.order_by(sa.text("rowid")))).all()
        found = [msgspec.json.decode(msgspec.json.decode(row)["event"]) for row in rows]
        return [each for each in found if each["detail-type"].startswith("Model Customization")]


@asynccontextmanager
async def open_bench(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncGenerator[Bench]:
    def never(_: JobRunner) -> None:
        """No job is begun."""

    monkeypatch.setattr(JobRunner, "start", never)
    weights = folder / "base.gguf"
    weights.write_bytes(b"GGUF")
    base: Mapping[str, Any] = {
        "engines": {"script": Scripted(), "base": Llama(model=str(weights))},
        "bind": (
            Binding(pattern="*", engine="script"),
            *(
                Binding(pattern=pattern, engine="base")
                for pattern in ("amazon.titan-text-*", "cohere.command-*", "meta.llama2-*")
            ),
        ),
    }
    async with running_inside(folder, monkeypatch, OTHER, **{**base, **settings}) as inside:
        role = await inside.role(ACCOUNT, "MyBedrockModelCustomizationRole", TRUST)
        yield Bench(inside, inside.client(ADMIN), role)
