"""Jobs that train a model, as their storage and network see them: roles, buckets and VPCs of a
deployment in the test's own process, with a real object store."""

import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from in_process import ADMIN, REGION, Client, Inside, running_inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.services.background import Background, VpcPath
from outcrop.services.bedrock.customization.storage import JobStorage
from outcrop.services.service_roles import RoleInUse, ServiceRole
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import DataKey
from outcrop.stores.network_records import VpcEndpoint
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"
JOB_ARNS = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-customization-job/*"
S3_SERVICE = f"com.amazonaws.{REGION}.s3"


def example(name: str) -> str:
    """The document's buckets have names that S3 does not take."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for bucket in ("my_training_data_bucket", "my_validation_data_bucket", "my_output_bucket"):
        text = text.replace(bucket, bucket.replace("_", "-"))
    return text


def trust() -> str:
    """RUN-184."""
    return example("RUN-184.json").replace("111122223333", ACCOUNT)


def job_policy(names: Mapping[str, str]) -> str:
    """RUN-182: the document's statements, with their commas as JSON has them, and its blanks
    filled in."""
    text = f"[{example('RUN-182.json')}]"
    text = text.replace(",\n    ]\n", "\n    ],\n").replace(",\n        }", "\n        }")
    for name, value in {**names, "region": "us-east-1", "AccountId": ACCOUNT}.items():
        text = text.replace(f"{{{name}}}", value)
    return json.dumps({"Version": "2012-10-17", "Statement": json.loads(_mended(text))})


def _mended(text: str) -> str:
    """Some commas of the document are too many, others are missing."""
    lines = text.splitlines()
    for at, line in enumerate(lines[:-1]):
        following = lines[at + 1].strip()
        if line.endswith(",") and following.startswith(("]", "}")):
            lines[at] = line[:-1]
        elif line.strip() in ("]", "}") and following.startswith('"'):
            lines[at] = f"{line},"
    return "\n".join(lines)


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Jobs:
    inside: Inside
    admin: Client
    background: Background

    @property
    def stores(self) -> Stores:
        return self.inside.deployment.state.stores

    async def role(self, *policies: str) -> str:
        """A role that Bedrock may assume for jobs; without policies it may everything."""
        statements = [one for text in policies for one in json.loads(text)["Statement"]]
        policy = document(*(statements or [allow("*")]))
        return await self.inside.role(ACCOUNT, unique("job"), trust(), policy)

    def acting(self, role_arn: str, job_arn: str = JOB_ARNS.replace("*", "any/0")) -> RoleInUse:
        return RoleInUse(self.stores, ServiceRole(role_arn, job_arn))

    async def storage(self, *policies: str, path: VpcPath | None = None) -> JobStorage:
        role = self.acting(await self.role(*policies))
        return JobStorage(self.background, self.stores, role, REGION, path)

    async def bucket(self, name: str, client: Client | None = None, **params: Any) -> str:
        await (client or self.admin).ask("s3", "CreateBucket", Bucket=name, **params)
        return name

    async def put(self, bucket: str, key: str, body: bytes = b"{}", **params: Any) -> None:
        await self.bucket(bucket)
        asked = {"Bucket": bucket, "Key": key, **params}
        caller = self.inside.caller(ADMIN)
        await self.background.perform(caller, "s3", "PutObject", asked, body=body)

    async def settle(self, operation: str, **params: Any) -> None:
        """A setting of a bucket, which S3 takes of clients with a checksum alone."""
        call = self.inside.call(self.inside.caller(ADMIN))
        await call.perform("s3", operation, params)

    async def keys(self, bucket: str) -> list[str]:
        listed = await self.admin.ask("s3", "ListObjectsV2", Bucket=bucket)
        return [each["Key"] for each in listed.get("Contents", ())]

    async def read(self, bucket: str, key: str) -> bytes:
        asked = {"Bucket": bucket, "Key": key}
        caller = self.inside.caller(ADMIN)
        answer = await self.background.fetch(caller, "s3", "GetObject", asked)
        assert not isinstance(answer.body, bytes)
        return b"".join([piece async for piece in answer.body])

    async def job(
        self, subnets: tuple[str, ...], groups: tuple[str, ...]
    ) -> Item[CustomizationJob]:
        job_id = uuid.uuid4().hex[:12]
        base = "amazon.titan-text-express-v1:0:8k"
        record = CustomizationJob(
            base_model=base,
            type="FINE_TUNING",
            role_arn="",
            model_name="m",
            model_arn="",
            training_uri="",
            output_uri="",
            hyperparameters={},
            engine="",
            base="",
            data_key=DataKey(kms_key="", ciphertext=b"", context="", grant=""),
            by="",
            subnets=subnets,
            groups=groups,
        )
        arn = JOB_ARNS.replace("*", f"{base}/{job_id}")
        async with self.stores.resources.writing() as transaction:
            return await transaction.add(record, Place(ACCOUNT, REGION, unique("job")), arn=arn)

    async def endpoint(
        self, vpc: str, *tables: str, policy: Mapping[str, Any] | None = None
    ) -> Item[VpcEndpoint]:
        """An S3 endpoint that listens, as far as its record says."""
        params: dict[str, Any] = {"PolicyDocument": json.dumps(policy)} if policy else {}
        made = await self.admin.ask(
            "ec2",
            "CreateVpcEndpoint",
            VpcId=vpc,
            ServiceName=S3_SERVICE,
            RouteTableIds=list(tables),
            **params,
        )
        place = Place(ACCOUNT, REGION, made["VpcEndpoint"]["VpcEndpointId"])
        async with self.stores.resources.writing() as transaction:
            item = await transaction.get(VpcEndpoint, place)
            record = msgspec.structs.replace(
                item.record, state="available", host="127.0.0.1", port=4599
            )
            return await transaction.put(replace(item, record=record))


@asynccontextmanager
async def running_jobs(folder: Path) -> AsyncGenerator[Jobs]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with running_inside(folder, monkeypatch, OTHER) as inside:
            background = inside.deployment.records.observing.background
            yield Jobs(inside, inside.client(ADMIN), background)
