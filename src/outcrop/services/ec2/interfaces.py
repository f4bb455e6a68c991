"""Network interfaces, and who else may attach them. Those of endpoints are their service's."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import Listing, describe_items, truth
from outcrop.services.ec2.requests import (
    Params,
    Result,
    conflicting,
    dependency,
    get,
    invalid,
    list_own,
    network_operation,
)
from outcrop.services.ec2.subnets import RESERVED
from outcrop.services.ec2.tagging import render_tags, specified_tags
from outcrop.services.ec2.tokens import find_made, given_token, token_of
from outcrop.services.ec2.zones import zone_id, zone_name
from outcrop.stores.network_records import (
    FlowLog,
    InterfacePermission,
    NetworkInterface,
    RouteTable,
    SecurityGroup,
    Subnet,
    new_id,
)
from outcrop.stores.networks import DEFAULT_GROUP, add
from outcrop.stores.resources import Item, Transaction, View

MAX_GROUPS: Final = 16
REQUESTER: Final = "amazon-aws"
"""Who manages the interfaces of endpoints."""


@network_operation(
    "SubnetId",
    "Description",
    "PrivateIpAddress",
    "Groups",
    "InterfaceType",
    "TagSpecifications",
    "ClientToken",
)
async def create_network_interface(call: Call, params: Params) -> Result:
    if params.get("InterfaceType", "interface") != "interface":
        raise invalid("InterfaceType other than interface is not supported here.")
    tags = specified_tags(params, NetworkInterface)
    async with call.stores.resources.writing() as transaction:
        interface = await find_made(transaction, call, NetworkInterface, params)
        if interface is None:
            subnet = await get(transaction, call, Subnet, params["SubnetId"])
            groups = await chosen_groups(transaction, call, subnet.parent, params.get("Groups"))
            interface = await add_interface(
                transaction,
                call,
                subnet,
                groups,
                description=params.get("Description", ""),
                address=params.get("PrivateIpAddress"),
                tags=tags,
                token=token_of(params),
            )
        shown = _render(interface, await _names_of_groups(transaction, call))
    return {"NetworkInterface": shown, **given_token(params)}


@network_operation("Filters", "NetworkInterfaceIds", "MaxResults", "NextToken")
async def describe_network_interfaces(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        interfaces = await list_own(view, call, NetworkInterface)
        names = await _names_of_groups(view, call)

    def render(interface: Item[NetworkInterface]) -> dict[str, Any]:
        return _render(interface, names)

    listing = Listing(
        NetworkInterface,
        "NetworkInterfaceIds",
        {
            "addresses.private-ip-address": lambda i: [i.record.address],
            "availability-zone": lambda i: [zone_name(i.place.region, i.record.zone)],
            "description": lambda i: [i.record.description],
            "group-id": lambda i: i.record.groups,
            "group-name": lambda i: [names[group] for group in i.record.groups],
            "interface-type": lambda i: [render(i)["InterfaceType"]],
            "mac-address": lambda i: [i.record.hardware_address],
            "network-interface-id": lambda i: [i.name],
            "private-ip-address": lambda i: [i.record.address],
            "requester-id": lambda i: [REQUESTER] if i.record.endpoint else [],
            "requester-managed": lambda i: truth(i.record.endpoint is not None),
            "source-dest-check": lambda i: truth(i.record.checks_source),
            "status": lambda i: [render(i)["Status"]],
            "subnet-id": lambda i: [i.parent],
            "vpc-id": lambda i: [i.record.vpc],
        },
        render,
    )
    return describe_items(call, params, listing, interfaces)


@network_operation("NetworkInterfaceId")
async def delete_network_interface(call: Call, params: Params) -> Result:
    async with call.stores.resources.writing() as transaction:
        interface = await _own(transaction, call, params["NetworkInterfaceId"])
        if interface.record.attachment is not None:
            raise invalid(f"Network interface '{interface.name}' is currently in use.")
        for table in await list_own(transaction, call, RouteTable):
            if any(route.target == interface.name for route in table.record.routes):
                raise dependency(f"resource {interface.name} has a dependent object")
        await remove_interface(transaction, call, interface)
    return {}


@network_operation("NetworkInterfaceId", "Description", "SourceDestCheck", "Groups")
async def modify_network_interface_attribute(call: Call, params: Params) -> Result:
    if sum(name in params for name in ("Description", "SourceDestCheck", "Groups")) != 1:
        raise conflicting("Fields for multiple attribute types specified: name one attribute.")
    async with call.stores.resources.writing() as transaction:
        interface = await _own(transaction, call, params["NetworkInterfaceId"])
        changes: dict[str, Any] = {}
        if "Description" in params:
            changes["description"] = params["Description"].get("Value", "")
        elif "SourceDestCheck" in params:
            changes["checks_source"] = bool(params["SourceDestCheck"].get("Value"))
        else:
            vpc = interface.record.vpc
            changes["groups"] = await chosen_groups(transaction, call, vpc, params["Groups"])
        record = msgspec.structs.replace(interface.record, **changes)
        await transaction.put(replace(interface, record=record))
    return {}


@network_operation("NetworkInterfaceId", "Attribute")
async def describe_network_interface_attribute(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        interface = await get(view, call, NetworkInterface, params["NetworkInterfaceId"])
        names = await _names_of_groups(view, call)
    shown = {"NetworkInterfaceId": interface.name}
    match params.get("Attribute"):
        case "description":
            return {**shown, "Description": {"Value": interface.record.description}}
        case "groupSet":
            return {**shown, "Groups": _groups(interface, names)}
        case "sourceDestCheck":
            return {**shown, "SourceDestCheck": {"Value": interface.record.checks_source}}
        case "attachment":
            return shown
        case other:
            raise invalid(f"The attribute {other} is not supported here.")


async def add_interface(
    transaction: Transaction,
    call: Call,
    subnet: Item[Subnet],
    groups: tuple[str, ...],
    *,
    description: str = "",
    address: str | None = None,
    **more: Any,
) -> Item[NetworkInterface]:
    """``more``: its ``tags``, the ``endpoint`` that it is made for, the request's ``token``."""
    neighbours = await list_own(transaction, call, NetworkInterface, subnet.name)
    record = NetworkInterface(
        vpc=subnet.parent,
        zone=subnet.record.zone,
        address=_address(subnet, neighbours, address),
        hardware_address=_hardware_address(),
        groups=groups,
        description=description,
        endpoint=more.get("endpoint"),
        attachment=new_id("ela-attach") if more.get("endpoint") else None,
        token=more.get("token"),
    )
    return await add(
        transaction,
        call.account,
        call.region,
        new_id("eni"),
        record,
        parent=subnet.name,
        tags=more.get("tags"),
    )


async def remove_interface(
    transaction: Transaction, call: Call, interface: Item[NetworkInterface]
) -> None:
    for kind in (InterfacePermission, FlowLog):
        for item in await list_own(transaction, call, kind, interface.name):
            await transaction.remove(kind, item.place)
    await transaction.remove(NetworkInterface, interface.place)


async def chosen_groups(
    view: View, call: Call, vpc_id: str, group_ids: Sequence[str] | None
) -> tuple[str, ...]:
    """Security groups of the VPC; without any, its default one."""
    if not group_ids:
        groups = await list_own(view, call, SecurityGroup, vpc_id)
        return tuple(group.name for group in groups if group.record.label == DEFAULT_GROUP)
    chosen = [await get(view, call, SecurityGroup, each) for each in dict.fromkeys(group_ids)]
    if len(chosen) > MAX_GROUPS:
        raise ServiceError(
            "SecurityGroupsPerInterfaceLimitExceeded",
            "The maximum number of security groups per interface has been reached.",
        )
    for group in chosen:
        if group.parent != vpc_id:
            raise ServiceError(
                "InvalidGroup.NotFound",
                f"The security group '{group.name}' does not exist in VPC '{vpc_id}'",
            )
    return tuple(group.name for group in chosen)


async def _own(view: View, call: Call, interface_id: str) -> Item[NetworkInterface]:
    """One that its account manages."""
    interface = await get(view, call, NetworkInterface, interface_id)
    if interface.record.endpoint is not None:
        raise ServiceError(
            "OperationNotPermitted",
            "You are not allowed to manage 'ela-attach' attachments."
            if call.operation.name == "DeleteNetworkInterface"
            else f"The network interface '{interface.name}' is managed by its VPC endpoint.",
        )
    return interface


def _address(
    subnet: Item[Subnet], neighbours: Sequence[Item[NetworkInterface]], wanted: str | None
) -> str:
    block = IPv4Network(subnet.record.cidr)
    taken = {each.record.address for each in neighbours}
    first, last = int(block.network_address) + RESERVED - 1, int(block.broadcast_address)
    if wanted is None:
        free = (str(IPv4Address(number)) for number in range(first, last))
        found = next((address for address in free if address not in taken), None)
        if found is None:
            raise ServiceError(
                "InsufficientFreeAddressesInSubnet",
                f"There are not enough free addresses in subnet '{subnet.name}'.",
            )
        return found
    try:
        number = int(IPv4Address(wanted))
    except ValueError as error:
        raise invalid(f"invalid value for parameter address: {wanted}") from error
    if not first <= number < last:
        raise invalid(f"Address does not fall within the subnet's address range: {wanted}")
    if wanted in taken:
        raise ServiceError("InvalidIPAddress.InUse", f"Address {wanted} is in use.")
    return wanted


def _hardware_address() -> str:
    # Locally administered, as those of EC2 are.
    return ":".join(f"{byte:02x}" for byte in (2, *secrets.token_bytes(5)))


async def _names_of_groups(view: View, call: Call) -> dict[str, str]:
    groups = await list_own(view, call, SecurityGroup)
    return {group.name: group.record.label for group in groups}


def _groups(interface: Item[NetworkInterface], names: dict[str, str]) -> list[dict[str, str]]:
    return [{"GroupId": each, "GroupName": names[each]} for each in interface.record.groups]


def _render(interface: Item[NetworkInterface], names: dict[str, str]) -> dict[str, Any]:
    record, region = interface.record, interface.place.region
    name = f"ip-{record.address.replace('.', '-')}.ec2.internal"
    shown: dict[str, Any] = {
        "NetworkInterfaceId": interface.name,
        "SubnetId": interface.parent,
        "VpcId": record.vpc,
        "OwnerId": interface.place.account,
        "AvailabilityZone": zone_name(region, record.zone),
        "AvailabilityZoneId": zone_id(region, record.zone),
        "Description": record.description,
        "Groups": _groups(interface, names),
        "InterfaceType": "vpc_endpoint" if record.endpoint else "interface",
        "MacAddress": record.hardware_address,
        "PrivateDnsName": name,
        "PrivateIpAddress": record.address,
        "PrivateIpAddresses": [
            {"Primary": True, "PrivateDnsName": name, "PrivateIpAddress": record.address}
        ],
        "Ipv6Addresses": [],
        "RequesterManaged": record.endpoint is not None,
        "SourceDestCheck": record.checks_source,
        "Status": "in-use" if record.attachment else "available",
        "TagSet": render_tags(interface.tags),
    }
    if record.attachment:
        shown |= {
            "RequesterId": REQUESTER,
            "Attachment": {
                "AttachmentId": record.attachment,
                "InstanceOwnerId": REQUESTER,
                "Status": "attached",
                "DeleteOnTermination": False,
                "DeviceIndex": 1,
            },
        }
    return shown
