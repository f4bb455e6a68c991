"""A job in its owner's VPC: its network interface, made by a role with the document's permissions,
and its way to S3 through the VPC's endpoint, whose policy decides."""

import gzip
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION
from job_networks_under_test import Net, network
from statements import ACCOUNT, allow, document
from training_jobs_under_test import Jobs, example, running_jobs, unique

from outcrop.errors import ValidationException
from outcrop.services.bedrock.customization.network import (
    check_network,
    find_path,
)
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.network_records import NetworkInterface, VpcEndpoint
from outcrop.stores.resources import Place

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRAINING, OUTPUT = "my-training-data-bucket", "my-output-bucket"
FULL = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jobs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Jobs]:
    async with running_jobs(tmp_path_factory.mktemp("jobs")) as jobs:
        yield jobs


@pytest_asyncio.fixture(loop_scope="module")
async def net(jobs: Jobs) -> Net:
    return await network(jobs)


async def refusal(asked: Awaitable[Any]) -> str:
    with pytest.raises(JobRefused) as caught:
        await asked
    return str(caught.value)


async def code_of(asked: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        await asked
    answer: Any = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


async def test_the_documents_permissions_are_enough_for_an_interface(net: Net) -> None:
    """RUN-182: made, tagged, in use while the job runs, deleted at its end."""
    job = await net.job()
    role = await net.role(job)
    interface_id = await net.open(job, role)
    (shown,) = await net.interfaces()
    assert shown["NetworkInterfaceId"] == interface_id
    assert shown["SubnetId"] in net.subnets
    assert {group["GroupId"] for group in shown["Groups"]} == set(net.groups)
    assert {tag["Key"]: tag["Value"] for tag in shown["TagSet"]} == {
        "BedrockManaged": "true",
        "BedrockModelCustomizationJobArn": job.arn,
    }
    assert shown["Status"] == "in-use"
    assert shown["Attachment"]["Status"] == "attached"
    assert await code_of(net.ask("DeleteNetworkInterface", NetworkInterfaceId=interface_id)) == (
        "InvalidParameterValue",
        f"Network interface '{interface_id}' is currently in use.",
    )
    given = await net.ask("DescribeNetworkInterfacePermissions")
    (permission,) = [
        each
        for each in given["NetworkInterfacePermissions"]
        if each["NetworkInterfaceId"] == interface_id
    ]
    assert permission["AwsService"] == "bedrock.amazonaws.com"
    permission_id = permission["NetworkInterfacePermissionId"]
    taking = {"NetworkInterfacePermissionId": permission_id}
    code, _ = await code_of(net.ask("DeleteNetworkInterfacePermission", **taking))
    assert code == "OperationNotPermitted"
    assert await net.open(job, role) == interface_id
    assert len(await net.interfaces()) == 1
    assert await net.close(job, role) is None
    assert await net.interfaces() == []
    # A job whose end is told twice.
    assert await net.close(job, role) is None


@pytest.mark.parametrize(
    "action",
    ["ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs",
     "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:CreateNetworkInterface",
     "ec2:CreateTags", "ec2:CreateNetworkInterfacePermission"],
)  # fmt: skip
async def test_each_permission_that_is_missing_is_named(net: Net, action: str) -> None:
    job = await net.job()
    policy = json.loads(net.policy())
    for statement in policy["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != action]
    kept = document(*(each for each in policy["Statement"] if each["Action"]))
    role = await net.role(job, kept)
    told = await refusal(net.open(job, role))
    operation = action.removeprefix("ec2:").replace("CreateTags", "CreateNetworkInterface")
    assert told.startswith(f"Amazon EC2 perms missing ({operation}): ")
    assert f"is not authorized to perform: {action} " in told
    # What was made before it was refused is deleted at the job's end.
    assert await net.close(job, role) is None
    assert await net.interfaces() == []


@pytest.mark.parametrize("other", ["subnet", "security-group"])
async def test_a_role_for_another_network_makes_no_interface(net: Net, other: str) -> None:
    job = await net.job()
    policy = net.policy()
    for name in net.subnets if other == "subnet" else net.groups:
        policy = policy.replace(name, f"{name[:-4]}0000")
    told = await refusal(net.open(job, await net.role(job, policy)))
    assert "is not authorized to perform: ec2:CreateNetworkInterface" in told
    assert f":{other}/" in told


async def test_a_subnet_without_addresses_is_passed_over(net: Net) -> None:
    full, other = net.subnets
    for _ in range(11):
        await net.ask("CreateNetworkInterface", SubnetId=full)
    job = await net.job()
    role = await net.role(job)
    interface_id = await net.open(job, role)
    assert await net.open(job, role) == interface_id
    (shown,) = [
        each for each in await net.interfaces() if each["NetworkInterfaceId"] == interface_id
    ]
    assert shown["SubnetId"] == other
    for _ in range(10):
        await net.ask("CreateNetworkInterface", SubnetId=other)
    another = await net.job()
    told = await refusal(net.open(another, await net.role(another)))
    assert told == f"There are not enough free addresses in subnet '{other}'."


async def test_another_s_interface_with_the_job_s_tags_is_left_alone(net: Net) -> None:
    """Who may tag an interface cannot have the role delete it."""
    job = await net.job()
    made = await net.ask("CreateNetworkInterface", SubnetId=net.subnets[0], Groups=[*net.groups])
    foreign = made["NetworkInterface"]["NetworkInterfaceId"]
    tags = [
        {"Key": "BedrockManaged", "Value": "true"},
        {"Key": "BedrockModelCustomizationJobArn", "Value": job.arn},
    ]
    await net.ask("CreateTags", Resources=[foreign], Tags=tags)
    role = await net.role(job)
    assert await net.open(job, role) != foreign
    assert await net.close(job, role) is None
    (left,) = await net.interfaces()
    assert (left["NetworkInterfaceId"], left["Status"]) == (foreign, "available")


@pytest.mark.parametrize("is_elsewhere", [True, False])
async def test_another_s_interface_with_the_job_s_token_is_not_its_way_to_s3(
    net: Net, is_elsewhere: bool
) -> None:
    """Whoever may make interfaces does not move a job to a network, or groups, of their choice."""
    job = await net.job()
    open_net = await network(net.jobs)
    subnet, groups = net.subnets[0], [net.groups[0]]
    if is_elsewhere:
        subnet, groups = open_net.subnets[0], list(open_net.groups)
    token = f"{str(job.arn).rpartition('/')[2][:24]}-{net.subnets[0]}"
    made = await net.ask(
        "CreateNetworkInterface", SubnetId=subnet, Groups=groups, ClientToken=token
    )
    foreign = made["NetworkInterface"]["NetworkInterfaceId"]
    role = await net.role(job)
    with pytest.raises(JobRefused, match=r"other (parameters|security groups)"):
        await net.open(job, role)
    if is_elsewhere:
        assert await net.close(job, role) is None
    (left,) = await (open_net if is_elsewhere else net).interfaces()
    assert (left["NetworkInterfaceId"], left["Status"]) == (foreign, "available")


@pytest.mark.parametrize(
    "action", ["", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"]
)
async def test_an_interface_that_the_role_cannot_delete_is_told_of_and_free(
    net: Net, action: str
) -> None:
    job = await net.job()
    policy = net.policy().replace(f'"{action}"', '"ec2:Nothing"') if action else net.policy()
    arn = await net.jobs.role(policy)
    interface_id = await net.open(job, net.jobs.acting(arn, str(job.arn)))
    if not action:
        await net.jobs.inside.remove(RoleRecord, ACCOUNT, arn.rpartition("/")[2])
    told = await net.close(job, net.jobs.acting(arn, str(job.arn)))
    assert told is not None
    assert told.startswith(f"The network interface {interface_id} of the job was not deleted: ")
    assert (action or "Could not assume provided IAM role") in told
    (shown,) = await net.interfaces()
    assert shown["Status"] == "available"
    await net.ask("DeleteNetworkInterface", NetworkInterfaceId=interface_id)


async def test_networks_are_checked_when_a_job_is_made(net: Net) -> None:
    call = net.jobs.inside.call(net.jobs.inside.caller(ADMIN))
    other = await network(net.jobs)
    await check_network(call, net.subnets, net.groups)
    nowhere = "0123456789abcdef0"
    for subnets, groups, expected in (
        ((), net.groups, "at least one subnet and one security group"),
        (net.subnets, (), "at least one subnet and one security group"),
        ((f"subnet-{nowhere}",), net.groups, f"The subnet ID 'subnet-{nowhere}' does not exist"),
        (net.subnets, (f"sg-{nowhere}",), f"The security group 'sg-{nowhere}' does not exist"),
        (("subnet",), net.groups, 'Invalid id: "subnet" \\(expecting "subnet-...'),
        (net.groups, net.subnets, f'Invalid id: "{net.groups[0]}"'),
        ((net.subnets[0], other.subnets[0]), net.groups, "belong to different networks"),
        (net.subnets, (net.groups[0], other.groups[0]), "belong to different networks"),
    ):
        with pytest.raises(ValidationException, match=expected):
            await check_network(call, subnets, groups)


async def test_without_an_endpoint_for_its_subnet_a_job_has_no_way_to_s3(net: Net) -> None:
    job = await net.job()
    interface_id = await net.open(job, await net.role(job))
    told = await refusal(find_path(net.jobs.stores, job, interface_id))
    assert told.startswith("The job has no way to Amazon S3: no S3 gateway endpoint of ")
    assert net.vpc in told
    # An endpoint whose routes are in another table than the subnet's.
    made = await net.ask("CreateRouteTable", VpcId=net.vpc)
    table = made["RouteTable"]["RouteTableId"]
    endpoint = await net.jobs.endpoint(net.vpc, table)
    assert "no S3 gateway endpoint" in await refusal(find_path(net.jobs.stores, job, interface_id))
    (shown,) = await net.interfaces()
    await net.ask("AssociateRouteTable", RouteTableId=table, SubnetId=shown["SubnetId"])
    path = await find_path(net.jobs.stores, job, interface_id)
    assert (path.endpoint.name, path.interface.name) == (endpoint.name, interface_id)
    record = msgspec.structs.replace(endpoint.record, state="deleting")
    await net.jobs.inside.change(replace(endpoint, record=record))
    assert "no S3 gateway endpoint" in await refusal(find_path(net.jobs.stores, job, interface_id))


async def test_groups_that_let_nothing_out_keep_a_job_from_s3(net: Net) -> None:
    await net.jobs.endpoint(net.vpc, net.table)
    job = await net.job()
    interface_id = await net.open(job, await net.role(job))
    for group in net.groups:
        (shown,) = (await net.ask("DescribeSecurityGroups", GroupIds=[group]))["SecurityGroups"]
        await net.ask(
            "RevokeSecurityGroupEgress",
            GroupId=group,
            IpPermissions=shown["IpPermissionsEgress"],
        )
    told = await refusal(find_path(net.jobs.stores, job, interface_id))
    assert told.startswith("The job has no way to Amazon S3: no outbound rule of its security")
    for port, expected in ((80, False), (443, True)):
        rule = {
            "IpProtocol": "tcp", "FromPort": port, "ToPort": port,
            "IpRanges": [{"CidrIp": "52.216.0.0/15"}],
        }  # fmt: skip
        await net.ask("AuthorizeSecurityGroupEgress", GroupId=net.groups[1], IpPermissions=[rule])
        if expected:
            assert await find_path(net.jobs.stores, job, interface_id)
        else:
            await refusal(find_path(net.jobs.stores, job, interface_id))


async def test_the_endpoint_s_policy_decides_what_a_job_reads_and_writes(
    net: Net, tmp_path: Path
) -> None:
    open_bucket, closed = unique("open"), unique("closed")
    for bucket in (open_bucket, closed):
        await net.jobs.put(bucket, "train.jsonl", b"{}")
    deny = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{closed}", f"arn:aws:s3:::{closed}/*"],
    }  # fmt: skip
    policy = {"Statement": [*FULL["Statement"], deny]}
    await net.jobs.endpoint(net.vpc, net.table, policy=policy)
    storage = await net.jobs.storage(path=await net.path())
    target = tmp_path / "train"
    assert await storage.download(f"s3://{open_bucket}/train.jsonl", target, 9, "q") == 2
    await storage.check_write(f"s3://{open_bucket}/out")
    sentence = (
        f"Could not validate GetObject permissions to access Amazon S3 bucket: {closed} at key "
        "train.jsonl"
    )
    uri = f"s3://{closed}/train.jsonl"
    assert await refusal(storage.check_read(uri)) == sentence
    assert await refusal(storage.download(uri, target, 9, "q")) == sentence
    told = await refusal(storage.check_write(f"s3://{closed}/out"))
    assert told.endswith(f"S3 bucket: {closed} at key out/.write_access_check_file.tmp")
    outside = await net.jobs.storage()
    assert await outside.check_read(uri) == 2


async def test_the_documents_endpoint_policy_names_its_folders_alone(net: Net) -> None:
    """RUN-181 as it is printed, which allows the keys that it names and nothing below them; and
    with what lies in the folders."""
    printed = json.loads(example("RUN-181.json"))
    await net.jobs.put(TRAINING, "myfolder")
    await net.jobs.put(TRAINING, "myfolder/train.jsonl")
    await net.jobs.bucket(OUTPUT)
    endpoint = await net.jobs.endpoint(net.vpc, net.table, policy=printed)
    storage = await net.jobs.storage(path=await net.path())
    assert await storage.check_read(f"s3://{TRAINING}/myfolder") == 2
    for folder in ("myfolder", "other"):
        await refusal(storage.check_read(f"s3://{TRAINING}/{folder}/train.jsonl"))
    await refusal(storage.check_write(f"s3://{OUTPUT}/myfolder"))
    text = json.dumps(printed).replace("/myfolder", "/myfolder/*")
    await net.ask("ModifyVpcEndpoint", VpcEndpointId=endpoint.name, PolicyDocument=text)
    assert await storage.check_read(f"s3://{TRAINING}/myfolder/train.jsonl") == 2
    await storage.check_write(f"s3://{OUTPUT}/myfolder")
    await refusal(storage.check_write(f"s3://{OUTPUT}/other"))


@pytest.mark.parametrize("key", ["aws:SourceVpce", "aws:SourceVpc", "aws:VpcSourceIp"])
async def test_policies_see_where_a_job_comes_from(net: Net, key: str) -> None:
    bucket = unique("inner")
    await net.jobs.put(bucket, "train.jsonl")
    endpoint = await net.jobs.endpoint(net.vpc, net.table)
    path = await net.path()
    value = {
        "aws:SourceVpce": endpoint.name,
        "aws:SourceVpc": net.vpc,
        "aws:VpcSourceIp": path.interface.record.address,
    }[key]
    only = document(allow("s3:*", Condition={"StringEquals": {key: value}}))
    uri = f"s3://{bucket}/train.jsonl"
    assert await (await net.jobs.storage(only, path=path)).check_read(uri) == 2
    await refusal((await net.jobs.storage(only)).check_read(uri))


async def test_an_endpoint_that_is_gone_lets_nothing_pass(net: Net) -> None:
    bucket = unique("cut-off")
    await net.jobs.put(bucket, "train.jsonl")
    endpoint = await net.jobs.endpoint(net.vpc, net.table)
    storage = await net.jobs.storage(path=await net.path())
    async with net.jobs.stores.resources.writing() as transaction:
        await transaction.remove(VpcEndpoint, endpoint.place)
    told = await refusal(storage.check_read(f"s3://{bucket}/train.jsonl"))
    assert told.endswith("at key train.jsonl. The VPC endpoint that took the request is gone.")


async def test_what_a_job_carries_is_in_its_interface_s_flow_logs(net: Net, tmp_path: Path) -> None:
    data, flows = unique("data"), unique("flows")
    await net.jobs.put(data, "train.jsonl", b"x" * 700_000)
    await net.jobs.bucket(flows)
    await net.jobs.endpoint(net.vpc, net.table)
    path = await net.path()
    await net.ask(
        "CreateFlowLogs",
        ResourceType="NetworkInterface",
        ResourceIds=[path.interface.name],
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{flows}",
    )
    storage = await net.jobs.storage(path=path)
    await storage.download(f"s3://{data}/train.jsonl", tmp_path / "t", 1 << 20, "q")
    await storage.upload(f"s3://{data}/out", "metrics.csv", b"y" * 1234)
    await net.jobs.inside.deployment.flows.look(everything=True)
    (key,) = await net.jobs.keys(flows)
    body = await net.jobs.read(flows, key)
    records = [line.split(" ") for line in gzip.decompress(body).decode().splitlines()[1:]]
    address = path.interface.record.address
    # Interface, from, to and its port, bytes: one flow each way.
    assert {(each[2], each[3], each[4], each[9], each[12]) for each in records} == {
        (path.interface.name, "127.0.0.1", address, "700000", "ACCEPT"),
        (path.interface.name, address, "127.0.0.1", "1234", "ACCEPT"),
    }


async def test_an_interface_that_is_lost_meanwhile_is_told(net: Net) -> None:
    job = await net.job()
    interface_id = await net.open(job, await net.role(job))
    async with net.jobs.stores.resources.writing() as transaction:
        await transaction.remove(NetworkInterface, Place(ACCOUNT, REGION, interface_id))
    told = await refusal(find_path(net.jobs.stores, job, interface_id))
    assert told == f"The job's network interface {interface_id} was deleted."
