"""Log streams: created, described, deleted."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.logs.streams import Stream, add_stream, list_streams, remove_stream
from outcrop.services.call import Call
from outcrop.services.logs.references import (
    get_group,
    get_stream,
    group_place,
    invalid_parameter,
    invalid_token,
)
from outcrop.services.operation import operation
from outcrop.stores.failures import NameTaken
from outcrop.stores.log_records import stream_arn
from outcrop.stores.tables import to_ms

_MOST: Final = 50
_PLACE: Final = re.compile(r"(-?[0-9]{1,16}):(.{1,512})", re.DOTALL)


@operation
async def create_log_stream(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, group_place(call, params))
        try:
            await add_stream(transaction, group.place, params["logStreamName"], to_ms(call.now))
        except NameTaken as error:
            raise ServiceError(
                "ResourceAlreadyExistsException", "The specified log stream already exists"
            ) from error
    return {}


@operation
async def delete_log_stream(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, group_place(call, params))
        await remove_stream(
            transaction, await get_stream(transaction, group, params["logStreamName"])
        )
    return {}


@operation
async def describe_log_streams(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    by_time = params.get("orderBy") == "LastEventTime"
    if by_time and "logStreamNamePrefix" in params:
        raise invalid_parameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
    limit: int = params.get("limit", _MOST)
    after = _read_token(params["nextToken"]) if "nextToken" in params else None
    async with call.stores.resources.reading() as view:
        group = await get_group(view, group_place(call, params))
        streams = await list_streams(
            view.connection,
            group.place,
            prefix=params.get("logStreamNamePrefix", ""),
            by_time=by_time,
            descending=params.get("descending") or False,
            after=after,
            limit=limit + 1,
        )
    shown = streams[:limit]
    answer: dict[str, Any] = {"logStreams": [_described(each) for each in shown]}
    if len(streams) > limit:
        answer["nextToken"] = _token(shown[-1])
    return answer


def _described(stream: Stream) -> dict[str, Any]:
    place = stream.group
    described = {
        "logStreamName": stream.name,
        "creationTime": stream.created_at_ms,
        "firstEventTimestamp": stream.first_event_ms,
        "lastEventTimestamp": stream.last_event_ms,
        "lastIngestionTime": stream.last_ingested_ms,
        "uploadSequenceToken": f"{stream.created_at_ms}{stream.id:043d}",
        "arn": stream_arn(place.region, place.account, place.name, stream.name),
        # AWS no longer counts the bytes of streams.
        "storedBytes": 0,
    }
    return {name: value for name, value in described.items() if value is not None}


def _token(stream: Stream) -> str:
    at_ms = -1 if stream.last_event_ms is None else stream.last_event_ms
    return base64.urlsafe_b64encode(f"{at_ms}:{stream.name}".encode()).decode()


def _read_token(token: str) -> tuple[int, str]:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid_token() from error
    found = _PLACE.fullmatch(text)
    if found is None:
        raise invalid_token()
    return int(found[1]), found[2]
