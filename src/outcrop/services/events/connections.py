"""Connections: how API destinations sign in. Their secrets are sealed and never answered.

A connection is AUTHORIZED when it is made; of OAuth the token is fetched with the first delivery.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import msgspec

from outcrop.services.call import Call
from outcrop.services.events.connection_secrets import (
    check_parameters,
    merge,
    open_sealed,
    seal,
    shown,
)
from outcrop.services.events.references import (
    already_there,
    not_found,
    page_of,
    refuse_parameters,
)
from outcrop.services.operation import operation
from outcrop.stores.event_records import EventConnection, connection_arn
from outcrop.stores.failures import NameTaken
from outcrop.stores.resources import Item, Place, View

STATE: Final = "AUTHORIZED"
_ABSENT: Final = {
    "InvocationConnectivityParameters": "Outcrop reaches APIs as the server's own network does.",
    "KmsKeyIdentifier": "secrets of connections are sealed with the deployment's master key.",
}


@operation
async def create_connection(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse_parameters(params, **_ABSENT)
    check_parameters(params["AuthorizationType"], params["AuthParameters"])
    place = Place(call.account, call.region, params["Name"])
    id = str(uuid4())
    arn = connection_arn(place, id)
    record = EventConnection(
        id=id,
        authorization=params["AuthorizationType"],
        shown=shown(params["AuthParameters"]),
        sealed=seal(call.stores.sealer, arn, params["AuthParameters"]),
        description=params.get("Description", ""),
        changed_at=call.now,
        authorized_at=call.now,
    )
    async with call.stores.resources.writing() as transaction:
        try:
            item = await transaction.add(record, place, arn=arn)
        except NameTaken as error:
            raise already_there(f"Connection {place.name} already exists.") from error
    # Of this answer alone the model does not have it.
    return {key: value for key, value in _state(item).items() if key != "LastAuthorizedTime"}


@operation
async def update_connection(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse_parameters(params, **_ABSENT)
    async with call.stores.resources.writing() as transaction:
        item = await get_connection(call, transaction, params["Name"], "update")
        record, arn = item.record, item.arn or ""
        authorization = params.get("AuthorizationType", record.authorization)
        known = open_sealed(call.stores.sealer, arn, record.sealed)
        if authorization != record.authorization:
            known = {name: known[name] for name in ("InvocationHttpParameters",) if name in known}
        parameters = merge(known, params.get("AuthParameters", {}))
        check_parameters(authorization, parameters)
        changed = msgspec.structs.replace(
            record,
            authorization=authorization,
            shown=shown(parameters),
            sealed=seal(call.stores.sealer, arn, parameters),
            description=params.get("Description", record.description),
            changed_at=call.now,
            authorized_at=call.now,
        )
        item = await transaction.put(replace(item, record=changed))
    return _state(item)


@operation
async def delete_connection(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        item = await get_connection(call, transaction, params["Name"], "delete")
        await transaction.remove(EventConnection, item.place)
    return {**_state(item), "ConnectionState": "DELETING"}


@operation
async def describe_connection(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await get_connection(call, view, params["Name"], "describe")
    described = {"Description": item.record.description} if item.record.description else {}
    return {
        **_state(item),
        **described,
        "Name": item.name,
        "AuthorizationType": item.record.authorization,
        "AuthParameters": item.record.shown,
    }


@operation
async def list_connections(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        items = await view.list(EventConnection, account=call.account, region=call.region)
    wanted = [
        {**_state(item), "Name": item.name, "AuthorizationType": item.record.authorization}
        for item in items
        if item.name.startswith(params.get("NamePrefix", ""))
        and params.get("ConnectionState", STATE) == STATE
    ]
    return page_of(call, params, wanted, "Connections")


async def get_connection(call: Call, view: View, name: str, doing: str) -> Item[EventConnection]:
    found = await view.find(EventConnection, Place(call.account, call.region, name))
    if found is None:
        raise not_found(f"Failed to {doing} the connection(s). Connection '{name}' does not exist.")
    return found


def _state(item: Item[EventConnection]) -> dict[str, Any]:
    return {
        "ConnectionArn": item.arn,
        "ConnectionState": STATE,
        "CreationTime": item.created_at,
        "LastModifiedTime": item.record.changed_at,
        "LastAuthorizedTime": item.record.authorized_at,
    }
