"""Logs Insights: StartQuery runs a query beside requests, GetQueryResults tells how far it got."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.logs.events import KeptEvent, read_events
from outcrop.logs.insights_parser import MOST_ROWS, parse_query
from outcrop.logs.insights_query import Command
from outcrop.logs.insights_tests import Value
from outcrop.logs.insights_tokens import MalformedQuery
from outcrop.logs.queries import Asked, Query, TooManyQueries
from outcrop.logs.retention import oldest_ms
from outcrop.logs.streams import list_streams
from outcrop.logs.tokens import render_position
from outcrop.services.call import Call
from outcrop.services.logs.references import (
    identified_place,
    invalid_parameter,
    invalid_token,
    limit_exceeded,
    not_found,
    paged,
)
from outcrop.services.logs.sealing import Sealing
from outcrop.services.operation import operation
from outcrop.stores.log_records import LogGroup
from outcrop.stores.resources import Item, Place
from outcrop.stores.tables import log_events, to_ms

_MOST_GROUPS: Final = 50
_AT_ONCE: Final = 1000
_LATEST_S: Final = 2**42
_TOKEN: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_GROUPINGS: Final = ("logGroupName", "logGroupNames", "logGroupIdentifiers")


@operation
async def start_query(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if params.get("queryLanguage", "CWLI") != "CWLI":
        raise invalid_parameter("Outcrop has the query language CWLI only.")
    groups = await _groups(call, params)
    commands = _parsed(params["queryString"])
    start_s, end_s = params["startTime"], params["endTime"]
    if start_s > end_s:
        raise invalid_parameter("Query's start time is after its end time.")
    asked = Asked(
        account=call.account,
        region=call.region,
        text=params["queryString"],
        groups=tuple(group.name for group in groups),
        user=call.caller.arn,
        commands=commands,
        limit=min(params.get("limit", MOST_ROWS), MOST_ROWS),
    )
    span = (min(start_s, _LATEST_S) * 1000, (min(end_s, _LATEST_S) + 1) * 1000)
    try:
        query = call.observing.logs.queries.start(asked, lambda: _events(call, groups, *span))
    except TooManyQueries as error:
        raise limit_exceeded("Too many queries are running or waiting.") from error
    return {"queryId": query.id}


@operation
async def get_query_results(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    query = _get(call, params)
    rows = query.rows
    most = params.get("maxItems", MOST_ROWS)
    token = params.get("nextToken")
    start = 0
    if token is not None:
        if not _TOKEN.fullmatch(token) or int(token) > len(rows):
            raise invalid_token()
        start = int(token)
    answer: dict[str, Any] = {
        "queryLanguage": "CWLI",
        "results": rows[start : start + most],
        "statistics": {
            "recordsMatched": float(query.matched),
            "recordsScanned": float(query.scanned),
            "bytesScanned": float(query.scanned_bytes),
            "logGroupsScanned": float(len(query.asked.groups)),
            "resultCount": float(len(rows)),
        },
        "status": query.status,
    }
    if start + most < len(rows):
        answer["nextToken"] = str(start + most)
    return answer


@operation
async def stop_query(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    query = _get(call, params)
    if not call.observing.logs.queries.stop(query):
        raise invalid_parameter(
            "Query is not running: cancellation cannot be done. It has ended with status "
            f"{query.status}."
        )
    return {"success": True}


@operation
async def describe_queries(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    group, status = params.get("logGroupName"), params.get("status")
    found = [
        {
            "queryLanguage": "CWLI",
            "queryId": query.id,
            "queryString": query.asked.text,
            "status": query.status,
            "createTime": round(query.created_at * 1000),
            "logGroupName": query.asked.groups[0],
            "queryDuration": query.took_ms,
            "bytesScanned": float(query.scanned_bytes),
            "userIdentity": query.asked.user,
        }
        for query in call.observing.logs.queries.list(call.account, call.region)
        if (group is None or group in query.asked.groups) and status in (None, query.status)
    ]
    if params.get("queryLanguage", "CWLI") != "CWLI":
        found = []
    return paged(call, params, found, 1000)


async def _groups(call: Call, params: Mapping[str, Any]) -> list[Item[LogGroup]]:
    named = [name for name in _GROUPINGS if params.get(name)]
    if len(named) != 1:
        raise invalid_parameter(f"Give exactly one of {', '.join(_GROUPINGS)}.")
    given = params[named[0]]
    identifiers = [given] if isinstance(given, str) else given
    if len(identifiers) > _MOST_GROUPS:
        raise invalid_parameter(f"A query has at most {_MOST_GROUPS} log groups.")
    groups: list[Item[LogGroup]] = []
    async with call.stores.resources.reading() as view:
        for identifier in dict.fromkeys(identifiers):
            place = identified_place(call, identifier)
            group = await view.find(LogGroup, place)
            if group is None:
                raise _no_group(call, place)
            groups.append(group)
    return groups


def _parsed(text: str) -> Sequence[Command]:
    try:
        return parse_query(text)
    except MalformedQuery as error:
        raise ServiceError(
            "MalformedQueryException",
            f"{error} at line 1 and position {error.at + 1}. Outcrop runs the simple forms: "
            "fields, display, filter, sort, limit, stats, parse by a glob, dedup.",
            queryCompileError={
                "location": {"startCharOffset": error.at, "endCharOffset": error.at + 1},
                "message": str(error),
            },
        ) from error


async def _events(
    call: Call, groups: Sequence[Item[LogGroup]], start_ms: int, end_ms: int
) -> AsyncIterator[Sequence[Mapping[str, Value]]]:
    """Of all groups, latest first."""
    by_id = {group.record.id: group for group in groups}
    sealings = {group.record.id: Sealing.of(call, group) for group in groups}
    names: dict[int, tuple[int, str]] = {}
    async with call.stores.resources.reading() as view:
        for group in groups:
            for stream in await list_streams(view.connection, group.place):
                names[stream.id] = (group.record.id, stream.name)
    oldest = {
        group_id: oldest_ms(group.record.retention_days, to_ms(call.now))
        for group_id, group in by_id.items()
    }
    of, seen = log_events.c.log_group.in_(list(by_id)), None
    while True:
        async with call.stores.resources.reading() as view:
            events = await read_events(
                view.connection,
                of,
                start_ms=start_ms,
                end_ms=end_ms,
                seen=seen,
                backward=True,
                limit=_AT_ONCE,
            )
        if not events:
            return
        seen = events[-1].position
        kept = [
            event
            for event in events
            if event.stream in names and event.at_ms >= oldest[names[event.stream][0]]
        ]
        yield [
            _row(by_id[names[event.stream][0]], names[event.stream][1], event, message)
            for event, message in await _opened(sealings, kept, names)
        ]


async def _opened(
    sealings: Mapping[int, Sealing],
    events: Sequence[KeptEvent],
    names: Mapping[int, tuple[int, str]],
) -> list[tuple[KeptEvent, str]]:
    """In their order; each by its own group's keys."""
    messages: dict[int, str] = {}
    for group_id, sealing in sealings.items():
        own = [event for event in events if names[event.stream][0] == group_id]
        messages.update(
            (event.id, message) for event, message in zip(own, await sealing.open(own), strict=True)
        )
    return [(event, messages[event.id]) for event in events]


def _row(group: Item[LogGroup], stream: str, event: KeptEvent, message: str) -> Mapping[str, Value]:
    return {
        "@timestamp": float(event.at_ms),
        "@ingestionTime": float(event.ingested_ms),
        "@message": message,
        "@logStream": stream,
        "@log": f"{group.place.account}:{group.name}",
        "@ptr": f"{group.record.id}.{render_position(event.position)}",
    }


def _get(call: Call, params: Mapping[str, Any]) -> Query:
    query = call.observing.logs.queries.find(call.account, call.region, params["queryId"])
    if query is None:
        raise not_found("The specified query does not exist.")
    return query


def _no_group(call: Call, place: Place) -> ServiceError:
    return not_found(
        f"Log group '{place.name}' does not exist for account ID '{call.account}' (Service: "
        "AWSLogs; Status Code: 400; Error Code: ResourceNotFoundException; Request ID: "
        f"{call.request_id}; Proxy: null)"
    )
