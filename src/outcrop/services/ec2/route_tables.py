"""Route tables: what a subnet reaches. Beside the VPC itself that is interfaces and S3 endpoints.

Gateway endpoints put their own routes here, to the prefix list of their service.
"""

from collections.abc import Iterable
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
    dependency,
    get,
    invalid,
    list_own,
    missing,
    network_operation,
)
from outcrop.services.ec2.tagging import render_tags, specified_tags
from outcrop.services.ec2.tokens import find_made, given_token, token_of
from outcrop.services.ec2.vpcs import parse_block
from outcrop.stores.network_records import (
    Association,
    NetworkInterface,
    Route,
    RouteTable,
    Subnet,
    Vpc,
    new_id,
)
from outcrop.stores.networks import LOCAL, add
from outcrop.stores.resources import Item, Transaction


@network_operation("VpcId", "TagSpecifications", "ClientToken")
async def create_route_table(call: Call, params: Params) -> Result:
    tags = specified_tags(params, RouteTable)
    async with call.stores.resources.writing() as transaction:
        vpc = await get(transaction, call, Vpc, params["VpcId"])
        table = await find_made(transaction, call, RouteTable, params)
        if table is None:
            local = Route(destination=vpc.record.cidr, target=LOCAL)
            table = await add(
                transaction,
                call.account,
                call.region,
                new_id("rtb"),
                RouteTable(routes=(local,), token=token_of(params)),
                parent=vpc.name,
                tags=tags,
            )
    return {"RouteTable": _render(table), **given_token(params)}


@network_operation("Filters", "RouteTableIds", "MaxResults", "NextToken")
async def describe_route_tables(call: Call, params: Params) -> Result:
    return await describe(call, params, _TABLES)


@network_operation("RouteTableId")
async def delete_route_table(call: Call, params: Params) -> Result:
    async with call.stores.resources.writing() as transaction:
        table = await get(transaction, call, RouteTable, params["RouteTableId"])
        by_endpoint = any(route.target.startswith("vpce-") for route in table.record.routes)
        if table.record.associations or by_endpoint:
            raise dependency(
                f"The routeTable '{table.name}' has dependencies and cannot be deleted."
            )
        await transaction.remove(RouteTable, table.place)
    return {}


@network_operation("RouteTableId", "DestinationCidrBlock", "NetworkInterfaceId")
async def create_route(call: Call, params: Params) -> Result:
    destination = parse_block(params.get("DestinationCidrBlock"), "destinationCidrBlock")
    if "NetworkInterfaceId" not in params:
        raise missing("networkInterfaceId")
    async with call.stores.resources.writing() as transaction:
        table = await get(transaction, call, RouteTable, params["RouteTableId"])
        target = await get(transaction, call, NetworkInterface, params["NetworkInterfaceId"])
        if target.record.vpc != table.parent:
            raise invalid(
                f"route table {table.name} and interface {target.name} belong to different networks"
            )
        if any(route.destination == str(destination) for route in table.record.routes):
            raise ServiceError(
                "RouteAlreadyExists",
                f"The route identified by {destination} already exists.",
            )
        if destination.subnet_of(IPv4Network(table.record.routes[0].destination)):
            raise invalid(
                f"The destination CIDR block {destination} is equal to or more specific than one "
                "of this VPC's CIDR blocks."
            )
        route = Route(destination=str(destination), target=target.name)
        await _put(transaction, table, routes=(*table.record.routes, route))
    return {"Return": True}


@network_operation("RouteTableId", "DestinationCidrBlock")
async def delete_route(call: Call, params: Params) -> Result:
    destination = str(parse_block(params.get("DestinationCidrBlock"), "destinationCidrBlock"))
    async with call.stores.resources.writing() as transaction:
        table = await get(transaction, call, RouteTable, params["RouteTableId"])
        found = [route for route in table.record.routes if route.destination == destination]
        if not found:
            raise ServiceError(
                "InvalidRoute.NotFound",
                f"no route with destination-cidr-block {destination} in route table {table.name}",
            )
        if found[0].target == LOCAL:
            raise invalid(f"cannot remove local route {destination} in route table {table.name}")
        kept = tuple(route for route in table.record.routes if route is not found[0])
        await _put(transaction, table, routes=kept)
    return {}


@network_operation("RouteTableId", "SubnetId")
async def associate_route_table(call: Call, params: Params) -> Result:
    if "SubnetId" not in params:
        raise missing("subnetId")
    async with call.stores.resources.writing() as transaction:
        table = await get(transaction, call, RouteTable, params["RouteTableId"])
        subnet = await get(transaction, call, Subnet, params["SubnetId"])
        if subnet.parent != table.parent:
            raise invalid(
                f"route table {table.name} and subnet {subnet.name} belong to different networks"
            )
        for other in await list_own(transaction, call, RouteTable, table.parent):
            if any(each.subnet == subnet.name for each in other.record.associations):
                raise ServiceError(
                    "Resource.AlreadyAssociated",
                    f"the specified association for route table {table.name} conflicts with an "
                    "existing association",
                )
        made = Association(id=new_id("rtbassoc"), subnet=subnet.name)
        await _put(transaction, table, associations=(*table.record.associations, made))
    return {"AssociationId": made.id, "AssociationState": {"State": "associated"}}


@network_operation("AssociationId")
async def disassociate_route_table(call: Call, params: Params) -> Result:
    async with call.stores.resources.writing() as transaction:
        table, association = await _associated(transaction, call, params["AssociationId"])
        if association.subnet is None:
            raise invalid(f"cannot disassociate the main route table association {association.id}")
        kept = tuple(each for each in table.record.associations if each.id != association.id)
        await _put(transaction, table, associations=kept)
    return {}


async def _associated(
    transaction: Transaction, call: Call, association_id: str
) -> tuple[Item[RouteTable], Association]:
    for table in await list_own(transaction, call, RouteTable):
        for each in table.record.associations:
            if each.id == association_id:
                return table, each
    raise ServiceError(
        "InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist"
    )


async def _put(transaction: Transaction, table: Item[RouteTable], **changes: Any) -> None:
    record = msgspec.structs.replace(table.record, **changes)
    await transaction.put(replace(table, record=record))


def _render(table: Item[RouteTable]) -> dict[str, Any]:
    return {
        "RouteTableId": table.name,
        "VpcId": table.parent,
        "OwnerId": table.place.account,
        "Associations": [
            {
                "RouteTableAssociationId": each.id,
                "RouteTableId": table.name,
                "Main": each.subnet is None,
                **({} if each.subnet is None else {"SubnetId": each.subnet}),
                "AssociationState": {"State": "associated"},
            }
            for each in table.record.associations
        ],
        "PropagatingVgws": [],
        "Routes": [_render_route(route) for route in table.record.routes],
        "Tags": render_tags(table.tags),
    }


def _render_route(route: Route) -> dict[str, Any]:
    is_list = route.destination.startswith("pl-")
    return {
        "DestinationPrefixListId" if is_list else "DestinationCidrBlock": route.destination,
        "NetworkInterfaceId" if route.target.startswith("eni-") else "GatewayId": route.target,
        "Origin": "CreateRouteTable" if route.target == LOCAL else "CreateRoute",
        "State": "active",
    }


def _targets(table: Item[RouteTable], prefix: str) -> Iterable[str]:
    return (route.target for route in table.record.routes if route.target.startswith(prefix))


_TABLES: Final = Listing(
    RouteTable,
    "RouteTableIds",
    {
        "association.main": lambda table: [
            flag for each in table.record.associations for flag in truth(each.subnet is None)
        ],
        "association.route-table-association-id": lambda table: [
            each.id for each in table.record.associations
        ],
        "association.route-table-id": lambda table: [table.name for _ in table.record.associations],
        "association.subnet-id": lambda table: [
            each.subnet for each in table.record.associations if each.subnet
        ],
        "route-table-id": lambda table: [table.name],
        "route.destination-cidr-block": lambda table: [
            route.destination for route in table.record.routes if "/" in route.destination
        ],
        "route.destination-prefix-list-id": lambda table: [
            route.destination for route in table.record.routes if "/" not in route.destination
        ],
        "route.gateway-id": lambda table: [
            *_targets(table, "vpce-"),
            *_targets(table, LOCAL),
        ],
        "route.state": lambda _: ["active"],
        "vpc-id": lambda table: [table.parent],
    },
    _render,
)
