"""Trails with a bucket that lets CloudTrail write, cut and delivered at the times a test says."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from in_process import ADMIN, REGION, Client, Inside, whole
from running_gateways import ACCOUNT

from outcrop.jobs.queue import Job, RetryLater
from outcrop.services.cloudtrail.deliveries import job_kinds
from outcrop.services.cloudtrail.writer import TrailWriter
from outcrop.stores.tables import from_ms, jobs

BUCKET = "trail-files"
NAME = "audit"
ARN = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{NAME}"


def bucket_policy(bucket: str = BUCKET, *, prefix: str = "", arn: str = ARN) -> str:
    """As the user guide has it."""
    principal = {"Service": "cloudtrail.amazonaws.com"}
    source = {"aws:SourceArn": arn}
    folder = f"{prefix}/" if prefix else ""
    acl = {"s3:x-amz-acl": "bucket-owner-full-control"}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": "s3:GetBucketAcl",
                    "Resource": f"arn:aws:s3:::{bucket}",
                    "Condition": {"StringEquals": source},
                },
                {
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": "s3:PutObject",
                    "Resource": f"arn:aws:s3:::{bucket}/{folder}AWSLogs/{ACCOUNT}/*",
                    "Condition": {"StringEquals": {**acl, **source}},
                },
            ],
        }
    )


@dataclass
class Trailing:
    """A deployment whose trails are written when the test says so, at the time of ``clock``."""

    inside: Inside
    admin: Client
    ahead: timedelta = field(default_factory=timedelta)

    @classmethod
    async def over(cls, inside: Inside) -> "Trailing":
        """The deployment's own writer and deliveries are stopped: the test does their work."""
        records = inside.deployment.records
        await records.trails.writer.close()
        await records.deliveries.close()
        return cls(inside, inside.client(ADMIN))

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def make_bucket(self, bucket: str = BUCKET, policy: str | None = None) -> None:
        await self.admin.ask("s3", "CreateBucket", Bucket=bucket)
        policy = bucket_policy(bucket) if policy is None else policy
        await self.put_policy(policy, bucket)

    async def put_policy(self, policy: str, bucket: str = BUCKET) -> None:
        md5 = base64.b64encode(hashlib.md5(policy.encode(), usedforsecurity=False).digest())
        params = {"Bucket": bucket, "Policy": policy, "ContentMD5": md5.decode()}
        await self.admin.ask("s3", "PutBucketPolicy", **params)

    async def make_trail(self, **settings: Any) -> None:
        params = {"Name": NAME, "S3BucketName": BUCKET, **settings}
        await self.admin.ask("cloudtrail", "CreateTrail", **params)
        await self.admin.ask("cloudtrail", "StartLogging", Name=NAME)

    async def cut(self) -> None:
        stores = self.inside.deployment.state.stores
        writer = TrailWriter(
            stores, self.inside.deployment.records.observing.catch_up, clock=self.clock
        )
        await writer.cut()

    async def deliver(self) -> list[str]:
        """Does what is due until nothing is left but what is refused, and tells why that is."""
        stores = self.inside.deployment.state.stores
        background = self.inside.deployment.records.observing.background
        kinds = job_kinds(stores, background, self.clock)
        refused: dict[str, str] = {}
        while waiting := [job for job in await self.waiting() if job.id not in refused]:
            for job in waiting:
                try:
                    await kinds[job.kind].run(job)
                except RetryLater as error:
                    refused[job.id] = str(error.__cause__)
                    continue
                await self._done(job)
        return list(refused.values())

    async def run(self, job: Job) -> None:
        """As the runner would, which then dies before it says so."""
        stores = self.inside.deployment.state.stores
        background = self.inside.deployment.records.observing.background
        await job_kinds(stores, background, self.clock)[job.kind].run(job)

    async def digested_after(self, *, hours: int) -> list[Mapping[str, Any]]:
        """The log files that the digest names which is made then."""
        self.ahead += timedelta(hours=hours)
        await self.write()
        digest = await self.read((await self.digest_keys())[-1])
        return digest["logFiles"]

    async def write(self) -> None:
        await self.cut()
        assert await self.deliver() == []

    async def keys(self, bucket: str = BUCKET) -> list[str]:
        listed = await self.admin.ask("s3", "ListObjectsV2", Bucket=bucket)
        return [each["Key"] for each in listed.get("Contents", ())]

    async def log_keys(self) -> list[str]:
        return [key for key in await self.keys() if "/CloudTrail/" in key]

    async def digest_keys(self) -> list[str]:
        return [key for key in await self.keys() if "/CloudTrail-Digest/" in key]

    async def read(self, key: str) -> dict[str, Any]:
        return json.loads(gzip.decompress((await self.read_whole(key))[0]))

    async def read_whole(self, key: str, bucket: str = BUCKET) -> tuple[bytes, Mapping[str, str]]:
        """Its content as it lies there, and its metadata."""
        request = self.admin.request("s3", "GetObject", Bucket=bucket, Key=key)
        found = await self.admin.app.handle(request)
        assert found.status == 200
        prefix = "x-amz-meta-"
        metadata = {
            name.removeprefix(prefix): value
            for name, value in found.headers.items()
            if name.startswith(prefix)
        }
        return await whole(found), metadata

    async def delivered(self) -> list[Mapping[str, Any]]:
        files = [await self.read(key) for key in await self.log_keys()]
        return [record for file in files for record in file["Records"]]

    async def waiting(self) -> list[Job]:
        async with self.inside.deployment.state.stores.resources.reading() as view:
            rows = await view.connection.execute(
                sa.select(jobs).where(jobs.c.state == "waiting", jobs.c.kind.like("trail-%"))
            )
            return [
                Job(
                    row.id,
                    row.kind,
                    row.subject,
                    json.loads(row.payload),
                    1,
                    from_ms(row.created_at_ms),
                )
                for row in rows
            ]

    async def _done(self, job: Job) -> None:
        resources = self.inside.deployment.state.stores.resources
        async with resources.writing() as transaction:
            await transaction.connection.execute(
                sa.update(jobs).where(jobs.c.id == job.id).values(state="done")
            )
