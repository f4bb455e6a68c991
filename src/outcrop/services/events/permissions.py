"""The policy of a bus: who of other accounts may send events to it, and what else they may."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ServiceError, ValidationException
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.services.call import Call
from outcrop.services.events.references import bus_place, get_bus, not_found
from outcrop.services.operation import operation
from outcrop.stores.event_records import EventBus
from outcrop.stores.resources import Item, Transaction

_LONGEST: Final = 10_240
_VERSION: Final = "2012-10-17"


@operation
async def put_permission(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = bus_place(call, params)
    async with call.stores.resources.writing() as transaction:
        bus = await get_bus(transaction, place)
        if "Policy" in params:
            if any(name in params for name in ("Action", "Principal", "StatementId", "Condition")):
                raise ValidationException(
                    "Policy cannot be given together with Action, Principal, StatementId or "
                    "Condition."
                )
            text = params["Policy"]
        else:
            text = _with_statement(bus, _statement(bus, params))
        _check(text)
        await _set_policy(transaction, bus, text)
    return {}


@operation
async def remove_permission(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = bus_place(call, params)
    async with call.stores.resources.writing() as transaction:
        bus = await get_bus(transaction, place)
        if params.get("RemoveAllPermissions"):
            await _set_policy(transaction, bus, None)
            return {}
        if "StatementId" not in params:
            raise ValidationException("Parameter StatementId must be specified.")
        statements = _statements(bus)
        left = [each for each in statements if each.get("Sid") != params["StatementId"]]
        if len(left) == len(statements):
            raise not_found("Statement with the provided id does not exist.")
        await _set_policy(transaction, bus, _render(left) if left else None)
    return {}


def _statement(bus: Item[EventBus], params: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in ("Action", "Principal", "StatementId") if name not in params]
    if missing:
        raise ValidationException(f"Parameter {missing[0]} must be specified.")
    principal = params["Principal"]
    statement: dict[str, Any] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": "*" if principal == "*" else {"AWS": f"arn:aws:iam::{principal}:root"},
        "Action": params["Action"],
        "Resource": bus.arn,
    }
    condition = params.get("Condition")
    if condition is not None:
        statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
    return statement


def _with_statement(bus: Item[EventBus], statement: Mapping[str, Any]) -> str:
    others = [each for each in _statements(bus) if each.get("Sid") != statement["Sid"]]
    return _render([*others, statement])


def _statements(bus: Item[EventBus]) -> list[Mapping[str, Any]]:
    if bus.record.policy is None:
        return []
    found: Any = msgspec.json.decode(bus.record.policy)["Statement"]
    return cast("list[Mapping[str, Any]]", found if isinstance(found, list) else [found])


def _render(statements: list[Mapping[str, Any]]) -> str:
    return msgspec.json.encode({"Version": _VERSION, "Statement": statements}).decode()


def _check(text: str) -> None:
    if len(text) > _LONGEST:
        raise ServiceError(
            "PolicyLengthExceededException",
            f"The policy of an event bus has at most {_LONGEST} characters.",
        )
    try:
        parse_policy(text, "resource")
    except MalformedPolicy as error:
        raise ValidationException(f"Parameter Policy is not valid. Reason: {error}") from error


async def _set_policy(transaction: Transaction, bus: Item[EventBus], text: str | None) -> None:
    record = msgspec.structs.replace(bus.record, policy=text)
    if await transaction.find(EventBus, bus.place) is None:
        await transaction.add(record, bus.place, arn=bus.arn)
    else:
        await transaction.put(replace(bus, record=record))
