"""VPCs. Each has a default security group and a main route table, which go when it goes."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import Listing, describe, truth
from outcrop.services.ec2.requests import (
    Params,
    Result,
    conflicting,
    dependency,
    find_default_vpc,
    get,
    invalid,
    list_own,
    missing,
    network_operation,
    unsupported,
)
from outcrop.services.ec2.tagging import render_tags, specified_tags
from outcrop.stores.network_records import (
    DhcpOptions,
    FlowLog,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
    VpcEndpoint,
    new_id,
)
from outcrop.stores.networks import DEFAULT_GROUP, add_vpc
from outcrop.stores.resources import Item, Transaction

_LARGEST: Final = 16
_SMALLEST: Final = 28


@network_operation("CidrBlock", "InstanceTenancy", "TagSpecifications")
async def create_vpc(call: Call, params: Params) -> Result:
    if params.get("InstanceTenancy", "default") != "default":
        raise unsupported("Tenancy other than default")
    block = parse_block(params.get("CidrBlock"), "cidrBlock")
    if not _LARGEST <= block.prefixlen <= _SMALLEST:
        raise ServiceError("InvalidVpc.Range", f"The CIDR '{block}' is invalid.")
    tags = specified_tags(params, Vpc)
    async with call.stores.resources.writing() as transaction:
        default = await find_default_vpc(transaction, call)
        options = default.record.dhcp_options if default else await _dhcp(transaction, call)
        record = Vpc(cidr=str(block), association=new_id("vpc-cidr-assoc"), dhcp_options=options)
        vpc = await add_vpc(transaction, call.account, call.region, record, tags)
    return {"Vpc": _render(vpc)}


@network_operation("Filters", "VpcIds", "MaxResults", "NextToken")
async def describe_vpcs(call: Call, params: Params) -> Result:
    return await describe(call, params, _VPCS)


@network_operation("VpcId")
async def delete_vpc(call: Call, params: Params) -> Result:
    async with call.stores.resources.writing() as transaction:
        vpc = await get(transaction, call, Vpc, params["VpcId"])
        groups = await list_own(transaction, call, SecurityGroup, vpc.name)
        tables = await list_own(transaction, call, RouteTable, vpc.name)
        if (
            await list_own(transaction, call, Subnet, vpc.name)
            or await list_own(transaction, call, VpcEndpoint, vpc.name)
            or any(group.record.label != DEFAULT_GROUP for group in groups)
            or any(not table.record.is_main for table in tables)
        ):
            raise dependency(f"The vpc '{vpc.name}' has dependencies and cannot be deleted.")
        for item in (*groups, *tables, *await list_own(transaction, call, FlowLog, vpc.name)):
            await transaction.remove(type(item.record), item.place)
        await transaction.remove(Vpc, vpc.place)
    return {}


@network_operation("VpcId", "EnableDnsHostnames", "EnableDnsSupport")
async def modify_vpc_attribute(call: Call, params: Params) -> Result:
    names = {"EnableDnsHostnames": "dns_hostnames", "EnableDnsSupport": "dns_support"}
    asked = [name for name in names if name in params]
    if len(asked) != 1:
        raise conflicting("Fields for multiple attribute types specified: name one attribute.")
    value = bool(params[asked[0]].get("Value"))
    async with call.stores.resources.writing() as transaction:
        vpc = await get(transaction, call, Vpc, params["VpcId"])
        record = msgspec.structs.replace(vpc.record, **{names[asked[0]]: value})
        if record.dns_hostnames and not record.dns_support:
            raise ServiceError(
                "InvalidParameter",
                "DNS hostnames need DNS support: enableDnsSupport cannot be off while "
                "enableDnsHostnames is on.",
            )
        await transaction.put(replace(vpc, record=record))
    return {}


@network_operation("VpcId", "Attribute")
async def describe_vpc_attribute(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        vpc = await get(view, call, Vpc, params["VpcId"])
    values: Mapping[str, tuple[str, bool]] = {
        "enableDnsHostnames": ("EnableDnsHostnames", vpc.record.dns_hostnames),
        "enableDnsSupport": ("EnableDnsSupport", vpc.record.dns_support),
        "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", False),
    }
    member, value = values[params["Attribute"]]
    return {"VpcId": vpc.name, member: {"Value": value}}


@network_operation("DhcpOptionsIds", "Filters", "MaxResults", "NextToken")
async def describe_dhcp_options(call: Call, params: Params) -> Result:
    return await describe(call, params, _DHCP)


def parse_block(text: str | None, parameter: str) -> IPv4Network:
    """In its canonical form, as EC2 keeps it (the bits of the host are dropped)."""
    if not text:
        raise missing(parameter)
    if "/" in text and text.isascii():
        try:
            return IPv4Network(text, strict=False)
        except ValueError:
            pass
    raise invalid(
        f"Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."
    )


async def _dhcp(transaction: Transaction, call: Call) -> str:
    """Those of the region; they outlive the default VPC."""
    options = await list_own(transaction, call, DhcpOptions)
    return options[0].name


def _render(vpc: Item[Vpc]) -> dict[str, Any]:
    record = vpc.record
    return {
        "VpcId": vpc.name,
        "OwnerId": vpc.place.account,
        "State": "available",
        "CidrBlock": record.cidr,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": record.association,
                "CidrBlock": record.cidr,
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "DhcpOptionsId": record.dhcp_options,
        "InstanceTenancy": "default",
        "IsDefault": record.is_default,
        "Tags": render_tags(vpc.tags),
    }


def _render_dhcp(options: Item[DhcpOptions]) -> dict[str, Any]:
    values = {
        "domain-name": options.record.domain_name,
        "domain-name-servers": "AmazonProvidedDNS",
    }
    return {
        "DhcpOptionsId": options.name,
        "OwnerId": options.place.account,
        "DhcpConfigurations": [
            {"Key": key, "Values": [{"Value": value}]} for key, value in values.items()
        ],
        "Tags": render_tags(options.tags),
    }


_VPCS: Final = Listing(
    Vpc,
    "VpcIds",
    {
        "cidr": lambda vpc: [vpc.record.cidr],
        "cidr-block-association.association-id": lambda vpc: [vpc.record.association],
        "cidr-block-association.cidr-block": lambda vpc: [vpc.record.cidr],
        "cidr-block-association.state": lambda _: ["associated"],
        "dhcp-options-id": lambda vpc: [vpc.record.dhcp_options],
        "is-default": lambda vpc: truth(vpc.record.is_default),
        "isDefault": lambda vpc: truth(vpc.record.is_default),
        "state": lambda _: ["available"],
        "vpc-id": lambda vpc: [vpc.name],
    },
    _render,
)
_DHCP: Final = Listing(
    DhcpOptions,
    "DhcpOptionsIds",
    {
        "dhcp-options-id": lambda options: [options.name],
        "key": lambda _: ["domain-name", "domain-name-servers"],
        "value": lambda options: [options.record.domain_name, "AmazonProvidedDNS"],
    },
    _render_dhcp,
)
