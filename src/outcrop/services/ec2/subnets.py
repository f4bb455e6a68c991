"""Subnets: a block of their VPC in one availability zone. Five addresses of each are reserved."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import Listing, describe_items, truth
from outcrop.services.ec2.requests import (
    Params,
    Result,
    dependency,
    get,
    list_own,
    network_operation,
)
from outcrop.services.ec2.tagging import render_tags, specified_tags
from outcrop.services.ec2.vpcs import parse_block
from outcrop.services.ec2.zones import zone_id, zone_letter, zone_name
from outcrop.stores.network_records import (
    FlowLog,
    NetworkInterface,
    RouteTable,
    Subnet,
    Vpc,
    new_id,
)
from outcrop.stores.networks import add
from outcrop.stores.resources import Item, Transaction

RESERVED: Final = 5
"""The network's own address, three of AWS's and the broadcast address."""

_LARGEST: Final = 16
_SMALLEST: Final = 28


@network_operation(
    "VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId", "TagSpecifications"
)
async def create_subnet(call: Call, params: Params) -> Result:
    block = parse_block(params.get("CidrBlock"), "cidrBlock")
    zone = call.zones[0]
    if "AvailabilityZone" in params or "AvailabilityZoneId" in params:
        zone = zone_letter(call, params.get("AvailabilityZone"), params.get("AvailabilityZoneId"))
    tags = specified_tags(params, Subnet)
    async with call.stores.resources.writing() as transaction:
        vpc = await get(transaction, call, Vpc, params["VpcId"])
        _check(block, vpc, await list_own(transaction, call, Subnet, vpc.name))
        subnet = await add(
            transaction,
            call.account,
            call.region,
            new_id("subnet"),
            Subnet(cidr=str(block), zone=zone),
            parent=vpc.name,
            tags=tags,
        )
    return {"Subnet": _render(subnet, used=0)}


@network_operation("Filters", "SubnetIds", "MaxResults", "NextToken")
async def describe_subnets(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        subnets = await list_own(view, call, Subnet)
        interfaces = await list_own(view, call, NetworkInterface)
    used: dict[str, int] = {}
    for interface in interfaces:
        used[interface.parent] = used.get(interface.parent, 0) + 1

    def render(subnet: Item[Subnet]) -> dict[str, Any]:
        return _render(subnet, used.get(subnet.name, 0))

    listing = Listing(
        Subnet,
        "SubnetIds",
        {
            "availability-zone": lambda subnet: [render(subnet)["AvailabilityZone"]],
            "availabilityZone": lambda subnet: [render(subnet)["AvailabilityZone"]],
            "availability-zone-id": lambda subnet: [render(subnet)["AvailabilityZoneId"]],
            "available-ip-address-count": lambda subnet: [
                str(render(subnet)["AvailableIpAddressCount"])
            ],
            "cidr": lambda subnet: [subnet.record.cidr],
            "cidr-block": lambda subnet: [subnet.record.cidr],
            "cidrBlock": lambda subnet: [subnet.record.cidr],
            "default-for-az": lambda subnet: truth(subnet.record.is_default),
            "defaultForAz": lambda subnet: truth(subnet.record.is_default),
            "map-public-ip-on-launch": lambda s: truth(s.record.maps_public_addresses),
            "state": lambda _: ["available"],
            "subnet-arn": lambda subnet: [subnet.arn or ""],
            "subnet-id": lambda subnet: [subnet.name],
            "vpc-id": lambda subnet: [subnet.parent],
        },
        render,
    )
    return describe_items(call, params, listing, subnets)


@network_operation("SubnetId")
async def delete_subnet(call: Call, params: Params) -> Result:
    async with call.stores.resources.writing() as transaction:
        subnet = await get(transaction, call, Subnet, params["SubnetId"])
        if await list_own(transaction, call, NetworkInterface, subnet.name):
            raise dependency(f"The subnet '{subnet.name}' has dependencies and cannot be deleted.")
        await _leave_tables(transaction, call, subnet)
        for log in await list_own(transaction, call, FlowLog, subnet.name):
            await transaction.remove(FlowLog, log.place)
        await transaction.remove(Subnet, subnet.place)
    return {}


@network_operation("SubnetId", "MapPublicIpOnLaunch")
async def modify_subnet_attribute(call: Call, params: Params) -> Result:
    value = bool(params.get("MapPublicIpOnLaunch", {}).get("Value"))
    async with call.stores.resources.writing() as transaction:
        subnet = await get(transaction, call, Subnet, params["SubnetId"])
        record = msgspec.structs.replace(subnet.record, maps_public_addresses=value)
        await transaction.put(replace(subnet, record=record))
    return {}


def _check(block: IPv4Network, vpc: Item[Vpc], others: Sequence[Item[Subnet]]) -> None:
    inside = block.subnet_of(IPv4Network(vpc.record.cidr))
    if not inside or not _LARGEST <= block.prefixlen <= _SMALLEST:
        raise ServiceError("InvalidSubnet.Range", f"The CIDR '{block}' is invalid.")
    if any(block.overlaps(IPv4Network(other.record.cidr)) for other in others):
        raise ServiceError(
            "InvalidSubnet.Conflict", f"The CIDR '{block}' conflicts with another subnet"
        )


async def _leave_tables(transaction: Transaction, call: Call, subnet: Item[Subnet]) -> None:
    for table in await list_own(transaction, call, RouteTable, subnet.parent):
        kept = tuple(each for each in table.record.associations if each.subnet != subnet.name)
        if len(kept) < len(table.record.associations):
            record = msgspec.structs.replace(table.record, associations=kept)
            await transaction.put(replace(table, record=record))


def _render(subnet: Item[Subnet], used: int) -> dict[str, Any]:
    record, region = subnet.record, subnet.place.region
    return {
        "SubnetId": subnet.name,
        "SubnetArn": subnet.arn,
        "VpcId": subnet.parent,
        "OwnerId": subnet.place.account,
        "State": "available",
        "CidrBlock": record.cidr,
        "AvailableIpAddressCount": IPv4Network(record.cidr).num_addresses - RESERVED - used,
        "AvailabilityZone": zone_name(region, record.zone),
        "AvailabilityZoneId": zone_id(region, record.zone),
        "DefaultForAz": record.is_default,
        "MapPublicIpOnLaunch": record.maps_public_addresses,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Tags": render_tags(subnet.tags),
    }
