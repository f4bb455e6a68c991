"""Subscription filters: events that match are delivered to a stream or function elsewhere.

There are none here yet: only those of services that the configuration names can be destinations.
"""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.config import TargetService
from outcrop.services.call import Call
from outcrop.services.logs.filtering import read_pattern
from outcrop.services.logs.group_filters import delete_filter, put_filter
from outcrop.services.logs.references import (
    arn_of,
    get_group,
    group_place,
    invalid_parameter,
    paged,
    refuse,
)
from outcrop.services.operation import operation
from outcrop.services.service_roles import pass_role
from outcrop.stores.log_records import SubscriptionFilter
from outcrop.stores.resources import Item
from outcrop.stores.tables import to_ms

_MOST: Final = 2
_VENDORS: Final[Mapping[str, TargetService]] = {
    "kinesis": "kinesis",
    "firehose": "firehose",
    "lambda": "lambda",
}
_REFUSED: Final = ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFields")


@operation
async def put_subscription_filter(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, *_REFUSED)
    read_pattern(params["filterPattern"])
    async with call.stores.resources.reading() as view:
        group = await get_group(view, group_place(call, params))
    _check_destination(call, params)
    if "roleArn" in params:
        await pass_role(
            call,
            params["roleArn"],
            source_arn=f"{arn_of(group)}:*",
            service="logs.amazonaws.com",
            not_assumable="Could not deliver test message to specified destination. Check if the "
            "destination is valid.",
        )
    record = SubscriptionFilter(
        name=params["filterName"],
        pattern=params["filterPattern"],
        destination=params["destinationArn"],
        role=params.get("roleArn"),
        distribution=params.get("distribution", "ByLogStream"),
    )
    return await put_filter(call, params, record, _MOST)


@operation
async def describe_subscription_filters(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        group = await get_group(view, group_place(call, params))
        filters = await view.list(
            SubscriptionFilter, account=call.account, region=call.region, parent=group.name
        )
    found = [
        _described(each)
        for each in filters
        if each.record.name.startswith(params.get("filterNamePrefix", ""))
    ]
    return paged(call, params, found)


@operation
async def delete_subscription_filter(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await delete_filter(call, params, SubscriptionFilter, "subscription")


def _check_destination(call: Call, params: Mapping[str, Any]) -> None:
    destination = params["destinationArn"]
    parts = destination.split(":", 5)
    vendor = parts[2] if len(parts) == 6 and parts[0] == "arn" else ""
    service = _VENDORS.get(vendor)
    if service is None:
        raise invalid_parameter(
            f"PutSubscriptionFilter operation cannot work with destinationArn for vendor {vendor}"
        )
    if service != "lambda" and "roleArn" not in params:
        raise invalid_parameter(
            f"destinationArn for vendor {vendor} cannot be used without roleArn"
        )
    if service == "lambda" and "roleArn" in params:
        raise invalid_parameter(f"destinationArn for vendor {vendor} cannot be used with roleArn")
    if service not in call.observing.logs.targets:
        raise invalid_parameter(
            f"Could not deliver to {destination}: Outcrop has no {service} yet. Name one in the "
            f"configuration, [services.targets.{service}]."
        )


def _described(item: Item[SubscriptionFilter]) -> dict[str, Any]:
    record = item.record
    described = {
        "filterName": record.name,
        "logGroupName": item.parent,
        "filterPattern": record.pattern,
        "destinationArn": record.destination,
        "roleArn": record.role,
        "distribution": record.distribution,
        "applyOnTransformedLogs": False,
        "creationTime": to_ms(item.created_at),
    }
    return {name: value for name, value in described.items() if value is not None}
