"""Networks as a client makes, sees and removes them: VPCs, subnets, groups, tables, interfaces."""

from ipaddress import IPv4Network
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, strategies as st
from in_process import Client, Inside
from kms_requests import refusal
from statements import OTHER

from outcrop.errors import ServiceError
from outcrop.services.ec2.listing import matches
from outcrop.services.ec2.vpcs import parse_block


async def make_vpc(client: Client, cidr: str = "10.0.0.0/16") -> str:
    return (await client.ask("ec2", "CreateVpc", CidrBlock=cidr))["Vpc"]["VpcId"]


async def make_subnet(client: Client, vpc: str, cidr: str = "10.0.1.0/24") -> str:
    made = await client.ask("ec2", "CreateSubnet", VpcId=vpc, CidrBlock=cidr)
    return made["Subnet"]["SubnetId"]


async def test_an_account_finds_a_default_network_in_each_region(admin: Client) -> None:
    (vpc,) = (await admin.ask("ec2", "DescribeVpcs"))["Vpcs"]
    assert vpc["IsDefault"]
    assert vpc["CidrBlock"] == "172.31.0.0/16"
    (subnet,) = (await admin.ask("ec2", "DescribeSubnets"))["Subnets"]
    assert (subnet["VpcId"], subnet["AvailabilityZone"]) == (vpc["VpcId"], "us-east-1a")
    assert (subnet["AvailabilityZoneId"], subnet["DefaultForAz"]) == ("use1-az1", True)
    (group,) = (await admin.ask("ec2", "DescribeSecurityGroups"))["SecurityGroups"]
    assert (group["GroupName"], group["VpcId"]) == ("default", vpc["VpcId"])
    (table,) = (await admin.ask("ec2", "DescribeRouteTables"))["RouteTables"]
    assert table["Associations"][0]["Main"]
    (options,) = (await admin.ask("ec2", "DescribeDhcpOptions"))["DhcpOptions"]
    assert options["DhcpOptionsId"] == vpc["DhcpOptionsId"]
    elsewhere = Client(admin.app, admin.keys, region="eu-west-1")
    (other,) = (await elsewhere.ask("ec2", "DescribeVpcs"))["Vpcs"]
    assert other["VpcId"] != vpc["VpcId"]
    (zone,) = (await elsewhere.ask("ec2", "DescribeAvailabilityZones"))["AvailabilityZones"]
    assert (zone["ZoneName"], zone["ZoneId"]) == ("eu-west-1a", "euw1-az1")


async def test_a_default_network_that_was_deleted_stays_deleted(admin: Client) -> None:
    (subnet,) = (await admin.ask("ec2", "DescribeSubnets"))["Subnets"]
    await admin.ask("ec2", "DeleteSubnet", SubnetId=subnet["SubnetId"])
    await admin.ask("ec2", "DeleteVpc", VpcId=subnet["VpcId"])
    assert (await admin.ask("ec2", "DescribeVpcs"))["Vpcs"] == []
    assert (await admin.ask("ec2", "DescribeSecurityGroups"))["SecurityGroups"] == []
    code, _ = await refusal(
        admin, "ec2", "CreateSecurityGroup", GroupName="g", Description="without a VPC"
    )
    assert code == "VPCIdNotSpecified"


async def test_other_accounts_see_and_reach_nothing(inside: Inside, admin: Client) -> None:
    vpc = await make_vpc(admin)
    subnet = await make_subnet(admin, vpc)
    everything = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    keys = await inside.user(OTHER, "ann", everything.replace("{", '{"Version": "2012-10-17", ', 1))
    stranger = inside.client(keys)
    (own,) = (await stranger.ask("ec2", "DescribeVpcs"))["Vpcs"]
    assert own["VpcId"] != vpc
    for operation, params, code in (
        ("DescribeVpcs", {"VpcIds": [vpc]}, "InvalidVpcID.NotFound"),
        ("DeleteVpc", {"VpcId": vpc}, "InvalidVpcID.NotFound"),
        ("DeleteSubnet", {"SubnetId": subnet}, "InvalidSubnetID.NotFound"),
        ("CreateSubnet", {"VpcId": vpc, "CidrBlock": "10.0.9.0/24"}, "InvalidVpcID.NotFound"),
        ("CreateTags", {"Resources": [vpc], "Tags": [{"Key": "a"}]}, "InvalidVpcID.NotFound"),
    ):
        assert (await refusal(stranger, "ec2", operation, **params))[0] == code
    assert (await stranger.ask("ec2", "DescribeTags"))["Tags"] == []


@pytest.mark.parametrize(
    ("operation", "params", "code", "message"),
    [
        (
            "DeleteVpc",
            {"VpcId": "vpc-1"},
            "InvalidVpcID.Malformed",
            'Invalid id: "vpc-1" (expecting "vpc-...")',
        ),
        (
            "DeleteVpc",
            {"VpcId": "vpc-12345678"},
            "InvalidVpcID.NotFound",
            "The vpc ID 'vpc-12345678' does not exist",
        ),
        (
            "DeleteSubnet",
            {"SubnetId": "subnet-12345678"},
            "InvalidSubnetID.NotFound",
            "The subnet ID 'subnet-12345678' does not exist",
        ),
        (
            "DeleteSecurityGroup",
            {"GroupId": "sg-12345678"},
            "InvalidGroup.NotFound",
            "The security group 'sg-12345678' does not exist",
        ),
        (
            "DeleteSecurityGroup",
            {"GroupId": "x"},
            "InvalidGroupId.Malformed",
            'Invalid id: "x" (expecting "sg-...")',
        ),
        (
            "DeleteRouteTable",
            {"RouteTableId": "rtb-12345678"},
            "InvalidRouteTableID.NotFound",
            "The routeTable ID 'rtb-12345678' does not exist",
        ),
        (
            "DeleteNetworkInterface",
            {"NetworkInterfaceId": "eni-12345678"},
            "InvalidNetworkInterfaceID.NotFound",
            "The networkInterface ID 'eni-12345678' does not exist",
        ),
        (
            "CreateVpc",
            {"CidrBlock": "10.0.0.0/8"},
            "InvalidVpc.Range",
            "The CIDR '10.0.0.0/8' is invalid.",
        ),
        (
            "CreateVpc",
            {"CidrBlock": "10.0.0.0"},
            "InvalidParameterValue",
            "Value (10.0.0.0) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
        ("CreateVpc", {}, "MissingParameter", "The request must contain the parameter cidrBlock"),
        (
            "CreateVpc",
            {"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": True},
            "UnsupportedOperation",
            "The parameter AmazonProvidedIpv6CidrBlock is not supported here.",
        ),
        (
            "DescribeVpcs",
            {"Filters": [{"Name": "color", "Values": ["red"]}]},
            "InvalidParameterValue",
            "The filter 'color' is invalid",
        ),
        (
            "CreateTags",
            {"Resources": ["x-12345678"], "Tags": [{"Key": "a", "Value": "b"}]},
            "InvalidID",
            "The ID 'x-12345678' is not valid",
        ),
        (
            "DescribeVpcEndpointServices",
            {"ServiceNames": ["com.amazonaws.us-east-1.nothing"]},
            "InvalidServiceName",
            "The Vpc Endpoint Service 'com.amazonaws.us-east-1.nothing' does not exist",
        ),
        (
            "CreateFlowLogs",
            {
                "ResourceIds": ["vpc-12345678"],
                "ResourceType": "VPC",
                "TrafficType": "ALL",
                "LogGroupName": "a",
                "LogDestination": "b",
            },
            "InvalidParameter",
            "Please only provide LogGroupName or only provide LogDestination.",
        ),
        (
            "CreateFlowLogs",
            {
                "ResourceIds": ["vpc-12345678"],
                "ResourceType": "VPC",
                "TrafficType": "ALL",
                "LogGroupName": "a",
            },
            "UnsupportedOperation",
            "LogDestinationType cloud-watch-logs is not supported here.",
        ),
    ],
)
async def test_refusals_are_in_the_words_of_ec2(
    operation: str, params: dict[str, Any], code: str, message: str, admin: Client
) -> None:
    assert await refusal(admin, "ec2", operation, **params) == (code, message)


async def test_subnets_lie_inside_their_vpc_and_beside_each_other(admin: Client) -> None:
    vpc = await make_vpc(admin)
    await make_subnet(admin, vpc)
    for cidr, code in (
        ("10.0.1.128/25", "InvalidSubnet.Conflict"),
        ("10.0.0.0/16", "InvalidSubnet.Conflict"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.2.0/29", "InvalidSubnet.Range"),
    ):
        asked = {"VpcId": vpc, "CidrBlock": cidr}
        assert (await refusal(admin, "ec2", "CreateSubnet", **asked))[0] == code
    await make_subnet(admin, vpc, "10.0.2.0/28")


async def test_what_something_lies_in_is_not_deleted_before_it(admin: Client) -> None:
    vpc = await make_vpc(admin)
    subnet = await make_subnet(admin, vpc)
    group = (
        await admin.ask("ec2", "CreateSecurityGroup", VpcId=vpc, GroupName="g", Description="d")
    )["GroupId"]
    interface = (await admin.ask("ec2", "CreateNetworkInterface", SubnetId=subnet, Groups=[group]))[
        "NetworkInterface"
    ]["NetworkInterfaceId"]
    table = (await admin.ask("ec2", "CreateRouteTable", VpcId=vpc))["RouteTable"]["RouteTableId"]
    await admin.ask("ec2", "AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("DeleteNetworkInterface", {"NetworkInterfaceId": interface}),
        ("DeleteSecurityGroup", {"GroupId": group}),
        ("DeleteSubnet", {"SubnetId": subnet}),
        ("DeleteRouteTable", {"RouteTableId": table}),
        ("DeleteVpc", {"VpcId": vpc}),
    ]
    for operation, params in steps[1:]:
        assert (await refusal(admin, "ec2", operation, **params))[0] == "DependencyViolation"
    for operation, params in steps:
        await admin.ask("ec2", operation, **params)
    assert [v["IsDefault"] for v in (await admin.ask("ec2", "DescribeVpcs"))["Vpcs"]] == [True]


async def test_an_interface_is_in_one_of_the_subnets_with_the_security_groups(
    admin: Client,
) -> None:
    """SE-31, as far as the network goes: jobs come later."""
    vpc = await make_vpc(admin)
    subnet = await make_subnet(admin, vpc, "10.0.1.0/28")
    groups = [
        (await admin.ask("ec2", "CreateSecurityGroup", VpcId=vpc, GroupName=name, Description="d"))[
            "GroupId"
        ]
        for name in ("a", "b")
    ]
    asked = {"SubnetId": subnet, "Groups": groups, "ClientToken": "once"}
    first = (await admin.ask("ec2", "CreateNetworkInterface", **asked))["NetworkInterface"]
    again = (await admin.ask("ec2", "CreateNetworkInterface", **asked))["NetworkInterface"]
    assert first["NetworkInterfaceId"] == again["NetworkInterfaceId"]
    assert [group["GroupId"] for group in first["Groups"]] == groups
    assert (first["SubnetId"], first["VpcId"], first["PrivateIpAddress"]) == (
        subnet,
        vpc,
        "10.0.1.4",
    )
    code, _ = await refusal(
        admin, "ec2", "CreateNetworkInterface", SubnetId=subnet, ClientToken="once"
    )
    assert code == "IdempotentParameterMismatch"
    # Sixteen addresses, five reserved, one taken.
    for number in range(10):
        await admin.ask("ec2", "CreateNetworkInterface", SubnetId=subnet, ClientToken=str(number))
    code, _ = await refusal(
        admin, "ec2", "CreateNetworkInterface", SubnetId=subnet, ClientToken="last"
    )
    assert code == "InsufficientFreeAddressesInSubnet"
    (shown,) = (await admin.ask("ec2", "DescribeSubnets", SubnetIds=[subnet]))["Subnets"]
    assert shown["AvailableIpAddressCount"] == 0


async def test_rules_are_added_once_and_taken_away_as_they_were_added(admin: Client) -> None:
    vpc = await make_vpc(admin)
    made = await admin.ask("ec2", "CreateSecurityGroup", VpcId=vpc, GroupName="g", Description="d")
    group = made["GroupId"]
    rule = {"IpProtocol": "6", "FromPort": 443, "ToPort": 443}
    peers = {"IpRanges": [{"CidrIp": "10.0.0.9/8"}], "UserIdGroupPairs": [{"GroupId": group}]}
    asked = {"GroupId": group, "IpPermissions": [{**rule, **peers}]}
    await admin.ask("ec2", "AuthorizeSecurityGroupIngress", **asked)
    code, message = await refusal(admin, "ec2", "AuthorizeSecurityGroupIngress", **asked)
    assert code == "InvalidPermission.Duplicate"
    assert "peer: 10.0.0.0/8, TCP, from port: 443, to port: 443, ALLOW" in message
    (shown,) = (await admin.ask("ec2", "DescribeSecurityGroups", GroupIds=[group]))[
        "SecurityGroups"
    ]
    (permission,) = shown["IpPermissions"]
    assert permission["IpRanges"] == [{"CidrIp": "10.0.0.0/8"}]
    assert permission["UserIdGroupPairs"][0]["GroupId"] == group
    await admin.ask("ec2", "RevokeSecurityGroupIngress", **asked)
    code, _ = await refusal(admin, "ec2", "RevokeSecurityGroupIngress", **asked)
    assert code == "InvalidPermission.NotFound"
    for wrong in ({"FromPort": 9, "ToPort": 8}, {"FromPort": 1}, {"FromPort": 0, "ToPort": 65536}):
        permission = {"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}], **wrong}
        code, _ = await refusal(
            admin,
            "ec2",
            "AuthorizeSecurityGroupIngress",
            GroupId=group,
            IpPermissions=[permission],
        )
        assert code == "InvalidParameterValue"


async def test_tags_are_set_found_and_removed(admin: Client) -> None:
    tags = [{"Key": "Name", "Value": "jobs"}, {"Key": "team", "Value": "ml"}]
    made = await admin.ask(
        "ec2",
        "CreateVpc",
        CidrBlock="10.0.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}],
    )
    vpc = made["Vpc"]["VpcId"]
    assert made["Vpc"]["Tags"] == tags
    for filters, found in (
        ([{"Name": "tag:Name", "Values": ["j?bs"]}], [vpc]),
        ([{"Name": "tag:Name", "Values": ["J*"]}], []),
        ([{"Name": "tag-key", "Values": ["team"]}, {"Name": "vpc-id", "Values": ["*"]}], [vpc]),
    ):
        answer = await admin.ask("ec2", "DescribeVpcs", Filters=filters)
        assert [each["VpcId"] for each in answer["Vpcs"]] == found
    await admin.ask("ec2", "DeleteTags", Resources=[vpc], Tags=[{"Key": "team", "Value": "hr"}])
    assert len((await admin.ask("ec2", "DescribeTags"))["Tags"]) == 2
    await admin.ask("ec2", "DeleteTags", Resources=[vpc], Tags=[{"Key": "team"}])
    (left,) = (await admin.ask("ec2", "DescribeTags"))["Tags"]
    assert (left["Key"], left["ResourceId"], left["ResourceType"]) == ("Name", vpc, "vpc")
    code, _ = await refusal(
        admin,
        "ec2",
        "CreateVpc",
        CidrBlock="10.0.0.0/16",
        TagSpecifications=[{"ResourceType": "subnet", "Tags": tags}],
    )
    assert code == "InvalidParameterValue"


async def test_lists_come_a_page_at_a_time(admin: Client) -> None:
    made = {await make_vpc(admin, f"10.{number}.0.0/16") for number in range(6)}
    first = await admin.ask("ec2", "DescribeVpcs", MaxResults=5)
    rest = await admin.ask("ec2", "DescribeVpcs", MaxResults=5, NextToken=first["NextToken"])
    found = [vpc["VpcId"] for vpc in first["Vpcs"] + rest["Vpcs"]]
    assert made < set(found)
    assert len(found) == 7
    assert "NextToken" not in rest


async def test_attributes_of_a_vpc_are_changed_one_at_a_time(admin: Client) -> None:
    vpc = await make_vpc(admin)

    async def attribute(name: str) -> bool:
        shown = await admin.ask("ec2", "DescribeVpcAttribute", VpcId=vpc, Attribute=name)
        return shown[name[0].upper() + name[1:]]["Value"]

    assert not await attribute("enableDnsHostnames")
    await admin.ask("ec2", "ModifyVpcAttribute", VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert await attribute("enableDnsHostnames")
    assert await attribute("enableDnsSupport")
    code, _ = await refusal(
        admin, "ec2", "ModifyVpcAttribute", VpcId=vpc, EnableDnsSupport={"Value": False}
    )
    assert code == "InvalidParameter"


async def test_a_dry_run_says_what_would_be_and_changes_nothing(
    inside: Inside, admin: Client
) -> None:
    with pytest.raises(ClientError) as caught:
        await admin.ask("ec2", "CreateVpc", CidrBlock="10.0.0.0/16", DryRun=True)
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "DryRunOperation"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert len((await admin.ask("ec2", "DescribeVpcs"))["Vpcs"]) == 1
    nobody = inside.client(await inside.user("123456789012", "nobody"))
    code, message = await refusal(nobody, "ec2", "CreateVpc", CidrBlock="10.0.0.0/16", DryRun=True)
    assert code == "UnauthorizedOperation"
    assert message == (
        "You are not authorized to perform this operation. User: "
        "arn:aws:iam::123456789012:user/nobody is not authorized to perform: ec2:CreateVpc on "
        "resource: arn:aws:ec2:us-east-1:123456789012:vpc/* because no identity-based policy "
        "allows the ec2:CreateVpc action"
    )


@given(st.text("ab*?\\", max_size=12), st.text("ab", max_size=8))
def test_a_filter_means_what_its_plain_definition_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) == _plainly(pattern, text)


def _plainly(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        return any(_plainly(rest, text[at:]) for at in range(len(text) + 1))
    if head == "?":
        return bool(text) and _plainly(rest, text[1:])
    if head == "\\" and rest:
        return text[:1] == rest[0] and _plainly(rest[1:], text[1:])
    return text[:1] == head and _plainly(rest, text[1:])


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_block_is_kept_in_its_canonical_form(address: int, bits: int) -> None:
    given_block = (
        f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}/{bits}"
    )
    assert parse_block(given_block, "cidrBlock") == IPv4Network(given_block, strict=False)


@given(st.text(max_size=20))
def test_what_is_no_block_is_refused_and_no_failure(text: str) -> None:
    try:
        IPv4Network(text, strict=False)
        is_block = "/" in text
    except ValueError:
        is_block = False
    if is_block:
        assert parse_block(text, "cidrBlock") == IPv4Network(text, strict=False)
        return
    with pytest.raises(ServiceError):
        parse_block(text, "cidrBlock")
