"""Resource policies of an account: what services and other accounts may do with its log groups."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.services.call import Call
from outcrop.services.logs.references import (
    invalid_parameter,
    limit_exceeded,
    not_found,
    paged,
    refuse,
)
from outcrop.services.operation import operation
from outcrop.stores.log_records import LogPolicy
from outcrop.stores.resources import Item, Place, View
from outcrop.stores.tables import to_ms

_MOST: Final = 10
_MOST_BYTES: Final = 5120


@operation
async def put_resource_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, "resourceArn")
    name, document = params.get("policyName"), params.get("policyDocument")
    if not name or not document:
        raise invalid_parameter("policyName and policyDocument must be given.")
    _check(document)
    place = Place(call.account, call.region, name)
    record = LogPolicy(document=document, revision=secrets.token_hex(16))
    async with call.stores.resources.writing() as transaction:
        known = await transaction.find(LogPolicy, place)
        _require_revision(known, params)
        if known is not None:
            item = await transaction.put(replace(known, record=record))
        else:
            policies = await transaction.list(LogPolicy, account=call.account, region=call.region)
            if len(policies) >= _MOST:
                raise limit_exceeded()
            item = await transaction.add(record, place)
    return {"resourcePolicy": _described(item), "revisionId": record.revision}


@operation
async def describe_resource_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, "resourceArn")
    async with call.stores.resources.reading() as view:
        policies = await _list(view, call)
    if params.get("policyScope", "ACCOUNT") != "ACCOUNT":
        policies = []
    return paged(call, params, [_described(each) for each in policies])


@operation
async def delete_resource_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, "resourceArn")
    name = params.get("policyName", "")
    place = Place(call.account, call.region, name)
    async with call.stores.resources.writing() as transaction:
        known = await transaction.find(LogPolicy, place)
        if known is None:
            raise not_found(f"Policy with name [{name}] does not exist.")
        _require_revision(known, params)
        await transaction.remove(LogPolicy, place)
    return {}


async def _list(view: View, call: Call) -> list[Item[LogPolicy]]:
    return await view.list(LogPolicy, account=call.account, region=call.region)


def _check(document: str) -> None:
    if len(document.encode("utf-8", "replace")) > _MOST_BYTES:
        raise invalid_parameter(f"A resource policy has at most {_MOST_BYTES} bytes.")
    try:
        parse_policy(document, "resource")
    except MalformedPolicy as error:
        raise invalid_parameter(str(error)) from error


def _require_revision(known: Item[LogPolicy] | None, params: Mapping[str, Any]) -> None:
    expected = params.get("expectedRevisionId")
    if expected is not None and (known is None or known.record.revision != expected):
        raise ServiceError(
            "OperationAbortedException", "The policy has another revision than the expected one."
        )


def _described(item: Item[LogPolicy]) -> dict[str, Any]:
    return {
        "policyName": item.name,
        "policyDocument": item.record.document,
        "lastUpdatedTime": to_ms(item.changed_at),
        "policyScope": "ACCOUNT",
        "revisionId": item.record.revision,
    }
