"""Who besides its account may attach a network interface: another account or an AWS service."""

import re
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import filtered, paged
from outcrop.services.ec2.requests import (
    Params,
    Result,
    conflicting,
    get,
    invalid,
    list_own,
    network_operation,
    not_found,
)
from outcrop.stores.network_records import (
    InterfacePermission,
    NetworkInterface,
    new_id,
)
from outcrop.stores.networks import add
from outcrop.stores.resources import Item

_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)


@network_operation("NetworkInterfaceId", "AwsAccountId", "AwsService", "Permission")
async def create_network_interface_permission(call: Call, params: Params) -> Result:
    account, service = params.get("AwsAccountId"), params.get("AwsService")
    if (account is None) == (service is None):
        raise conflicting("Specify either AwsAccountId or AwsService.")
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise invalid(f"Value ({account}) for parameter awsAccountId is invalid.")
    record = InterfacePermission(permission=params["Permission"], account=account, service=service)
    async with call.stores.resources.writing() as transaction:
        interface = await get(transaction, call, NetworkInterface, params["NetworkInterfaceId"])
        if interface.record.endpoint is not None:
            raise ServiceError(
                "OperationNotPermitted",
                f"The network interface '{interface.name}' is managed by its VPC endpoint.",
            )
        for other in await list_own(transaction, call, InterfacePermission, interface.name):
            if other.record == record:
                raise ServiceError(
                    "InvalidPermission.Duplicate",
                    f"The network interface '{interface.name}' has this permission already.",
                )
        made = await add(
            transaction,
            call.account,
            call.region,
            new_id("eni-perm"),
            record,
            parent=interface.name,
        )
    return {"InterfacePermission": _render(made)}


@network_operation("NetworkInterfacePermissionId", "Force")
async def delete_network_interface_permission(call: Call, params: Params) -> Result:
    async with call.stores.resources.writing() as transaction:
        permission_id = params["NetworkInterfacePermissionId"]
        item = await get(transaction, call, InterfacePermission, permission_id)
        interface = await get(transaction, call, NetworkInterface, item.parent)
        if interface.record.attachment is not None and not params.get("Force"):
            raise ServiceError(
                "OperationNotPermitted",
                f"The network interface '{interface.name}' is attached by whom the permission is "
                "for. Specify Force to delete it regardless.",
            )
        await transaction.remove(InterfacePermission, item.place)
    return {"Return": True}


@network_operation("NetworkInterfacePermissionIds", "Filters", "MaxResults", "NextToken")
async def describe_network_interface_permissions(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        items = await list_own(view, call, InterfacePermission)
    asked = params.get("NetworkInterfacePermissionIds")
    if asked:
        by_id = {item.name: item for item in items}
        for each in asked:
            if each not in by_id:
                raise not_found(InterfacePermission, each)
        items = [by_id[each] for each in asked]
    kept = filtered(
        params,
        items,
        {
            "network-interface-permission.aws-account-id": lambda i: filter(
                None, [i.record.account]
            ),
            "network-interface-permission.aws-service": lambda i: filter(None, [i.record.service]),
            "network-interface-permission.network-interface-id": lambda i: [i.parent],
            "network-interface-permission.network-interface-permission-id": lambda i: [i.name],
            "network-interface-permission.permission": lambda i: [i.record.permission],
        },
    )
    return paged(call, params, [_render(item) for item in kept])


def _render(item: Item[InterfacePermission]) -> dict[str, Any]:
    record = item.record
    shown: dict[str, Any] = {
        "NetworkInterfacePermissionId": item.name,
        "NetworkInterfaceId": item.parent,
        "Permission": record.permission,
        "PermissionState": {"State": "GRANTED"},
    }
    if record.account is not None:
        shown["AwsAccountId"] = record.account
    if record.service is not None:
        shown["AwsService"] = record.service
    return shown
