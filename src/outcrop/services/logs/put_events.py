"""PutLogEvents: what is taken, what is refused, and whom it is told to.

A service's own delivery names itself by ``sequenceToken``, which nobody else needs any more: events
of a delivery that comes again under its token are taken once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from outcrop.logs.events import OVERHEAD_BYTES, NewEvent, append
from outcrop.logs.live_tail import TailedEvent
from outcrop.logs.retention import DAY_MS, oldest_ms
from outcrop.logs.streams import Stream
from outcrop.services.call import Call
from outcrop.services.logs.filtering import Filters, read_filters
from outcrop.services.logs.metric_values import write_values
from outcrop.services.logs.references import (
    arn_of,
    get_group,
    get_stream,
    group_place,
    invalid_parameter,
    no_group,
)
from outcrop.services.logs.sealing import Sealing
from outcrop.services.logs.subscriptions import submit_matching
from outcrop.services.offload import read_beside
from outcrop.services.operation import operation
from outcrop.stores.log_records import LogGroup
from outcrop.stores.resources import Item
from outcrop.stores.tables import to_ms

MOST_BYTES: Final = 1_048_576
_OLDEST_DAYS: Final = 14
_AHEAD_MS: Final = 2 * 3600 * 1000
_TOKEN_DIGITS: Final = 56


@dataclass(frozen=True, slots=True)
class Incoming:
    at_ms: int
    message: str
    data: bytes
    once: str | None


@operation
async def put_log_events(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    now_ms = to_ms(call.now)
    events = _incoming(call, params)
    _check(events)
    async with call.stores.resources.reading() as view:
        group = await get_group(view, group_place(call, params))
        await get_stream(view, group, params["logStreamName"])
        filters = await read_filters(view, group)
    taken, rejected = _timely(events, group, now_ms)
    answer: dict[str, Any] = {"nextSequenceToken": f"{now_ms:0{_TOKEN_DIGITS}d}"}
    if rejected:
        answer["rejectedLogEventsInfo"] = rejected
    if "entity" in params:
        # AWS's way to say that events are taken and their entity is not.
        answer["rejectedEntityInfo"] = {"errorType": "UnsupportedLogGroupType"}
    if taken:
        await _keep(call, group, params["logStreamName"], taken, filters, now_ms)
    return answer


def _incoming(call: Call, params: Mapping[str, Any]) -> list[Incoming]:
    token = params.get("sequenceToken") if call.caller.proof == "service" else None
    return [
        Incoming(
            each["timestamp"],
            each["message"],
            each["message"].encode("utf-8", "replace"),
            None if token is None else f"{token}/{number}",
        )
        for number, each in enumerate(params["logEvents"])
    ]


def _check(events: Sequence[Incoming]) -> None:
    size_bytes = sum(len(each.data) + OVERHEAD_BYTES for each in events)
    if size_bytes > MOST_BYTES:
        raise invalid_parameter(
            f"Upload too large: {size_bytes} bytes exceeds limit of {MOST_BYTES}"
        )
    times = [each.at_ms for each in events]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise invalid_parameter(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    if times[-1] - times[0] > DAY_MS:
        raise invalid_parameter(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 "
            "hours."
        )


def _timely(
    events: Sequence[Incoming], group: Item[LogGroup], now_ms: int
) -> tuple[Sequence[Incoming], dict[str, int]]:
    """Those of the right time, and where the others stand: ends are exclusive."""
    oldest = now_ms - _OLDEST_DAYS * DAY_MS
    kept_from = oldest_ms(group.record.retention_days, now_ms)
    expired = sum(each.at_ms < kept_from for each in events)
    old = sum(each.at_ms < oldest for each in events)
    end = sum(each.at_ms <= now_ms + _AHEAD_MS for each in events)
    rejected: dict[str, int] = {}
    if old:
        rejected["tooOldLogEventEndIndex"] = old
    if expired:
        rejected["expiredLogEventEndIndex"] = expired
    if end < len(events):
        rejected["tooNewLogEventStartIndex"] = end
    return events[max(old, expired) : end], rejected


async def _keep(
    call: Call,
    group: Item[LogGroup],
    stream_name: str,
    events: Sequence[Incoming],
    filters: Filters,
    now_ms: int,
) -> None:
    sealing = Sealing.of(call, group)
    key = await sealing.key()
    size_bytes = sum(len(each.data) for each in events)
    matching = await read_beside(
        size_bytes if filters.are_any else 0, filters.match, [each.message for each in events]
    )
    rows = [
        NewEvent(each.at_ms, sealing.seal(key, each.data) if key else each.data, len(each.data))
        for each in events
    ]
    once = [each.once for each in events if each.once is not None] or None
    async with call.stores.resources.writing() as transaction:
        current = await get_group(transaction, group.place)
        if current.record.id != group.record.id:
            # Another one took its place since it was looked at, perhaps with another key.
            raise no_group()
        stream = await get_stream(transaction, current, stream_name)
        ids = await append(
            transaction,
            stream,
            group.record.id,
            rows,
            now_ms=now_ms,
            data_key=key.name if key else "",
            once=once,
        )
        await submit_matching(transaction, group, stream, matching, ids, now_ms)
        await write_values(
            transaction,
            group,
            [metric for metric, _ in filters.metrics],
            [
                (values, event.at_ms)
                for event, values, event_id in zip(events, matching.values, ids, strict=True)
                if event_id is not None
            ],
        )
    await _tell(call, group, stream, events, ids, now_ms)


async def _tell(
    call: Call,
    group: Item[LogGroup],
    stream: Stream,
    events: Sequence[Incoming],
    ids: Sequence[int | None],
    now_ms: int,
) -> None:
    tails = call.observing.logs.tails
    if tails.sessions == 0:
        return
    told = [
        TailedEvent(arn_of(group), stream.name, each.at_ms, now_ms, each.message)
        for each, event_id in zip(events, ids, strict=True)
        if event_id is not None
    ]
    await tails.publish(group.record.id, told)
