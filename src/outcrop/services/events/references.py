"""How requests name buses and rules, what is said where there are none, and pages of lists."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.stores.event_records import (
    DEFAULT_BUS,
    EventBus,
    EventRule,
    bus_arn,
    read_bus,
    rule_place,
)
from outcrop.stores.resources import Item, Place, View
from outcrop.wire.paging import page
from outcrop.wire.spec import Pagination

_ARN: Final = re.compile(r"arn:aws:([a-z0-9-]+):([a-z0-9-]*):([0-9]{12}|):(.+)", re.ASCII)


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message)


def already_there(message: str) -> ServiceError:
    return ServiceError("ResourceAlreadyExistsException", message)


def limit_exceeded() -> ServiceError:
    return ServiceError(
        "LimitExceededException", "The requested resource exceeds the maximum number allowed."
    )


def no_bus(name: str) -> ServiceError:
    return not_found(f"Event bus {name} does not exist.")


def bus_place(call: Call, params: Mapping[str, Any], key: str = "EventBusName") -> Place:
    """The bus of the caller's account and region that a request names, the default one by itself.
    Rules on buses of other accounts are theirs to make."""
    named = params.get(key, DEFAULT_BUS)
    place = read_bus(named, call.account, call.region)
    if place is None:
        raise ValidationException(f"Parameter {key} is not valid.")
    if (place.account, place.region) != (call.account, call.region):
        raise no_bus(named)
    return place


async def find_bus(view: View, place: Place) -> Item[EventBus] | None:
    """The default bus is always there."""
    found = await view.find(EventBus, place)
    if found is None and place.name == DEFAULT_BUS:
        arn = bus_arn(place.region, place.account, place.name)
        return Item(EventBus(), place, arn=arn)
    return found


async def get_bus(view: View, place: Place) -> Item[EventBus]:
    found = await find_bus(view, place)
    if found is None:
        raise no_bus(place.name)
    return found


async def get_rule(view: View, bus: Place, name: str) -> Item[EventRule]:
    await get_bus(view, bus)
    found = await view.find(EventRule, rule_place(bus.account, bus.region, bus.name, name))
    if found is None:
        raise not_found(f"Rule {name} does not exist on EventBus {bus.name}.")
    return found


def read_arn(arn: str) -> tuple[str, str, str, str] | None:
    """Service, region, account and resource."""
    found = _ARN.fullmatch(arn)
    return None if found is None else (found[1], found[2], found[3], found[4])


def page_of(
    call: Call, params: Mapping[str, Any], items: Sequence[Any], result_key: str
) -> dict[str, Any]:
    facts = Pagination("NextToken", "NextToken", "Limit", result_key)
    return page(replace(call.operation, pagination=facts), params, items)


def refuse_parameters(params: Mapping[str, Any], **reasons: str) -> None:
    """What Outcrop does not have is refused, not ignored."""
    for name, reason in reasons.items():
        if params.get(name):
            raise ValidationException(f"Parameter {name} is not supported: {reason}")
