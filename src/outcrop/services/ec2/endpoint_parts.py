"""What an endpoint has in its VPC: a network interface in each subnet, or routes to a service."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.endpoint_services import service_of
from outcrop.services.ec2.interfaces import add_interface, remove_interface
from outcrop.services.ec2.requests import get, list_own
from outcrop.stores.network_records import (
    NetworkInterface,
    Route,
    RouteTable,
    Subnet,
    Vpc,
    VpcEndpoint,
    prefix_list_id,
)
from outcrop.stores.resources import Item, Transaction, View


async def check_private_dns(view: View, call: Call, vpc: Item[Vpc], service: str) -> None:
    if not (vpc.record.dns_support and vpc.record.dns_hostnames):
        raise _invalid(
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC "
            f"attributes set to true for {vpc.name}"
        )
    name = service_of(service, call.region).private_dns_name
    for other in await list_own(view, call, VpcEndpoint, vpc.name):
        record = other.record
        if record.private_dns and record.service == service and record.state != "deleting":
            raise _invalid(
                "private-dns-enabled cannot be set because there is already a conflicting DNS "
                f"domain for {name} in the VPC {vpc.name}"
            )


async def subnets_of(
    view: View, call: Call, vpc_id: str, subnet_ids: Iterable[str], beside: Iterable[str] = ()
) -> list[Item[Subnet]]:
    """Those named, of the VPC; together with ``beside`` at most one in each zone."""
    zones = [(await get(view, call, Subnet, each)).record.zone for each in beside]
    subnets: list[Item[Subnet]] = []
    for subnet_id in dict.fromkeys(subnet_ids):
        subnet = await get(view, call, Subnet, subnet_id)
        if subnet.parent != vpc_id:
            raise _invalid(f"The subnet {subnet.name} does not belong to the VPC {vpc_id}")
        if subnet.record.zone in zones:
            raise ServiceError(
                "DuplicateSubnetsInSameZone",
                f"Found another VPC endpoint subnet in the availability zone of {subnet.name}",
            )
        zones.append(subnet.record.zone)
        subnets.append(subnet)
    return subnets


async def add_entry(
    transaction: Transaction,
    call: Call,
    subnet: Item[Subnet],
    endpoint_id: str,
    record: VpcEndpoint,
) -> VpcEndpoint:
    """The endpoint with a network interface in one more subnet."""
    interface = await add_interface(
        transaction,
        call,
        subnet,
        record.groups,
        description=f"VPC Endpoint Interface {endpoint_id}",
        endpoint=endpoint_id,
    )
    return msgspec.structs.replace(
        record,
        subnets=(*record.subnets, subnet.name),
        interfaces=(*record.interfaces, interface.name),
    )


async def remove_entry(
    transaction: Transaction, call: Call, subnet_id: str, record: VpcEndpoint
) -> VpcEndpoint:
    if subnet_id not in record.subnets:
        raise _invalid(f"The subnet {subnet_id} is not one of the endpoint's.")
    at = record.subnets.index(subnet_id)
    interface = await get(transaction, call, NetworkInterface, record.interfaces[at])
    await remove_interface(transaction, call, interface)
    return msgspec.structs.replace(
        record,
        subnets=(*record.subnets[:at], *record.subnets[at + 1 :]),
        interfaces=(*record.interfaces[:at], *record.interfaces[at + 1 :]),
    )


async def tables_of(
    view: View, call: Call, vpc_id: str, table_ids: Sequence[str]
) -> list[Item[RouteTable]]:
    tables = [await get(view, call, RouteTable, each) for each in dict.fromkeys(table_ids)]
    for table in tables:
        if table.parent != vpc_id:
            raise _invalid(f"The route table {table.name} does not belong to the VPC {vpc_id}")
    return tables


async def attach(
    transaction: Transaction, table: Item[RouteTable], endpoint_id: str, service: str
) -> None:
    destination = prefix_list_id(service, table.place.region)
    if any(route.destination == destination for route in table.record.routes):
        raise ServiceError(
            "RouteAlreadyExists",
            f"route table {table.name} already has a route with destination-prefix-list-id "
            f"{destination}",
        )
    route = Route(destination=destination, target=endpoint_id)
    record = msgspec.structs.replace(table.record, routes=(*table.record.routes, route))
    await transaction.put(replace(table, record=record))


async def detach(transaction: Transaction, table: Item[RouteTable], endpoint_id: str) -> None:
    kept = tuple(route for route in table.record.routes if route.target != endpoint_id)
    record = msgspec.structs.replace(table.record, routes=kept)
    await transaction.put(replace(table, record=record))


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameter", message)
