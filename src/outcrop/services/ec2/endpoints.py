"""Private endpoints. A handler writes what is asked for; the server's listeners follow the records:
they bring a pending endpoint up, and take a deleting one away once its requests have ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.errors import AWSError, ServiceError
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.services.call import Call
from outcrop.services.ec2.endpoint_parts import (
    add_entry,
    attach,
    check_private_dns,
    detach,
    remove_entry,
    subnets_of,
    tables_of,
)
from outcrop.services.ec2.endpoint_services import get_service, service_of
from outcrop.services.ec2.interfaces import chosen_groups
from outcrop.services.ec2.listing import Listing, describe_items
from outcrop.services.ec2.requests import (
    Params,
    Result,
    get,
    list_own,
    network_operation,
    unsupported,
)
from outcrop.services.ec2.tagging import render_tags, specified_tags
from outcrop.services.ec2.tokens import find_made, given_token, token_of
from outcrop.stores.network_records import (
    EndpointKind,
    NetworkInterface,
    SecurityGroup,
    Vpc,
    VpcEndpoint,
    new_id,
)
from outcrop.stores.networks import add
from outcrop.stores.resources import Item, Transaction

FULL_ACCESS: Final = (
    '{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}'
)
_KINDS: Final[Mapping[EndpointKind, tuple[str, ...]]] = {
    "Gateway": ("SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled"),
    "Interface": ("RouteTableIds",),
}
"""What an endpoint of a kind does not have."""


@network_operation(
    "VpcEndpointType",
    "VpcId",
    "ServiceName",
    "PolicyDocument",
    "RouteTableIds",
    "SubnetIds",
    "SecurityGroupIds",
    "IpAddressType",
    "ClientToken",
    "PrivateDnsEnabled",
    "TagSpecifications",
)
async def create_vpc_endpoint(call: Call, params: Params) -> Result:
    service = get_service(call, params.get("ServiceName", ""))
    kind: EndpointKind = params.get("VpcEndpointType", "Gateway")
    if kind != service.type:
        raise _invalid(f"The VPC endpoint service {service.name} does not support {kind} endpoints")
    _check_members(params, kind, "{}")
    if params.get("IpAddressType", "ipv4") != "ipv4":
        raise unsupported("IpAddressType other than ipv4")
    policy, tags = _read_policy(params), specified_tags(params, VpcEndpoint)
    async with call.stores.resources.writing() as transaction:
        endpoint = await find_made(transaction, call, VpcEndpoint, params)
        if endpoint is None:
            vpc = await get(transaction, call, Vpc, params["VpcId"])
            record = VpcEndpoint(
                type=kind,
                service=service.short,
                policy=policy,
                private_dns=kind == "Interface" and params.get("PrivateDnsEnabled", True),
                token=token_of(params),
            )
            endpoint_id = new_id("vpce")
            record = await _furnish(transaction, call, vpc, endpoint_id, record, params)
            endpoint = await add(
                transaction,
                call.account,
                call.region,
                endpoint_id,
                record,
                parent=vpc.name,
                tags=tags,
            )
        groups = await list_own(transaction, call, SecurityGroup, endpoint.parent)
    shown = _render(endpoint, _names(groups))
    return {"VpcEndpoint": shown, **given_token(params)}


@network_operation("VpcEndpointIds", "Filters", "MaxResults", "NextToken")
async def describe_vpc_endpoints(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        endpoints = await list_own(view, call, VpcEndpoint)
        names = _names(await list_own(view, call, SecurityGroup))
    listing = Listing(
        VpcEndpoint,
        "VpcEndpointIds",
        {
            "service-name": lambda e: [_service_name(e)],
            "service-region": lambda e: [e.place.region],
            "vpc-endpoint-id": lambda e: [e.name],
            "vpc-endpoint-state": lambda e: [e.record.state],
            "vpc-endpoint-type": lambda e: [e.record.type],
            "vpc-id": lambda e: [e.parent],
            "ip-address-type": lambda _: ["ipv4"],
        },
        lambda endpoint: _render(endpoint, names),
    )
    return describe_items(call, params, listing, endpoints)


@network_operation(
    "VpcEndpointId",
    "ResetPolicy",
    "PolicyDocument",
    "AddRouteTableIds",
    "RemoveRouteTableIds",
    "AddSubnetIds",
    "RemoveSubnetIds",
    "AddSecurityGroupIds",
    "RemoveSecurityGroupIds",
    "PrivateDnsEnabled",
)
async def modify_vpc_endpoint(call: Call, params: Params) -> Result:
    policy = _read_policy(params)
    async with call.stores.resources.writing() as transaction:
        endpoint = await get(transaction, call, VpcEndpoint, params["VpcEndpointId"])
        record = endpoint.record
        if record.state == "deleting":
            raise ServiceError(
                "InvalidState", f"The Vpc Endpoint '{endpoint.name}' is being deleted."
            )
        for prefix in ("Add", "Remove"):
            _check_members(params, record.type, prefix + "{}")
        if params.get("ResetPolicy"):
            record = msgspec.structs.replace(record, policy=None)
        if policy is not None:
            record = msgspec.structs.replace(record, policy=policy)
        record = await _refurnish(transaction, call, endpoint, record, params)
        await transaction.put(replace(endpoint, record=record))
    return {"Return": True}


@network_operation("VpcEndpointIds")
async def delete_vpc_endpoints(call: Call, params: Params) -> Result:
    """Each by itself: what cannot be deleted is told, the others are."""
    failed: list[dict[str, Any]] = []
    for each in params["VpcEndpointIds"]:
        try:
            async with call.stores.resources.writing() as transaction:
                endpoint = await get(transaction, call, VpcEndpoint, each)
                await _take_down(transaction, call, endpoint)
        except AWSError as error:
            told = {"Code": error.code, "Message": error.message}
            failed.append({"ResourceId": each, "Error": told})
    return {"Unsuccessful": failed}


async def _furnish(
    transaction: Transaction,
    call: Call,
    vpc: Item[Vpc],
    endpoint_id: str,
    record: VpcEndpoint,
    params: Params,
) -> VpcEndpoint:
    """With its network interfaces or its routes."""
    if record.type == "Gateway":
        tables = await tables_of(transaction, call, vpc.name, params.get("RouteTableIds", ()))
        for table in tables:
            await attach(transaction, table, endpoint_id, record.service)
        return msgspec.structs.replace(record, route_tables=tuple(table.name for table in tables))
    if record.private_dns:
        await check_private_dns(transaction, call, vpc, record.service)
    groups = await chosen_groups(transaction, call, vpc.name, params.get("SecurityGroupIds"))
    record = msgspec.structs.replace(record, groups=groups)
    for subnet in await subnets_of(transaction, call, vpc.name, params.get("SubnetIds", ())):
        record = await add_entry(transaction, call, subnet, endpoint_id, record)
    return record


async def _refurnish(
    transaction: Transaction,
    call: Call,
    endpoint: Item[VpcEndpoint],
    record: VpcEndpoint,
    params: Params,
) -> VpcEndpoint:
    vpc = await get(transaction, call, Vpc, endpoint.parent)
    if params.get("PrivateDnsEnabled") and not record.private_dns:
        await check_private_dns(transaction, call, vpc, record.service)
    if "PrivateDnsEnabled" in params and record.type == "Interface":
        record = msgspec.structs.replace(record, private_dns=params["PrivateDnsEnabled"])
    if record.type == "Gateway":
        return await _reroute(transaction, call, endpoint, record, params)
    gone = params.get("RemoveSubnetIds", ())
    for subnet_id in gone:
        record = await remove_entry(transaction, call, subnet_id, record)
    more = [each for each in params.get("AddSubnetIds", ()) if each not in record.subnets]
    for subnet in await subnets_of(transaction, call, vpc.name, more, beside=record.subnets):
        record = await add_entry(transaction, call, subnet, endpoint.name, record)
    return await _regroup(transaction, call, vpc, record, params)


async def _reroute(
    transaction: Transaction,
    call: Call,
    endpoint: Item[VpcEndpoint],
    record: VpcEndpoint,
    params: Params,
) -> VpcEndpoint:
    kept = list(record.route_tables)
    removed = params.get("RemoveRouteTableIds", ())
    for table in await tables_of(transaction, call, endpoint.parent, removed):
        await detach(transaction, table, endpoint.name)
        kept = [each for each in kept if each != table.name]
    added = [each for each in params.get("AddRouteTableIds", ()) if each not in kept]
    for table in await tables_of(transaction, call, endpoint.parent, added):
        await attach(transaction, table, endpoint.name, record.service)
        kept.append(table.name)
    return msgspec.structs.replace(record, route_tables=tuple(kept))


async def _regroup(
    transaction: Transaction, call: Call, vpc: Item[Vpc], record: VpcEndpoint, params: Params
) -> VpcEndpoint:
    removed = set(params.get("RemoveSecurityGroupIds", ()))
    wanted = [each for each in record.groups if each not in removed]
    wanted += params.get("AddSecurityGroupIds", ())
    if not wanted:
        raise _invalid("A VPC endpoint has at least one security group.")
    groups = await chosen_groups(transaction, call, vpc.name, wanted)
    for interface_id in record.interfaces:
        interface = await get(transaction, call, NetworkInterface, interface_id)
        changed = msgspec.structs.replace(interface.record, groups=groups)
        await transaction.put(replace(interface, record=changed))
    return msgspec.structs.replace(record, groups=groups)


async def _take_down(transaction: Transaction, call: Call, endpoint: Item[VpcEndpoint]) -> None:
    record = endpoint.record
    for table in await tables_of(transaction, call, endpoint.parent, record.route_tables):
        await detach(transaction, table, endpoint.name)
    for subnet_id in record.subnets:
        record = await remove_entry(transaction, call, subnet_id, record)
    record = msgspec.structs.replace(record, state="deleting", route_tables=())
    await transaction.put(replace(endpoint, record=record))


def _check_members(params: Params, kind: EndpointKind, form: str) -> None:
    for name in _KINDS[kind]:
        member = form.format(name)
        if params.get(member):
            raise _invalid(f"{member} is not supported for {kind} endpoints.")


def _read_policy(params: Params) -> str | None:
    text = params.get("PolicyDocument")
    if text is None:
        return None
    try:
        parse_policy(text, "endpoint")
    except MalformedPolicy as error:
        raise ServiceError("InvalidPolicyDocument", str(error)) from error
    return text


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameter", message)


def _names(groups: Iterable[Item[SecurityGroup]]) -> dict[str, str]:
    return {group.name: group.record.label for group in groups}


def _service_name(endpoint: Item[VpcEndpoint]) -> str:
    return service_of(endpoint.record.service, endpoint.place.region).name


def _render(endpoint: Item[VpcEndpoint], group_names: Mapping[str, str]) -> dict[str, Any]:
    record = endpoint.record
    shown: dict[str, Any] = {
        "VpcEndpointId": endpoint.name,
        "VpcEndpointType": record.type,
        "VpcId": endpoint.parent,
        "ServiceName": _service_name(endpoint),
        "ServiceRegion": endpoint.place.region,
        "State": record.state,
        "PolicyDocument": record.policy or FULL_ACCESS,
        "RouteTableIds": list(record.route_tables),
        "SubnetIds": list(record.subnets),
        "Groups": [
            {"GroupId": each, "GroupName": group_names.get(each, "")} for each in record.groups
        ],
        "IpAddressType": "ipv4",
        "PrivateDnsEnabled": record.private_dns,
        "RequesterManaged": False,
        "NetworkInterfaceIds": list(record.interfaces),
        "DnsEntries": _dns_entries(endpoint),
        "CreationTimestamp": endpoint.created_at,
        "OwnerId": endpoint.place.account,
        "Tags": render_tags(endpoint.tags),
    }
    if record.failure is not None:
        shown["LastError"] = {"Code": "ListenerFailed", "Message": record.failure}
    return shown


def _dns_entries(endpoint: Item[VpcEndpoint]) -> Sequence[dict[str, str]]:
    """First where it really is, as host and port: names of AWS would lead to AWS. The private name
    is one that requests may carry in their Host header."""
    record = endpoint.record
    entries: list[dict[str, str]] = []
    if record.state == "available" and record.host is not None:
        host = f"[{record.host}]" if ":" in record.host else record.host
        entries.append({"DnsName": f"{host}:{record.port}"})
    if record.private_dns:
        name = service_of(record.service, endpoint.place.region).private_dns_name
        entries.append({"DnsName": name})
    return entries
