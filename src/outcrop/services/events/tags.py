"""Tags of buses and rules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ValidationException
from outcrop.services.call import Call
from outcrop.services.events.references import find_bus, get_rule, no_bus, not_found
from outcrop.services.operation import operation
from outcrop.stores.event_records import EventBus, read_bus, read_rule_arn
from outcrop.stores.resources import Item, Place, Transaction, View

_MOST: Final = 50


@operation
async def list_tags_for_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await _get(call, view, params["ResourceARN"])
    return {"Tags": [{"Key": key, "Value": value} for key, value in item.tags.items()]}


@operation
async def tag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    added = read_new_tags(params["Tags"])
    async with call.stores.resources.writing() as transaction:
        item = await _get(call, transaction, params["ResourceARN"])
        tags = {**item.tags, **added}
        _require_few(tags)
        await _put(transaction, item, tags)
    return {}


@operation
async def untag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        item = await _get(call, transaction, params["ResourceARN"])
        gone = set(params["TagKeys"])
        await _put(transaction, item, {k: v for k, v in item.tags.items() if k not in gone})
    return {}


def read_new_tags(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    read: dict[str, str] = {}
    for tag in tags or ():
        if tag["Key"] in read:
            raise ValidationException(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive."
            )
        read[tag["Key"]] = tag["Value"]
    if any(key.lower().startswith("aws:") for key in read):
        raise ValidationException("aws: prefixed tag key names are not allowed for external use.")
    _require_few(read)
    return read


def _require_few(tags: Mapping[str, str]) -> None:
    if len(tags) > _MOST:
        raise ValidationException(f"A resource has at most {_MOST} tags.")


async def _get(call: Call, view: View, arn: str) -> Item[Any]:
    rule = read_rule_arn(arn)
    if rule is not None:
        place, bus, name = rule
        _require_own(call, place, arn)
        return await get_rule(view, Place(place.account, place.region, bus), name)
    place = read_bus(arn, call.account, call.region)
    if place is None:
        raise ValidationException("Parameter ResourceARN is not valid: it names no bus or rule.")
    _require_own(call, place, arn)
    bus_item = await find_bus(view, place)
    if bus_item is None:
        raise no_bus(place.name)
    return bus_item


def _require_own(call: Call, place: Place, arn: str) -> None:
    if (place.account, place.region) != (call.account, call.region):
        raise not_found(f"{arn} does not exist in this account and region.")


async def _put(transaction: Transaction, item: Item[Any], tags: Mapping[str, str]) -> None:
    if isinstance(item.record, EventBus) and await transaction.find(EventBus, item.place) is None:
        await transaction.add(item.record, item.place, arn=item.arn, tags=tags)
    else:
        await transaction.put(replace(item, tags=tags))
