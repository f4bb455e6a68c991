"""Who is let in to a private endpoint, by address and security group, as the records say it."""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Client, Inside, running_inside

from outcrop.server.admission import Gate, lets_in
from outcrop.stores.network_records import GroupRule
from outcrop.stores.resources import Place

ACCOUNT = "123456789012"


def rule(peer: str, protocol: str = "tcp", *ports: int, is_egress: bool = False) -> GroupRule:
    first, last = ports or (None, None)
    return GroupRule(
        id="sgr-1",
        is_egress=is_egress,
        protocol=protocol,
        peer=peer,
        from_port=first,
        to_port=last,
    )


@pytest.mark.parametrize(
    ("rules", "is_let_in"),
    [
        ([], False),
        ([rule("127.0.0.2/32", "tcp", 443, 443)], True),
        ([rule("127.0.0.3/32", "tcp", 443, 443), rule("127.0.0.0/31")], False),
        ([rule("0.0.0.0/0", "tcp", 0, 442), rule("0.0.0.0/0", "tcp", 444, 65535)], False),
        ([rule("0.0.0.0/0", "udp", 443, 443), rule("0.0.0.0/0", "icmp")], False),
        ([rule("0.0.0.0/0", "-1", is_egress=True)], False),
        ([rule("0.0.0.0/0", "-1")], True),
        ([rule("::/0", "-1")], False),
        ([rule("sg-1", "-1")], False),
        ([rule("sg-2", "-1")], True),
    ],
)
def test_a_rule_lets_its_peers_in_to_the_port_of_endpoints(
    rules: list[GroupRule], is_let_in: bool
) -> None:
    assert lets_in(rules, ip_address("127.0.0.2"), {"sg-2"}) is is_let_in


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside


@pytest.fixture
def admin(inside: Inside) -> Client:
    return inside.client(ADMIN)


async def endpoint_of(admin: Client, **params: Any) -> dict[str, Any]:
    (subnet,) = (await admin.ask("ec2", "DescribeSubnets"))["Subnets"]
    made = await admin.ask(
        "ec2",
        "CreateVpcEndpoint",
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.bedrock-runtime",
        **{"VpcId": subnet["VpcId"], "SubnetIds": [subnet["SubnetId"]], **params},
        PrivateDnsEnabled=False,
    )
    return made["VpcEndpoint"]


def gate_of(inside: Inside, endpoint: dict[str, Any]) -> Gate:
    resources = inside.deployment.state.stores.resources
    return Gate(resources, Place(ACCOUNT, "us-east-1", endpoint["VpcEndpointId"]))


async def test_members_of_a_group_are_this_machine_and_its_interfaces(
    inside: Inside, admin: Client
) -> None:
    """The default group lets in whoever is in it."""
    endpoint = await endpoint_of(admin)
    gate = gate_of(inside, endpoint)
    for is_here in (True, False):
        assert (await gate.admit("10.9.9.9", is_here)).is_allowed is is_here
    other = await admin.ask("ec2", "CreateNetworkInterface", SubnetId=endpoint["SubnetIds"][0])
    address = other["NetworkInterface"]["PrivateIpAddress"]
    admitted = await gate.admit(address, is_here=False)
    assert admitted.is_allowed
    assert admitted.interface is not None
    assert admitted.interface.name == endpoint["NetworkInterfaceIds"][0]
    made = await admin.ask("ec2", "CreateSecurityGroup", GroupName="g", Description="d")
    await admin.ask(
        "ec2",
        "ModifyNetworkInterfaceAttribute",
        NetworkInterfaceId=other["NetworkInterface"]["NetworkInterfaceId"],
        Groups=[made["GroupId"]],
    )
    assert not (await gate.admit(address, is_here=False)).is_allowed


async def test_a_group_without_rules_lets_nobody_in_not_even_this_machine(
    inside: Inside, admin: Client
) -> None:
    made = await admin.ask("ec2", "CreateSecurityGroup", GroupName="g", Description="d")
    gate = gate_of(inside, await endpoint_of(admin, SecurityGroupIds=[made["GroupId"]]))
    assert not (await gate.admit("127.0.0.1", is_here=True)).is_allowed
    block = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    await admin.ask(
        "ec2",
        "AuthorizeSecurityGroupIngress",
        GroupId=made["GroupId"],
        IpPermissions=[{**block, "IpRanges": [{"CidrIp": "127.0.0.2/32"}]}],
    )
    for address, is_allowed in (("127.0.0.1", False), ("127.0.0.2", True), ("127.0.0.3", False)):
        assert (await gate.admit(address, is_here=True)).is_allowed is is_allowed


async def test_an_endpoint_without_a_subnet_or_a_record_lets_nobody_in(
    inside: Inside, admin: Client
) -> None:
    gate = gate_of(inside, await endpoint_of(admin, SubnetIds=[]))
    assert not (await gate.admit("127.0.0.1", is_here=True)).is_allowed
    gone = gate_of(inside, {"VpcEndpointId": "vpce-0123456789abcdef0"})
    assert not (await gone.admit("127.0.0.1", is_here=True)).is_allowed
