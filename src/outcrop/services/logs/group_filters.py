"""What metric filters and subscription filters of a log group have in common: how they are kept."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outcrop.services.call import Call
from outcrop.services.logs.references import get_group, group_place, limit_exceeded, not_found
from outcrop.stores.log_records import MetricFilter, SubscriptionFilter, filter_place

AnyFilter = MetricFilter | SubscriptionFilter


async def put_filter(
    call: Call, params: Mapping[str, Any], record: AnyFilter, most: int
) -> dict[str, Any]:
    """Under its name in the group of the request, which has ``most`` of the kind."""
    kind = type(record)
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, group_place(call, params))
        place = filter_place(group.place, record.name)
        known = await transaction.find(kind, place)
        if known is not None:
            await transaction.put(replace(known, record=record))
            return {}
        others = await transaction.list(
            kind, account=call.account, region=call.region, parent=group.name
        )
        if len(others) >= most:
            raise limit_exceeded()
        await transaction.add(record, place, parent=group.name)
    return {}


async def delete_filter(
    call: Call, params: Mapping[str, Any], kind: type[AnyFilter], noun: str
) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, group_place(call, params))
        place = filter_place(group.place, params["filterName"])
        if await transaction.find(kind, place) is None:
            raise not_found(f"The specified {noun} filter does not exist.")
        await transaction.remove(kind, place)
    return {}
