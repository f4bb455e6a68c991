"""Events of a stream, back and forth, and of a group by a filter pattern."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from outcrop.logs.events import KeptEvent, Position, of_group, of_stream, of_streams, read_events
from outcrop.logs.patterns import FilterPattern
from outcrop.logs.retention import oldest_ms
from outcrop.logs.streams import list_streams
from outcrop.logs.tokens import (
    START,
    find_position,
    find_search_token,
    find_stream_token,
    render_position,
    search_token,
    stream_token,
)
from outcrop.services.call import Call
from outcrop.services.logs.filtering import read_pattern
from outcrop.services.logs.references import (
    get_group,
    get_stream,
    group_place,
    invalid_parameter,
    invalid_token,
)
from outcrop.services.logs.sealing import Sealing
from outcrop.services.operation import operation
from outcrop.stores.log_records import LogGroup
from outcrop.stores.resources import Item
from outcrop.stores.tables import to_ms

MOST_EVENTS: Final = 10_000
MOST_BYTES: Final = 1024 * 1024
_AT_ONCE: Final = 1000
_MOST_SCANNED: Final = 50_000
_MOST_SCANNED_BYTES: Final = 64 * 1024 * 1024
"""Events that one search looks at before it answers with a token for the rest, as AWS may."""
_LATEST: Final = 2**62


@operation
async def get_log_events(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """A page without a token is the latest, or the first with ``startFromHead``."""
    token = find_stream_token(params["nextToken"]) if "nextToken" in params else None
    if token is None and "nextToken" in params:
        raise invalid_token()
    backward = token[0] == "b" if token else not params.get("startFromHead")
    async with call.stores.resources.reading() as view:
        group = await get_group(view, group_place(call, params))
        stream = await get_stream(view, group, params["logStreamName"])
    taken: list[tuple[KeptEvent, str]] = []
    size_bytes, most = 0, params.get("limit", MOST_EVENTS)
    async for event, message in _events(
        call,
        group,
        of_stream(stream.id),
        params,
        seen=token[1] if token else None,
        backward=backward,
        at_once=min(most, _AT_ONCE),
    ):
        size_bytes += len(message.encode("utf-8", "replace"))
        if taken and size_bytes > MOST_BYTES:
            break
        taken.append((event, message))
        if len(taken) >= most:
            break
    if backward:
        taken.reverse()
    around = token[1] if token else (Position(_LATEST, 0) if backward else START)
    first = taken[0][0].position if taken else around
    last = taken[-1][0].position if taken else around
    if not taken and token is None:
        # What comes later is after the start, whatever was looked for.
        last = START
    return {
        "events": [
            {"timestamp": event.at_ms, "message": message, "ingestionTime": event.ingested_ms}
            for event, message in taken
        ],
        "nextForwardToken": stream_token("f", last),
        "nextBackwardToken": stream_token("b", first),
    }


@operation
async def filter_log_events(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "logStreamNames" in params and "logStreamNamePrefix" in params:
        raise invalid_parameter("logStreamNames and logStreamNamePrefix exclude each other.")
    pattern = read_pattern(params.get("filterPattern", ""))
    token = params.get("nextToken")
    seen = find_search_token(params, token) if token is not None else None
    if token is not None and seen is None:
        raise invalid_token()
    async with call.stores.resources.reading() as view:
        group = await get_group(view, group_place(call, params))
        streams = await list_streams(
            view.connection, group.place, prefix=params.get("logStreamNamePrefix", "")
        )
        for name in params.get("logStreamNames", ()):
            await get_stream(view, group, name)
    names = {
        each.id: each.name
        for each in streams
        if each.name in params.get("logStreamNames", (each.name,))
    }
    is_whole = "logStreamNames" not in params and "logStreamNamePrefix" not in params
    of = of_group(group.record.id) if is_whole else of_streams(list(names))
    events, last = await _search(call, group, of, params, pattern, seen)
    answer: dict[str, Any] = {
        "events": [
            _found(event, message, names[event.stream])
            for event, message in events
            # The stream may have been deleted a moment ago.
            if event.stream in names
        ],
        "searchedLogStreams": [],
    }
    if last is not None:
        answer["nextToken"] = search_token(params, last)
    return answer


@operation
async def get_log_record(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """By the ``@ptr`` that a query found: the group's ID and the event's place."""
    group_id, _, place = params["logRecordPointer"].partition(".")
    position = find_position(place)
    async with call.stores.resources.reading() as view:
        groups = await view.list(LogGroup, account=call.account, region=call.region)
        group = next((each for each in groups if str(each.record.id) == group_id), None)
        if group is None or position is None:
            raise invalid_parameter("The specified logRecordPointer is invalid.")
        found = await read_events(
            view.connection,
            of_group(group.record.id),
            start_ms=position.at_ms,
            seen=Position(position.at_ms, position.id - 1),
            limit=1,
        )
        streams = {each.id: each for each in await list_streams(view.connection, group.place)}
    event = found[0] if found and found[0].position == position else None
    if event is None or event.stream not in streams:
        raise invalid_parameter("The specified logRecordPointer is invalid.")
    (message,) = await Sealing.of(call, group).open([event])
    return {
        "logRecord": {
            "@ptr": params["logRecordPointer"],
            "@timestamp": str(event.at_ms),
            "@ingestionTime": str(event.ingested_ms),
            "@log": f"{call.account}:{group.name}",
            "@logStream": streams[event.stream].name,
            "@message": message,
        }
    }


async def _search(
    call: Call,
    group: Item[LogGroup],
    of: sa.ColumnElement[bool],
    params: Mapping[str, Any],
    pattern: FilterPattern,
    seen: Position | None,
) -> tuple[list[tuple[KeptEvent, str]], Position | None]:
    """What matches, and where to go on if that is not all."""
    most, size_bytes = params.get("limit", MOST_EVENTS), 0
    scanned, scanned_bytes = 0, 0
    taken: list[tuple[KeptEvent, str]] = []
    backward = params.get("startFromHead") is False
    last: Position | None = None
    async for batch in _batches(call, group, of, params, seen=seen, backward=backward):
        matched = await asyncio.to_thread(_matching, batch, pattern)
        for event, message in batch:
            if (event.id, event.at_ms) not in matched:
                last = event.position
                continue
            size_bytes += len(message.encode("utf-8", "replace"))
            if taken and (size_bytes > MOST_BYTES or len(taken) >= most):
                return taken, last
            taken.append((event, message))
            last = event.position
        scanned += len(batch)
        scanned_bytes += sum(len(event.message) for event, _ in batch)
        is_enough = scanned >= _MOST_SCANNED or scanned_bytes >= _MOST_SCANNED_BYTES
        if is_enough or len(taken) >= most:
            return taken, last
    return taken, None


def _matching(
    batch: Sequence[tuple[KeptEvent, str]], pattern: FilterPattern
) -> set[tuple[int, int]]:
    return {(event.id, event.at_ms) for event, message in batch if pattern.matches(message)}


async def _events(
    call: Call,
    group: Item[LogGroup],
    of: sa.ColumnElement[bool],
    params: Mapping[str, Any],
    *,
    seen: Position | None,
    backward: bool,
    at_once: int,
) -> AsyncIterator[tuple[KeptEvent, str]]:
    async for batch in _batches(
        call, group, of, params, seen=seen, backward=backward, at_once=at_once
    ):
        for each in batch:
            yield each


async def _batches(
    call: Call,
    group: Item[LogGroup],
    of: sa.ColumnElement[bool],
    params: Mapping[str, Any],
    *,
    seen: Position | None,
    backward: bool,
    at_once: int = _AT_ONCE,
) -> AsyncIterator[Sequence[tuple[KeptEvent, str]]]:
    """Each read by itself: no connection is held while what is read is worked on."""
    oldest = oldest_ms(group.record.retention_days, to_ms(call.now))
    sealing = Sealing.of(call, group)
    while True:
        async with call.stores.resources.reading() as view:
            events = await read_events(
                view.connection,
                of,
                start_ms=max(params.get("startTime", 0), oldest),
                end_ms=params.get("endTime"),
                seen=seen,
                backward=backward,
                limit=at_once,
            )
        if not events:
            return
        messages = await sealing.open(events)
        yield list(zip(events, messages, strict=True))
        seen = events[-1].position


def _found(event: KeptEvent, message: str, stream: str) -> dict[str, Any]:
    return {
        "logStreamName": stream,
        "timestamp": event.at_ms,
        "message": message,
        "ingestionTime": event.ingested_ms,
        "eventId": render_position(event.position),
    }
