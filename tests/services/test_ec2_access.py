"""What EC2's actions ask for: a role for jobs in a VPC gets along with what the documents say it
must be allowed (RUN-182), and with nothing less."""

import json
from typing import Any

from botocore.exceptions import ClientError
from in_process import Client, Inside
from statements import ACCOUNT
from training_jobs_under_test import job_policy

JOB = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-customization-job/anything"
TAGS = [
    {"Key": "BedrockManaged", "Value": "true"},
    {"Key": "BedrockModelCustomizationJobArn", "Value": JOB},
]


async def network(admin: Client) -> dict[str, str]:
    (subnet,) = (await admin.ask("ec2", "DescribeSubnets"))["Subnets"]
    made = await admin.ask("ec2", "CreateSubnet", VpcId=subnet["VpcId"], CidrBlock="172.31.32.0/24")
    groups: list[str] = []
    for name in ("one", "two"):
        group = await admin.ask("ec2", "CreateSecurityGroup", GroupName=name, Description="d")
        groups.append(group["GroupId"])
    return {
        "vpc": subnet["VpcId"],
        "subnet-Id2": subnet["SubnetId"],
        "subnet-Id": made["Subnet"]["SubnetId"],
        "sg-Id2": groups[0],
        "sg-Id": groups[1],
    }


async def denied(client: Client, operation: str, **params: Any) -> str:
    """The action that was not allowed; empty where all were."""
    try:
        await client.ask("ec2", operation, **params)
    except ClientError as error:
        answer: Any = error.response
        assert answer["Error"]["Code"] == "UnauthorizedOperation"
        return answer["Error"]["Message"].split("perform: ")[1].split(" ")[0]
    return ""


async def test_a_job_s_role_gets_along_with_what_the_document_allows(
    inside: Inside, admin: Client
) -> None:
    names = await network(admin)
    role = inside.client(await inside.user(ACCOUNT, "job", job_policy(names)))
    for operation in (
        *("DescribeNetworkInterfaces", "DescribeVpcs", "DescribeDhcpOptions"),
        *("DescribeSubnets", "DescribeSecurityGroups"),
    ):
        assert await denied(role, operation) == ""
    assert await denied(role, "DescribeRouteTables") == "ec2:DescribeRouteTables"
    asked = {
        "SubnetId": names["subnet-Id"],
        "Groups": [names["sg-Id"], names["sg-Id2"]],
        "TagSpecifications": [{"ResourceType": "network-interface", "Tags": TAGS}],
    }
    made = await role.ask("ec2", "CreateNetworkInterface", **asked)
    interface = made["NetworkInterface"]
    assert interface["TagSet"] == TAGS
    shared = {"NetworkInterfaceId": interface["NetworkInterfaceId"]}
    granted = await role.ask(
        "ec2",
        "CreateNetworkInterfacePermission",
        **shared,
        AwsAccountId=ACCOUNT,
        Permission="INSTANCE-ATTACH",
    )
    permission = granted["InterfacePermission"]["NetworkInterfacePermissionId"]
    await role.ask(
        "ec2", "DeleteNetworkInterfacePermission", NetworkInterfacePermissionId=permission
    )
    await role.ask("ec2", "DeleteNetworkInterface", **shared)


async def test_a_job_s_role_may_do_nothing_beside_it(inside: Inside, admin: Client) -> None:
    names = await network(admin)
    role = inside.client(await inside.user(ACCOUNT, "job", job_policy(names)))
    (default,) = (
        await admin.ask(
            "ec2",
            "DescribeSecurityGroups",
            Filters=[{"Name": "group-name", "Values": ["default"]}],
        )
    )["SecurityGroups"]
    other = await admin.ask("ec2", "CreateSubnet", VpcId=names["vpc"], CidrBlock="172.31.64.0/24")
    whole = {"ResourceType": "network-interface", "Tags": TAGS}
    more = {**whole, "Tags": [*TAGS, {"Key": "extra", "Value": "1"}]}
    changes: tuple[dict[str, Any], ...] = (
        {"TagSpecifications": []},
        {"TagSpecifications": [{**whole, "Tags": TAGS[:1]}]},
        {"SubnetId": other["Subnet"]["SubnetId"]},
        {"Groups": [default["GroupId"]]},
        {"TagSpecifications": [more]},
    )
    for changed in changes:
        asked: dict[str, Any] = {
            "SubnetId": names["subnet-Id"],
            "Groups": [names["sg-Id"]],
            "TagSpecifications": [whole],
            **changed,
        }
        expected = "ec2:CreateTags" if changed.get("TagSpecifications") == [more] else None
        action = await denied(role, "CreateNetworkInterface", **asked)
        assert action == (expected or "ec2:CreateNetworkInterface"), changed
    plain = await admin.ask("ec2", "CreateNetworkInterface", SubnetId=names["subnet-Id"])
    interface = plain["NetworkInterface"]["NetworkInterfaceId"]
    untagged = {"NetworkInterfaceId": interface}
    assert await denied(role, "DeleteNetworkInterface", **untagged) == "ec2:DeleteNetworkInterface"
    assert await denied(role, "CreateTags", Resources=[interface], Tags=TAGS) == "ec2:CreateTags"
    await admin.ask("ec2", "CreateTags", Resources=[interface], Tags=TAGS)
    assert await denied(role, "DeleteNetworkInterface", **untagged) == ""


async def test_tags_of_a_resource_decide_over_it(inside: Inside, admin: Client) -> None:
    names = await network(admin)
    own = {"StringEquals": {"aws:ResourceTag/team": "ml"}}
    statement = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*", "Condition": own}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    ann = inside.client(await inside.user(ACCOUNT, "ann", policy))
    subnet = {"SubnetId": names["subnet-Id"]}
    assert await denied(ann, "DeleteSubnet", **subnet) == "ec2:DeleteSubnet"
    tags = [{"Key": "team", "Value": "ml"}]
    await admin.ask("ec2", "CreateTags", Resources=[names["subnet-Id"]], Tags=tags)
    assert await denied(ann, "DeleteSubnet", **subnet) == ""
