"""Rules: which events of a bus go to targets. Schedules are refused, there is no clock for them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ServiceError, ValidationException
from outcrop.events.pattern_terms import InvalidPattern
from outcrop.events.patterns import compile_pattern
from outcrop.services.call import Call
from outcrop.services.events.references import (
    bus_place,
    get_bus,
    get_rule,
    limit_exceeded,
    page_of,
)
from outcrop.services.events.schedule_texts import is_schedule
from outcrop.services.events.tags import read_new_tags
from outcrop.services.operation import operation
from outcrop.services.service_callers import EVENTS
from outcrop.services.service_roles import pass_role
from outcrop.stores.event_records import DEFAULT_BUS, EventRule, rule_arn, rule_name, rule_place
from outcrop.stores.resources import Item, Place

_MOST_RULES: Final = 300


@operation
async def put_rule(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bus, name = bus_place(call, params), params["Name"]
    _check(bus, params)
    arn = rule_arn(call.region, call.account, bus.name, name)
    if "RoleArn" in params:
        await pass_role(call, params["RoleArn"], source_arn=arn, service=EVENTS)
    tags = read_new_tags(params.get("Tags"))
    place = rule_place(call.account, call.region, bus.name, name)
    async with call.stores.resources.writing() as transaction:
        await get_bus(transaction, bus)
        known = await transaction.find(EventRule, place)
        record = EventRule(
            bus=bus.name,
            pattern=params["EventPattern"],
            enabled=params.get("State", "ENABLED") != "DISABLED",
            description=params.get("Description", ""),
            role_arn=params.get("RoleArn"),
            created_by=known.record.created_by if known else call.account,
            targets=known.record.targets if known else (),
        )
        if known is not None:
            # As AWS: the tags of a rule that is there are TagResource's to change.
            await transaction.put(replace(known, record=record))
            return {"RuleArn": arn}
        rules = await transaction.list(
            EventRule, account=call.account, region=call.region, parent=bus.name
        )
        if len(rules) >= _MOST_RULES:
            raise limit_exceeded()
        await transaction.add(record, place, parent=bus.name, arn=arn, tags=tags)
    return {"RuleArn": arn}


@operation
async def describe_rule(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bus = bus_place(call, params)
    async with call.stores.resources.reading() as view:
        rule = await get_rule(view, bus, params["Name"])
    return {**_describe(rule), "CreatedBy": rule.record.created_by}


@operation
async def list_rules(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    prefix = params.get("NamePrefix", "")
    rules = [_describe(rule) for rule in await _rules(call, bus_place(call, params))]
    wanted = [rule for rule in rules if rule["Name"].startswith(prefix)]
    return page_of(call, params, wanted, "Rules")


@operation
async def list_rule_names_by_target(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    names = [
        rule_name(rule.place)
        for rule in await _rules(call, bus_place(call, params))
        if any(target["Arn"] == params["TargetArn"] for target in rule.record.targets)
    ]
    return page_of(call, params, names, "RuleNames")


@operation
async def enable_rule(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _switch(call, params, enabled=True)


@operation
async def disable_rule(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _switch(call, params, enabled=False)


@operation
async def delete_rule(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """``Force`` is for rules that AWS's services manage, of which there are none."""
    bus = bus_place(call, params)
    place = rule_place(call.account, call.region, bus.name, params["Name"])
    async with call.stores.resources.writing() as transaction:
        await get_bus(transaction, bus)
        rule = await transaction.find(EventRule, place)
        if rule is not None:
            if rule.record.targets:
                raise ValidationException("Rule can't be deleted since it has targets.")
            await transaction.remove(EventRule, place)
    return {}


@operation
async def test_event_pattern(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"Result": read_pattern(params["EventPattern"]).matches(_read_event(params["Event"]))}


def read_pattern(text: str) -> Any:
    try:
        return compile_pattern(text)
    except InvalidPattern as error:
        raise ServiceError(
            "InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}"
        ) from error


_REQUIRED: Final = ("id", "account", "source", "time", "region", "detail-type")


def _read_event(text: str) -> dict[str, Any]:
    try:
        event: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError) as error:
        raise ValidationException("Parameter Event is not valid.") from error
    if not isinstance(event, dict) or any(name not in event for name in _REQUIRED):
        raise ValidationException("Parameter Event is not valid.")
    return cast("dict[str, Any]", event)


def _check(bus: Place, params: Mapping[str, Any]) -> None:
    schedule = params.get("ScheduleExpression")
    if schedule:
        if not is_schedule(schedule) or bus.name != DEFAULT_BUS:
            raise ValidationException("Parameter ScheduleExpression is not valid.")
        raise ValidationException(
            "Parameter ScheduleExpression is not supported: Outcrop runs no schedules. Let cron or "
            "a systemd timer call PutEvents, and match its event with an EventPattern."
        )
    if params.get("State") == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS":
        raise ValidationException(
            "Parameter State is not supported: read-only calls are not sent as events. Use ENABLED."
        )
    if not params.get("EventPattern"):
        raise ValidationException(
            "Parameter(s) EventPattern or ScheduleExpression must be specified."
        )
    read_pattern(params["EventPattern"])


async def _rules(call: Call, bus: Place) -> list[Item[EventRule]]:
    async with call.stores.resources.reading() as view:
        await get_bus(view, bus)
        return await view.list(EventRule, account=call.account, region=call.region, parent=bus.name)


async def _switch(call: Call, params: Mapping[str, Any], *, enabled: bool) -> dict[str, Any]:
    bus = bus_place(call, params)
    async with call.stores.resources.writing() as transaction:
        rule = await get_rule(transaction, bus, params["Name"])
        record = msgspec.structs.replace(rule.record, enabled=enabled)
        await transaction.put(replace(rule, record=record))
    return {}


def _describe(rule: Item[EventRule]) -> dict[str, Any]:
    record = rule.record
    described = {
        "Name": rule_name(rule.place),
        "Arn": rule.arn,
        "EventPattern": record.pattern,
        "State": "ENABLED" if record.enabled else "DISABLED",
        "Description": record.description or None,
        "RoleArn": record.role_arn,
        "EventBusName": record.bus,
    }
    return {name: value for name, value in described.items() if value is not None}
