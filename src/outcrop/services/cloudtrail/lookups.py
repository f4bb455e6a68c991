"""The event history: what was recorded, newest first, as far back as it is kept."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.tables import from_ms, to_ms, trail_events
from outcrop.wire import json

_MOST: Final = 50
_SCANNED: Final = 500
_DIGEST_BYTES: Final = 16
_NUMBER_BYTES: Final = 8

_events = trail_events.c
_BY_COLUMN: Final[Mapping[str, sa.ColumnElement[Any]]] = {
    "EventId": _events.event_id,
    "EventName": _events.event_name,
    "EventSource": _events.event_source,
    "Username": _events.username,
    "AccessKeyId": _events.access_key_id,
}
_BY_RESOURCE: Final = {"ResourceType": "type", "ResourceName": "name"}


@operation
async def lookup_events(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "EventCategory" in params:
        raise ServiceError(
            "InvalidEventCategoryException", "Outcrop records no insight events to look up."
        )
    start, end = params.get("StartTime"), params.get("EndTime")
    if isinstance(start, datetime) and isinstance(end, datetime) and start > end:
        raise ServiceError(
            "InvalidTimeRangeException",
            "The start time must be earlier than or equal to the end time.",
        )
    wanted = [
        _events.account == call.account,
        _events.region == call.region,
        _events.is_data.is_(False),
        *_between(start, end),
    ]
    attribute = _read_attribute(params.get("LookupAttributes", ()))
    digest = _digest(call, params)
    position = _read_token(params.get("NextToken"), digest)
    await call.observing.catch_up()
    most = params.get("MaxResults", _MOST)
    rows = await _find(call, wanted, attribute, position, most + 1)
    result: dict[str, Any] = {"Events": [_event(row) for row in rows[:most]]}
    if len(rows) > most:
        last = rows[most - 1]
        result["NextToken"] = _token(last.at_ms, last.seq, digest)
    return result


async def _find(
    call: Call,
    wanted: Sequence[sa.ColumnElement[bool]],
    attribute: tuple[str, str] | None,
    position: tuple[int, int] | None,
    most: int,
) -> list[Any]:
    """Resources are looked into once more, row by row; the rest is the database's."""
    conditions = [*wanted, *_in_column(attribute)]
    of_resource = attribute is not None and attribute[0] in _BY_RESOURCE
    found: list[Any] = []
    query = sa.select(trail_events).order_by(_events.at_ms.desc(), _events.seq.desc())
    limit = _SCANNED if of_resource else most
    async with call.stores.resources.reading() as view:
        while len(found) < most:
            asked = query.where(*conditions, *_after(position)).limit(limit)
            rows = list(await view.connection.execute(asked))
            found += [row for row in rows if _is_about(row, attribute)]
            if len(rows) < limit:
                break
            position = (rows[-1].at_ms, rows[-1].seq)
    return found[:most]


def _between(start: Any, end: Any) -> list[sa.ColumnElement[bool]]:
    bounds: list[sa.ColumnElement[bool]] = []
    if start is not None:
        bounds.append(_events.at_ms >= to_ms(start))
    if end is not None:
        # Events are told to the second: the whole of the last one counts.
        bounds.append(_events.at_ms < to_ms(end) + 1000)
    return bounds


def _read_attribute(given: Sequence[Mapping[str, str]]) -> tuple[str, str] | None:
    if len(given) > 1:
        raise ServiceError(
            "InvalidLookupAttributesException", "Only one lookup attribute can be specified."
        )
    if not given:
        return None
    key, value = given[0]["AttributeKey"], given[0]["AttributeValue"]
    if key == "ReadOnly" and value not in ("true", "false"):
        raise ServiceError(
            "InvalidLookupAttributesException", "The value of ReadOnly is true or false."
        )
    return key, value


def _in_column(attribute: tuple[str, str] | None) -> list[sa.ColumnElement[bool]]:
    if attribute is None:
        return []
    key, value = attribute
    if key in _BY_RESOURCE:
        # As it is written there: the database passes over what is not about it.
        named = b'"%b":%b' % (_BY_RESOURCE[key].encode(), msgspec.json.encode(value))
        return [sa.func.instr(_events.resources, named) > 0]
    if key == "ReadOnly":
        return [_events.read_only.is_(value == "true")]
    return [_BY_COLUMN[key] == value]


def _is_about(row: Any, attribute: tuple[str, str] | None) -> bool:
    if attribute is None or attribute[0] not in _BY_RESOURCE:
        return True
    member, value = _BY_RESOURCE[attribute[0]], attribute[1]
    return any(each[member] == value for each in _resources(row))


def _after(position: tuple[int, int] | None) -> list[sa.ColumnElement[bool]]:
    if position is None:
        return []
    at_ms, seq = position
    same = sa.and_(_events.at_ms == at_ms, _events.seq < seq)
    return [sa.or_(_events.at_ms < at_ms, same)]


def _event(row: Any) -> dict[str, Any]:
    told = {
        "EventId": row.event_id,
        "EventName": row.event_name,
        "ReadOnly": "true" if row.read_only else "false",
        "EventTime": from_ms(row.at_ms).replace(microsecond=0),
        "EventSource": row.event_source,
        "Resources": [
            {"ResourceType": each["type"], "ResourceName": each["name"]} for each in _resources(row)
        ],
        "CloudTrailEvent": row.body.decode(),
    }
    named = {"AccessKeyId": row.access_key_id, "Username": row.username}
    return told | {name: value for name, value in named.items() if value}


def _resources(row: Any) -> list[dict[str, str]]:
    return msgspec.json.decode(row.resources, type=list[dict[str, str]])


def _digest(call: Call, params: Mapping[str, Any]) -> bytes:
    fixed = {k: v for k, v in params.items() if k not in ("NextToken", "MaxResults")}
    request = [call.account, call.region, sorted(fixed.items())]
    return hashlib.blake2b(json.encode(request), digest_size=_DIGEST_BYTES).digest()


def _token(at_ms: int, seq: int, digest: bytes) -> str:
    place = at_ms.to_bytes(_NUMBER_BYTES, "big") + seq.to_bytes(_NUMBER_BYTES, "big")
    return (place + digest).hex()


def _read_token(token: str | None, digest: bytes) -> tuple[int, int] | None:
    if token is None:
        return None
    try:
        data = bytes.fromhex(token)
    except ValueError:
        data = b""
    place, sealed = data[: 2 * _NUMBER_BYTES], data[2 * _NUMBER_BYTES :]
    if len(place) < 2 * _NUMBER_BYTES or sealed != digest or data.hex() != token:
        raise ServiceError(
            "InvalidNextTokenException",
            "The next token is not one that the previous answer to this request had.",
        )
    at_ms, seq = place[:_NUMBER_BYTES], place[_NUMBER_BYTES:]
    # Whatever somebody wrote there, it is a place in the account's own events.
    most = 2**63 - 1
    return min(int.from_bytes(at_ms, "big"), most), min(int.from_bytes(seq, "big"), most)
