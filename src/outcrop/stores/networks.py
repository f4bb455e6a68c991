"""Networks as accounts have them: a default one in each region, and what every new VPC comes with.

The default network is made when a region is first looked at, and only once.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import TypeVar

from outcrop.stores.failures import NameTaken
from outcrop.stores.network_records import (
    Association,
    Defaults,
    DhcpOptions,
    GroupRule,
    Route,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
    network_arn,
    new_id,
    noun_of,
)
from outcrop.stores.resources import Item, Place, Record, Resources, Transaction

R = TypeVar("R", bound=Record)

DEFAULT_GROUP = "default"
DEFAULT_CIDR = IPv4Network("172.31.0.0/16")
_SUBNET_BITS = 20
EVERYWHERE = "0.0.0.0/0"
LOCAL = "local"


async def ensure_defaults(
    resources: Resources, account: str, region: str, zones: Sequence[str]
) -> None:
    """The default VPC of the account in the region, with a subnet in each of ``zones``."""
    place = Place(account, region, "default")
    async with resources.reading() as view:
        if await view.find(Defaults, place) is not None:
            return
    try:
        async with resources.writing() as transaction:
            await transaction.add(Defaults(), place)
            await _make_defaults(transaction, account, region, zones)
    except NameTaken:
        # Another request made it between the look and the write.
        return


async def _make_defaults(
    transaction: Transaction, account: str, region: str, zones: Sequence[str]
) -> None:
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    options = new_id("dopt")
    await add(transaction, account, region, options, DhcpOptions(domain_name=domain))
    vpc = Vpc(
        cidr=str(DEFAULT_CIDR),
        association=new_id("vpc-cidr-assoc"),
        dhcp_options=options,
        is_default=True,
        dns_hostnames=True,
    )
    made = await add_vpc(transaction, account, region, vpc)
    # No region of AWS has half as many zones as there is room for.
    for zone, block in zip(zones, DEFAULT_CIDR.subnets(new_prefix=_SUBNET_BITS), strict=False):
        subnet = Subnet(cidr=str(block), zone=zone, is_default=True, maps_public_addresses=True)
        await add(transaction, account, region, new_id("subnet"), subnet, parent=made.name)


async def add_vpc(
    transaction: Transaction,
    account: str,
    region: str,
    vpc: Vpc,
    tags: Mapping[str, str] | None = None,
) -> Item[Vpc]:
    """With its default security group and its main route table."""
    vpc_id, group_id = new_id("vpc"), new_id("sg")
    made = await add(transaction, account, region, vpc_id, vpc, tags=tags)
    group = SecurityGroup(
        label=DEFAULT_GROUP,
        description="default VPC security group",
        rules=(
            GroupRule(id=new_id("sgr"), is_egress=False, protocol="-1", peer=group_id),
            outward_rule(),
        ),
    )
    await add(transaction, account, region, group_id, group, parent=vpc_id)
    table = RouteTable(
        routes=(Route(destination=vpc.cidr, target=LOCAL),),
        associations=(Association(id=new_id("rtbassoc")),),
    )
    await add(transaction, account, region, new_id("rtb"), table, parent=vpc_id)
    return made


def outward_rule() -> GroupRule:
    """What a group is made with: everything may go out."""
    return GroupRule(id=new_id("sgr"), is_egress=True, protocol="-1", peer=EVERYWHERE)


async def add(
    transaction: Transaction,
    account: str,
    region: str,
    resource_id: str,
    record: R,
    *,
    parent: str = "",
    tags: Mapping[str, str] | None = None,
) -> Item[R]:
    arn = network_arn(region, account, noun_of(type(record)), resource_id)
    place = Place(account, region, resource_id)
    return await transaction.add(record, place, parent=parent, arn=arn, tags=tags)
