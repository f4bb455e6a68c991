"""Whole jobs in a VPC: what they read and write goes through its endpoint, or nowhere."""

import asyncio
import gzip
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from customizing_under_test import MOST_S, Bench, open_bench
from in_process import ADMIN
from job_networks_under_test import Net, network
from statements import allow, document
from training_jobs_under_test import Jobs, unique

from outcrop.stores.customization_records import CustomizationJob

pytestmark = pytest.mark.asyncio(loop_scope="module")

S3 = document(allow(["s3:GetObject", "s3:PutObject", "s3:ListBucket"]))
EVERYTHING: Mapping[str, Any] = {**allow("*"), "Principal": "*"}
CHECK = ".write_access_check_file.tmp"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path_factory.mktemp("in-vpc")) as bench:
        yield bench


@dataclass(frozen=True)
class Private:
    """A VPC, and jobs in it of a role with the document's permissions (RUN-182), whose data lie in
    a bucket of their own."""

    net: Net
    bench: Bench

    async def create(self, scenario: str, **params: Any) -> str:
        config = {"subnetIds": self.net.subnets, "securityGroupIds": self.net.groups}
        return await self.bench.create(scenario, vpcConfig=config, **params)

    async def ended(self, scenario: str) -> CustomizationJob:
        return await self.bench.ended(await self.create(scenario))

    async def endpoint(self, *statements: Mapping[str, Any]) -> str:
        """Its ID."""
        policy = {"Version": "2012-10-17", "Statement": list(statements)} if statements else None
        made = await self.net.jobs.endpoint(self.net.vpc, self.net.table, policy=policy)
        return made.name

    async def set_policy(self, endpoint: str, *statements: Mapping[str, Any]) -> None:
        policy = document(*statements)
        await self.net.ask("ModifyVpcEndpoint", VpcEndpointId=endpoint, PolicyDocument=policy)

    async def only_through(self, endpoint: str) -> None:
        """The bucket is the role's by that way alone."""
        statement = {
            "Effect": "Deny",
            "Principal": {"AWS": self.bench.role},
            "Action": "s3:*",
            "Resource": self.everything,
            "Condition": {"StringNotEquals": {"aws:SourceVpce": endpoint}},
        }
        call = self.bench.inside.call(self.bench.inside.caller(ADMIN))
        asked = {"Bucket": self.bench.bucket, "Policy": document(statement)}
        await call.perform("s3", "PutBucketPolicy", asked)

    @property
    def everything(self) -> list[str]:
        return [f"arn:aws:s3:::{self.bench.bucket}{below}" for below in ("", "/*")]

    def denied(self, action: str) -> Mapping[str, Any]:
        return {**allow(action), "Resource": self.everything, "Effect": "Deny", "Principal": "*"}

    async def without_interface(self) -> None:
        """Once the job's is gone: its network is cleaned up after its folder."""
        async with asyncio.timeout(MOST_S):
            for _ in itertools.count():
                if not await self.net.interfaces():
                    return
                await asyncio.sleep(0.02)

    async def size(self, key: str) -> int:
        told = await self.bench.admin.ask("s3", "HeadObject", Bucket=self.bench.bucket, Key=key)
        return told["ContentLength"]

    def unreadable(self, job: CustomizationJob) -> str:
        key = job.training_uri.rpartition("/")[2]
        return (
            "Could not validate GetObject permissions to access Amazon S3 bucket: "
            f"{self.bench.bucket} at key {key}"
        )

    def unwritable(self, job: CustomizationJob, name: str) -> str:
        key = job.output_uri.removeprefix(f"s3://{self.bench.bucket}/")
        return (
            "Amazon S3 perms missing (PutObject): Could not validate PutObject permissions to "
            f"access S3 bucket: {self.bench.bucket} at key {key}/{name}"
        )


@pytest_asyncio.fixture(loop_scope="module")
async def private(whole: Bench) -> Private:
    background = whole.inside.deployment.records.observing.background
    jobs = Jobs(whole.inside, whole.admin, background)
    net = await network(jobs)
    role = await jobs.role(net.policy(), S3)
    bucket = await jobs.bucket(unique("private"))
    return Private(net, replace(whole, role=role, bucket=bucket))


async def test_a_job_has_one_interface_of_its_network_while_it_runs(private: Private) -> None:
    await private.endpoint()
    arn = await private.create("trains when stopped")
    job = await private.bench.training(arn)
    (shown,) = await private.net.interfaces()
    assert shown["NetworkInterfaceId"] == job.interface
    assert shown["SubnetId"] in private.net.subnets
    assert {each["GroupId"] for each in shown["Groups"]} == {*private.net.groups}
    assert {each["Key"]: each["Value"] for each in shown["TagSet"]} == {
        "BedrockManaged": "true",
        "BedrockModelCustomizationJobArn": arn,
    }
    assert shown["Status"] == "in-use"
    await private.bench.stop(arn)
    assert (await private.bench.ended(arn)).status == "Completed"
    await private.without_interface()


async def test_all_that_a_job_reads_and_writes_comes_by_its_endpoint(private: Private) -> None:
    """The endpoint lets the bucket pass and the bucket lets the endpoint in, both nothing else."""
    locations = {**allow("s3:*"), "Resource": private.everything, "Principal": "*"}
    endpoint = await private.endpoint(locations)
    await private.only_through(endpoint)
    arn = await private.create("trains")
    job = await private.bench.ended(arn)
    assert (job.status, job.failure) == ("Completed", None)
    assert await private.bench.model(job) is not None
    job_id = arn.rpartition("/")[2]
    results = f"model-customization-job-{job_id}/training_artifacts"
    assert [key.split("/", 2)[2] for key in await private.bench.keys("out/")] == [
        CHECK,
        f"{results}/step_wise_training_metrics.csv",
    ]
    # The same role and data, by no endpoint and by another one.
    outside = await private.bench.ended(await private.bench.create("trains"))
    assert (outside.status, outside.failure) == ("Failed", private.unreadable(outside))
    await private.net.ask("DeleteVpcEndpoints", VpcEndpointIds=[endpoint])
    await private.endpoint()
    other = await private.ended("trains")
    assert (other.status, other.failure) == ("Failed", private.unreadable(other))


async def test_what_a_job_carried_is_in_the_flow_logs_of_its_vpc(private: Private) -> None:
    flows = await private.net.jobs.bucket(unique("flows"))
    await private.net.ask(
        "CreateFlowLogs",
        ResourceType="VPC",
        ResourceIds=[private.net.vpc],
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{flows}",
    )
    await private.endpoint()
    arn = await private.create("trains")
    job = await private.bench.ended(arn)
    await private.bench.inside.deployment.flows.look(everything=True)
    carried: dict[str, int] = {"in": 0, "out": 0}
    for key in await private.net.jobs.keys(flows):
        body = await private.net.jobs.read(flows, key)
        for line in gzip.decompress(body).decode().splitlines()[1:]:
            fields = line.split(" ")
            assert (fields[2], fields[12]) == (job.interface, "ACCEPT")
            carried["in" if fields[3] == "127.0.0.1" else "out"] += int(fields[9])
    written = [await private.size(key) for key in await private.bench.keys("out/")]
    assert len(written) == 2
    data = await private.size(job.training_uri.rpartition("/")[2])
    assert carried == {"in": data, "out": sum(written)}


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket", "s3:PutObject"])
async def test_what_the_endpoint_denies_fails_the_job_before_it_trains(
    private: Private, action: str
) -> None:
    await private.endpoint(EVERYTHING, private.denied(action))
    job = await private.ended("trains")
    told = private.unwritable(job, CHECK) if "Put" in action else private.unreadable(job)
    assert job.failure == told
    await assert_never_trained(private, job)


async def test_without_an_endpoint_a_job_reads_nothing_and_says_what_is_missing(
    private: Private,
) -> None:
    job = await private.ended("trains")
    assert (job.failure or "").startswith(
        f"The job has no way to Amazon S3: no S3 gateway endpoint of {private.net.vpc} has a route "
    )
    await assert_never_trained(private, job)


async def test_an_endpoint_that_closes_while_a_job_trains_lets_no_results_out(
    private: Private,
) -> None:
    endpoint = await private.endpoint()
    arn = await private.create("trains when stopped")
    await private.bench.training(arn)
    await private.set_policy(endpoint, EVERYTHING, private.denied("s3:PutObject"))
    await private.bench.stop(arn)
    job = await private.bench.ended(arn)
    results = f"model-customization-job-{arn.rpartition('/')[2]}/training_artifacts"
    metrics = f"{results}/step_wise_training_metrics.csv"
    assert (job.status, job.failure) == ("Failed", private.unwritable(job, metrics))
    assert await private.bench.model(job) is None
    await private.without_interface()


async def test_an_endpoint_that_goes_while_a_job_trains_leaves_it_no_way(private: Private) -> None:
    endpoint = await private.endpoint()
    arn = await private.create("trains when stopped")
    await private.bench.training(arn)
    await private.net.ask("DeleteVpcEndpoints", VpcEndpointIds=[endpoint])
    await private.bench.stop(arn)
    job = await private.bench.ended(arn)
    assert job.status == "Failed"
    assert (job.failure or "").startswith("The job has no way to Amazon S3: no S3 gateway endpoint")
    assert await private.bench.model(job) is None
    await private.without_interface()


async def assert_never_trained(private: Private, job: CustomizationJob) -> None:
    assert (job.status, job.validation.status) == ("Failed", "Failed")
    assert {job.processing.status, job.training.status} == {"NotStarted"}
    assert job.progress.tokens == 0
    assert await private.bench.model(job) is None
    assert await private.bench.keys("out/") == []
    await private.without_interface()
