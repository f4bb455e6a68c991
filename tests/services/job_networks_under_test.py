"""VPCs as jobs that train a model need them, and what such a job does in one."""

from dataclasses import dataclass
from typing import Any

from training_jobs_under_test import Jobs, job_policy

from outcrop.services.background import VpcPath
from outcrop.services.bedrock.customization.network import (
    close_interface,
    find_path,
    open_interface,
)
from outcrop.services.service_roles import RoleInUse
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.resources import Item


@dataclass(frozen=True)
class Net:
    """A VPC of its own, with what a job needs of it."""

    jobs: Jobs
    vpc: str
    table: str
    subnets: tuple[str, ...]
    groups: tuple[str, ...]

    async def job(self) -> Item[CustomizationJob]:
        return await self.jobs.job(self.subnets, self.groups)

    async def ask(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.jobs.admin.ask("ec2", operation, **params)

    def policy(self) -> str:
        """RUN-182 with the names of this network."""
        (one, other), (group, another) = self.subnets, self.groups
        return job_policy(
            {"subnet-Id": one, "subnet-Id2": other, "sg-Id": group, "sg-Id2": another}
        )

    async def role(self, job: Item[CustomizationJob], *policies: str) -> RoleInUse:
        role_arn = await self.jobs.role(*(policies or [self.policy()]))
        return self.jobs.acting(role_arn, str(job.arn))

    async def open(self, job: Item[CustomizationJob], role: RoleInUse) -> str:
        return await open_interface(self.jobs.background, self.jobs.stores, role, job)

    async def close(self, job: Item[CustomizationJob], role: RoleInUse) -> str | None:
        return await close_interface(self.jobs.background, self.jobs.stores, role, job)

    async def path(self) -> VpcPath:
        job = await self.job()
        interface = await self.open(job, await self.role(job))
        return await find_path(self.jobs.stores, job, interface)

    async def interfaces(self) -> list[dict[str, Any]]:
        inside = [{"Name": "vpc-id", "Values": [self.vpc]}]
        return (await self.ask("DescribeNetworkInterfaces", Filters=inside))["NetworkInterfaces"]


async def network(jobs: Jobs) -> Net:
    async def ask(operation: str, **params: Any) -> dict[str, Any]:
        return await jobs.admin.ask("ec2", operation, **params)

    vpc = (await ask("CreateVpc", CidrBlock="10.9.0.0/16"))["Vpc"]["VpcId"]
    subnets = [
        (await ask("CreateSubnet", VpcId=vpc, CidrBlock=block))["Subnet"]["SubnetId"]
        for block in ("10.9.0.0/28", "10.9.1.0/28")
    ]
    groups = [
        (await ask("CreateSecurityGroup", VpcId=vpc, GroupName=name, Description="d"))["GroupId"]
        for name in ("one", "two")
    ]
    own = [{"Name": "vpc-id", "Values": [vpc]}]
    (table,) = (await ask("DescribeRouteTables", Filters=own))["RouteTables"]
    return Net(jobs, vpc, table["RouteTableId"], tuple(subnets), tuple(groups))
