"""An application that does customization jobs with a training process of the tests' own, on a real
object store; and what a test asks of it."""

import asyncio
import functools
import itertools
import json
import sys
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from in_process import ADMIN, REGION, Client, Inside, running_inside
from statements import ACCOUNT, OTHER, allow, document
from training_jobs_under_test import trust

from outcrop.billing.ledger import read_lines
from outcrop.config import Binding, Llama, Scripted
from outcrop.server import customizing
from outcrop.services.bedrock.customization.running import job_kinds
from outcrop.services.bedrock.customization.states import is_ended
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import CustomModel
from outcrop.stores.resources import Item, Place

EXPRESS = "amazon.titan-text-express-v1"
PEER = Path(__file__).with_name("customizing_peer.py")
MOST_S = 60


@dataclass
class Bench:
    inside: Inside
    admin: Client
    role: str
    bucket: str

    @property
    def data(self) -> Path:
        return self.inside.deployment.config.data_dir

    async def create(self, scenario: str, **params: Any) -> str:
        """A job whose data say what becomes of it. Its ARN."""
        name = f"job-{uuid.uuid4().hex[:8]}"
        record = {"input": scenario, "output": "x"}
        await self.put(f"{name}.jsonl", json.dumps(record).encode())
        asked: dict[str, Any] = {
            "jobName": name,
            "customModelName": f"model-{name}",
            "roleArn": self.role,
            "baseModelIdentifier": EXPRESS,
            "hyperParameters": {"epochCount": "1", "batchSize": "1"},
            "trainingDataConfig": {"s3Uri": f"s3://{self.bucket}/{name}.jsonl"},
            "outputDataConfig": {"s3Uri": f"s3://{self.bucket}/out/{name}"},
            **params,
        }
        answer = await self.admin.ask("bedrock", "CreateModelCustomizationJob", **asked)
        return cast(str, answer["jobArn"])

    async def make_role(self) -> str:
        """Its ARN. It may everything."""
        name = f"job-{uuid.uuid4().hex[:8]}"
        return await self.inside.role(ACCOUNT, name, trust(), document(allow("*")))

    async def put(self, key: str, body: bytes) -> None:
        background = self.inside.deployment.records.observing.background
        asked = {"Bucket": self.bucket, "Key": key}
        await background.perform(self.inside.caller(ADMIN), "s3", "PutObject", asked, body=body)

    async def keys(self, prefix: str) -> list[str]:
        listed = await self.admin.ask("s3", "ListObjectsV2", Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", ())]

    async def stop(self, arn: str) -> None:
        await self.admin.ask("bedrock", "StopModelCustomizationJob", jobIdentifier=arn)

    async def find(self, arn: str) -> Item[CustomizationJob] | None:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            return await view.find_arn(CustomizationJob, arn)

    async def ended(self, arn: str) -> CustomizationJob:
        """Once it has ended and been cleaned up."""
        job = await self._once(arn, is_ended)
        await self.removed(arn)
        return job

    async def training(self, arn: str) -> CustomizationJob:
        """Once it trains, and has said so."""
        return await self._once(arn, lambda job: job.progress.step > 0)

    async def removed(self, arn: str) -> None:
        """Once nothing of its data is left here."""
        async with asyncio.timeout(MOST_S):
            for _ in itertools.count():
                if not self.folder(arn).exists():
                    return
                await asyncio.sleep(0.02)

    async def _once(
        self, arn: str, reached: Callable[[CustomizationJob], bool]
    ) -> CustomizationJob:
        async with asyncio.timeout(MOST_S):
            while True:
                found = await self.find(arn)
                assert found is not None
                if reached(found.record):
                    return found.record
                await asyncio.sleep(0.02)

    def folder(self, arn: str) -> Path:
        return self.data / "training" / arn.rpartition("/")[2]

    async def model(self, job: CustomizationJob) -> Item[CustomModel] | None:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            return await view.find(CustomModel, Place(ACCOUNT, REGION, job.model_name))

    async def billed(self, arn: str) -> int:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            lines = await read_lines(view.connection, first_hour=0, end_hour=10**9)
        return sum(line.input_tokens for line in lines if line.resource == arn)


@asynccontextmanager
async def open_bench(folder: Path, *, bucket: str = "", **settings: Any) -> AsyncGenerator[Bench]:
    """``bucket`` is one of an earlier application in the folder."""
    weights = folder / "base.gguf"
    weights.write_bytes(b"GGUF")
    base: Mapping[str, Any] = {
        "engines": {"script": Scripted(), "base": Llama(model=str(weights))},
        "bind": (
            Binding(pattern="*", engine="script"),
            Binding(pattern="amazon.titan-text-*", engine="base"),
        ),
    }
    kinds = functools.partial(job_kinds, command=(sys.executable, str(PEER)), pauses_s=(0.1, 0.1))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(customizing, "job_kinds", kinds)
        async with running_inside(folder, monkeypatch, *(() if bucket else (OTHER,)),
                                  **{**base, **settings}) as inside:  # fmt: skip
            admin = inside.client(ADMIN)
            made = bucket or f"bucket-{uuid.uuid4().hex[:8]}"
            if not bucket:
                await admin.ask("s3", "CreateBucket", Bucket=made)
            bench = Bench(inside, admin, "", made)
            bench.role = await bench.make_role()
            yield bench
