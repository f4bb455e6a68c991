"""Event buses. The default one is there from the beginning and stays."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.errors import ValidationException
from outcrop.services.call import Call
from outcrop.services.events.references import (
    already_there,
    bus_place,
    find_bus,
    get_bus,
    limit_exceeded,
    page_of,
    refuse_parameters,
)
from outcrop.services.events.tags import read_new_tags
from outcrop.services.operation import operation
from outcrop.stores.event_records import DEFAULT_BUS, EventBus, EventRule, bus_arn
from outcrop.stores.failures import NameTaken
from outcrop.stores.resources import Item, Place

_MOST_BUSES: Final = 100
_ABSENT: Final = {
    "EventSourceName": "there are no partners whose events could come.",
    "KmsKeyIdentifier": "events are kept in the deployment's own database until they are "
    "delivered.",
    "DeadLetterConfig": "dead-letter queues are named by targets.",
    "LogConfig": "a log group as a target keeps a bus's events.",
}


@operation
async def create_event_bus(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params["Name"]
    refuse_parameters(params, **_ABSENT)
    if "/" in name:
        raise ValidationException("Event bus name must not contain '/'.")
    tags = read_new_tags(params.get("Tags"))
    arn = bus_arn(call.region, call.account, name)
    record = EventBus(description=params.get("Description", ""))
    async with call.stores.resources.writing() as transaction:
        buses = await transaction.list(EventBus, account=call.account, region=call.region)
        if name == DEFAULT_BUS:
            raise already_there(f"Event bus {name} already exists.")
        if len(buses) >= _MOST_BUSES:
            raise limit_exceeded()
        try:
            await transaction.add(
                record, Place(call.account, call.region, name), arn=arn, tags=tags
            )
        except NameTaken as error:
            raise already_there(f"Event bus {name} already exists.") from error
    described = {"Description": record.description} if record.description else {}
    return {"EventBusArn": arn, **described}


@operation
async def update_event_bus(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse_parameters(params, **_ABSENT)
    place = bus_place(call, params, "Name")
    async with call.stores.resources.writing() as transaction:
        bus = await get_bus(transaction, place)
        if "Description" in params:
            record = msgspec.structs.replace(bus.record, description=params["Description"])
            if await transaction.find(EventBus, place) is None:
                bus = await transaction.add(record, place, arn=bus.arn)
            else:
                bus = await transaction.put(replace(bus, record=record))
    described = {"Description": bus.record.description} if bus.record.description else {}
    return {"Arn": bus.arn, "Name": bus.name, **described}


@operation
async def delete_event_bus(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = bus_place(call, params, "Name")
    if place.name == DEFAULT_BUS:
        raise ValidationException("Cannot delete event bus default.")
    async with call.stores.resources.writing() as transaction:
        rules = await transaction.list(
            EventRule, account=call.account, region=call.region, parent=place.name
        )
        if rules:
            raise ValidationException("Event bus can't be deleted since it has rules.")
        if await find_bus(transaction, place) is not None:
            await transaction.remove(EventBus, place)
    return {}


@operation
async def describe_event_bus(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = bus_place(call, params, "Name")
    async with call.stores.resources.reading() as view:
        is_kept = await view.find(EventBus, place) is not None
        return _describe(await get_bus(view, place), is_kept=is_kept)


@operation
async def list_event_buses(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        kept = await view.list(EventBus, account=call.account, region=call.region)
        default = await get_bus(view, Place(call.account, call.region, DEFAULT_BUS))
    named = [bus for bus in kept if bus.name != DEFAULT_BUS]
    has_default = len(named) < len(kept)
    prefix = params.get("NamePrefix", "")
    buses = [
        _describe(bus, is_kept=has_default or bus is not default)
        for bus in (default, *named)
        if bus.name.startswith(prefix)
    ]
    return page_of(call, params, buses, "EventBuses")


def _describe(bus: Item[EventBus], *, is_kept: bool) -> dict[str, Any]:
    described = {
        "Name": bus.name,
        "Arn": bus.arn,
        "Description": bus.record.description or None,
        "Policy": bus.record.policy,
        "CreationTime": bus.created_at if is_kept else None,
        "LastModifiedTime": bus.changed_at if is_kept else None,
    }
    return {name: value for name, value in described.items() if value is not None}
