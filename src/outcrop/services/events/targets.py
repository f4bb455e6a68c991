"""Targets of rules. A rule has five at most, each by an ID of its caller's choice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.errors import ValidationException
from outcrop.services.call import Call
from outcrop.services.events.references import bus_place, get_rule, limit_exceeded, page_of
from outcrop.services.events.target_checks import RefusedTarget, check_dead_letters, check_target
from outcrop.services.operation import operation
from outcrop.services.service_callers import EVENTS
from outcrop.services.service_roles import pass_role
from outcrop.stores.event_records import EventApiDestination, EventRule, rule_arn
from outcrop.stores.resources import Item, Transaction, View

_MOST: Final = 5


@operation
async def put_targets(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bus, name = bus_place(call, params), params["Rule"]
    arn = rule_arn(call.region, call.account, bus.name, name)
    async with call.stores.resources.reading() as view:
        await get_rule(view, bus, name)
    taken: dict[str, dict[str, Any]] = {}
    failed: list[dict[str, str]] = []
    for target in params["Targets"]:
        try:
            await _check(call, target, arn)
        except RefusedTarget as error:
            failed.append(_failure(target["Id"], error.code, str(error)))
        else:
            taken[target["Id"]] = dict(target)
    async with call.stores.resources.writing() as transaction:
        rule = await get_rule(transaction, bus, name)
        targets = {each["Id"]: each for each in rule.record.targets} | taken
        if len(targets) > _MOST:
            raise limit_exceeded()
        await _set_targets(transaction, rule, list(targets.values()))
    return {"FailedEntryCount": len(failed), "FailedEntries": failed}


@operation
async def remove_targets(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bus = bus_place(call, params)
    async with call.stores.resources.writing() as transaction:
        rule = await get_rule(transaction, bus, params["Rule"])
        known = {target["Id"] for target in rule.record.targets}
        gone = set(params["Ids"])
        left = [target for target in rule.record.targets if target["Id"] not in gone]
        await _set_targets(transaction, rule, left)
    failed = [
        _failure(
            id,
            "ResourceNotFoundException",
            f"Rule {params['Rule']} does not have a target with the Id {id}.",
        )
        for id in params["Ids"]
        if id not in known
    ]
    return {"FailedEntryCount": len(failed), "FailedEntries": failed}


@operation
async def list_targets_by_rule(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bus = bus_place(call, params)
    async with call.stores.resources.reading() as view:
        rule = await get_rule(view, bus, params["Rule"])
    return page_of(call, params, rule.record.targets, "Targets")


async def _check(call: Call, target: Mapping[str, Any], arn: str) -> None:
    check_target(target, arn, call.observing.events.targets)
    check_dead_letters(target, arn)
    if ":api-destination/" in target["Arn"]:
        async with call.stores.resources.reading() as view:
            await _require_api_destination(view, target)
    if "RoleArn" in target:
        await pass_role(call, target["RoleArn"], source_arn=arn, service=EVENTS)


async def _require_api_destination(view: View, target: Mapping[str, Any]) -> None:
    found = await view.find_arn(EventApiDestination, target["Arn"])
    if found is None:
        raise ValidationException(
            f"Parameter {target['Arn']} is not valid. Reason: The API destination does not exist."
        )
    wildcards = found.record.endpoint.count("*")
    values = target.get("HttpParameters", {}).get("PathParameterValues", ())
    if len(values) != wildcards:
        raise ValidationException(
            f"Parameter PathParameterValues is not valid for target {target['Id']}: the endpoint "
            f"has {wildcards} path variables, and {len(values)} values are given."
        )


def _failure(target_id: str, code: str, message: str) -> dict[str, str]:
    return {"TargetId": target_id, "ErrorCode": code, "ErrorMessage": message}


async def _set_targets(
    transaction: Transaction, rule: Item[EventRule], targets: Sequence[dict[str, Any]]
) -> None:
    record = msgspec.structs.replace(rule.record, targets=tuple(targets))
    await transaction.put(replace(rule, record=record))
