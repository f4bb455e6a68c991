"""API destinations: HTTPS endpoints that rules send events to, signed in by a connection."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from outcrop.errors import ValidationException
from outcrop.outward.addresses import is_refused_host
from outcrop.services.call import Call
from outcrop.services.events.references import already_there, not_found, page_of
from outcrop.services.operation import operation
from outcrop.stores.event_records import (
    EventApiDestination,
    EventConnection,
    api_destination_arn,
)
from outcrop.stores.failures import NameTaken
from outcrop.stores.resources import Item, Place, View


@operation
async def create_api_destination(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    check_endpoint(params["InvocationEndpoint"])
    place = Place(call.account, call.region, params["Name"])
    id = str(uuid4())
    record = EventApiDestination(
        id=id,
        connection_arn=params["ConnectionArn"],
        endpoint=params["InvocationEndpoint"],
        method=params["HttpMethod"],
        rate_per_s=params.get("InvocationRateLimitPerSecond", 300),
        description=params.get("Description", ""),
        changed_at=call.now,
    )
    async with call.stores.resources.writing() as transaction:
        await _require_connection(call, transaction, record.connection_arn)
        try:
            item = await transaction.add(record, place, arn=api_destination_arn(place, id))
        except NameTaken as error:
            raise already_there(f"An api-destination '{place.name}' already exists.") from error
    return _state(item)


@operation
async def update_api_destination(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "InvocationEndpoint" in params:
        check_endpoint(params["InvocationEndpoint"])
    async with call.stores.resources.writing() as transaction:
        item = await _get(call, transaction, params["Name"], "update")
        if "ConnectionArn" in params:
            await _require_connection(call, transaction, params["ConnectionArn"])
        known = item.record
        record = msgspec.structs.replace(
            known,
            connection_arn=params.get("ConnectionArn", known.connection_arn),
            endpoint=params.get("InvocationEndpoint", known.endpoint),
            method=params.get("HttpMethod", known.method),
            rate_per_s=params.get("InvocationRateLimitPerSecond", known.rate_per_s),
            description=params.get("Description", known.description),
            changed_at=call.now,
        )
        item = await transaction.put(replace(item, record=record))
    return _state(item)


@operation
async def delete_api_destination(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        item = await _get(call, transaction, params["Name"], "delete")
        await transaction.remove(EventApiDestination, item.place)
    return {}


@operation
async def describe_api_destination(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await _get(call, view, params["Name"], "describe")
    described = {"Description": item.record.description} if item.record.description else {}
    return {**_describe(item), **described}


@operation
async def list_api_destinations(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        items = await view.list(EventApiDestination, account=call.account, region=call.region)
    wanted = [
        _describe(item)
        for item in items
        if item.name.startswith(params.get("NamePrefix", ""))
        and params.get("ConnectionArn", item.record.connection_arn) == item.record.connection_arn
    ]
    return page_of(call, params, wanted, "ApiDestinations")


def check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
        is_good = is_good and "*" not in parts.netloc and (parts.port or 443) > 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValidationException(
            "Parameter InvocationEndpoint is not valid. Reason: It is not the address of an HTTPS "
            "endpoint, whose path alone may have variables (*)."
        )
    if is_refused_host(urlsplit(url).hostname or ""):
        raise ValidationException(
            "Parameter InvocationEndpoint is not valid. Reason: Link-local addresses, where "
            "machines keep their metadata, are refused."
        )


async def _require_connection(call: Call, view: View, arn: str) -> None:
    found = await view.find_arn(EventConnection, arn)
    if found is None or found.place.account != call.account:
        name = arn.split("/")[1] if arn.count("/") > 1 else arn
        raise not_found(f"Connection '{name}' does not exist.")


async def _get(call: Call, view: View, name: str, doing: str) -> Item[EventApiDestination]:
    found = await view.find(EventApiDestination, Place(call.account, call.region, name))
    if found is None:
        raise not_found(
            f"Failed to {doing} the api-destination(s). An api-destination '{name}' does not exist."
        )
    return found


def _state(item: Item[EventApiDestination]) -> dict[str, Any]:
    return {
        "ApiDestinationArn": item.arn,
        "ApiDestinationState": "ACTIVE",
        "CreationTime": item.created_at,
        "LastModifiedTime": item.record.changed_at,
    }


def _describe(item: Item[EventApiDestination]) -> dict[str, Any]:
    return {
        **_state(item),
        "Name": item.name,
        "ConnectionArn": item.record.connection_arn,
        "InvocationEndpoint": item.record.endpoint,
        "HttpMethod": item.record.method,
        "InvocationRateLimitPerSecond": item.record.rate_per_s,
    }
