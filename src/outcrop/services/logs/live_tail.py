"""StartLiveTail: a session that tells every second what came, until its client leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from outcrop.errors import ServiceError
from outcrop.logs.live_tail import LiveTails, Session, TailedEvent, TooManySessions
from outcrop.services.call import Call, StreamAnswer
from outcrop.services.logs.filtering import read_pattern
from outcrop.services.logs.references import (
    get_group,
    get_stream,
    identified_place,
    invalid_parameter,
    limit_exceeded,
)
from outcrop.services.operation import operation

_EVERY_S: Final = 1.0
_LONGEST_UPDATES: Final = 3 * 3600
"""A session lasts three hours at most, as in AWS."""


@operation
async def start_live_tail(call: Call, params: Mapping[str, Any]) -> StreamAnswer:
    names, prefixes = params.get("logStreamNames"), params.get("logStreamNamePrefixes")
    identifiers = params["logGroupIdentifiers"]
    if names and prefixes:
        raise invalid_parameter("logStreamNames and logStreamNamePrefixes exclude each other.")
    if (names or prefixes) and len(identifiers) > 1:
        raise invalid_parameter("Log streams can be named for one log group only.")
    text = params.get("logEventFilterPattern", "")
    pattern = read_pattern(text) if text.strip() else None
    groups: set[int] = set()
    async with call.stores.resources.reading() as view:
        for identifier in identifiers:
            group = await get_group(view, identified_place(call, identifier))
            groups.add(group.record.id)
            for name in names or ():
                await get_stream(view, group, name)
    session = Session(
        call.account, call.region, frozenset(groups), _wanted(names, prefixes), pattern
    )
    tails = call.observing.logs.tails
    try:
        tails.open(session)
    except TooManySessions as error:
        raise limit_exceeded("Too many Live Tail sessions are open.") from error
    start: dict[str, Any] = {
        "sessionStart": {
            "requestId": call.request_id,
            "sessionId": str(uuid4()),
            "logGroupIdentifiers": identifiers,
            "logStreamNames": names or [],
            "logStreamNamePrefixes": prefixes or [],
            "logEventFilterPattern": text,
        }
    }
    return StreamAnswer({}, _told(tails, session, start))


async def _told(
    tails: LiveTails, session: Session, start: Mapping[str, Any]
) -> AsyncIterator[Mapping[str, Any]]:
    try:
        yield start
        for _ in range(_LONGEST_UPDATES):
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await tails.closing.wait()
            if tails.closing.is_set():
                raise ServiceError("SessionStreamingException", "The server is shutting down.")
            yield _update(*session.take())
        raise ServiceError("SessionTimeoutException", "The Live Tail session has ended.")
    finally:
        tails.close(session)


def _update(events: Sequence[TailedEvent], sampled: bool) -> dict[str, Any]:
    results = [
        {
            "logStreamName": each.stream,
            "logGroupIdentifier": _identifier(each.group_arn),
            "message": each.message,
            "timestamp": each.at_ms,
            "ingestionTime": each.ingested_ms,
        }
        for each in events
    ]
    return {"sessionUpdate": {"sessionMetadata": {"sampled": sampled}, "sessionResults": results}}


def _identifier(arn: str) -> str:
    """As AWS has it: ``123456789012:name``."""
    _, _, _, _, account, _, name = arn.split(":", 6)
    return f"{account}:{name}"


def _wanted(names: Sequence[str] | None, prefixes: Sequence[str] | None) -> Callable[[str], bool]:
    if names:
        return frozenset(names).__contains__
    if prefixes:
        starts = tuple(prefixes)
        return lambda stream: stream.startswith(starts)
    return lambda _: True
