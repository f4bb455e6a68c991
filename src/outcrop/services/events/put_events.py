"""PutEvents: each entry is taken or refused by itself, and what is taken is a job by then.

Buses pass events on to other buses by the same operation, with the event as it was in the body.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from outcrop.errors import ValidationException
from outcrop.events.bus import Envelope, render_event
from outcrop.services.call import Call
from outcrop.services.events.references import refuse_parameters
from outcrop.services.operation import operation
from outcrop.stores.event_records import DEFAULT_BUS, EventBus, read_bus
from outcrop.stores.resources import Place, Transaction

MOST_BYTES: Final = 256 * 1024
_TIME_BYTES: Final = 14


class Forwarded(msgspec.Struct, frozen=True):
    """The body of what one bus passes on to another. ``hops`` counts the buses behind it."""

    id: str
    event: str
    hops: int


@operation
async def put_events(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse_parameters(params, EndpointId="Outcrop has no global endpoints.")
    entries: Sequence[Mapping[str, Any]] = params["Entries"]
    if sum(map(_size, entries)) > MOST_BYTES:
        raise ValidationException("Total size of the entries in the request is over the limit.")
    is_forwarded = call.caller.proof == "service" and bool(call.request.body)
    async with call.stores.resources.writing() as transaction:
        if is_forwarded:
            results = [await _take_forwarded(call, transaction, entries[0])]
        else:
            results = [await _take(call, transaction, entry) for entry in entries]
    failed = sum("ErrorCode" in result for result in results)
    return {"FailedEntryCount": failed, "Entries": results}


async def _take(call: Call, transaction: Transaction, entry: Mapping[str, Any]) -> dict[str, Any]:
    refusal = _refusal(entry)
    if refusal is not None:
        return refusal
    at: datetime = entry.get("Time", call.now)
    event = {
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "resources": entry.get("Resources", ()),
        "detail": entry["Detail"],
        "time": at,
    }
    bus = _bus(call, entry)
    envelope = render_event(call.account, bus.region, event)
    if await _is_there(transaction, bus):
        await call.observing.events.pass_on(transaction, bus, envelope)
    # An event to a bus that is not there is lost, as AWS loses it, without an error.
    return {"EventId": envelope.id}


async def _take_forwarded(
    call: Call, transaction: Transaction, entry: Mapping[str, Any]
) -> dict[str, Any]:
    forwarded = msgspec.json.decode(call.request.body, type=Forwarded)
    bus = _bus(call, entry)
    if not await _is_there(transaction, bus):
        return _failed("ResourceNotFoundException", f"Event bus {bus.name} does not exist.")
    envelope = Envelope(forwarded.id, forwarded.event)
    await call.observing.events.pass_on(transaction, bus, envelope, hops=forwarded.hops)
    return {"EventId": forwarded.id}


def _bus(call: Call, entry: Mapping[str, Any]) -> Place:
    place = read_bus(entry.get("EventBusName", DEFAULT_BUS), call.account, call.region)
    # An ARN of something else names no bus that is there.
    return place or Place(call.account, call.region, entry["EventBusName"])


async def _is_there(transaction: Transaction, bus: Place) -> bool:
    return bus.name == DEFAULT_BUS or await transaction.find(EventBus, bus) is not None


def _refusal(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            return _failed(
                "InvalidArgument",
                f"Parameter {name} is not valid. Reason: {name} is a required argument.",
            )
    if "TraceHeader" in entry:
        return _failed(
            "InvalidArgument",
            "Parameter TraceHeader is not valid. Reason: Outcrop passes on no X-Ray traces.",
        )
    if entry["Source"].lower().startswith("aws."):
        return _failed("NotAuthorizedForSourceException", "Not authorized for the source.")
    if not _is_object(entry["Detail"]):
        return _failed("MalformedDetail", "Detail is malformed.")
    return None


def _failed(code: str, message: str) -> dict[str, Any]:
    return {"ErrorCode": code, "ErrorMessage": message}


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError):
        return False


def _size(entry: Mapping[str, Any]) -> int:
    """As AWS counts it."""
    size = _TIME_BYTES if "Time" in entry else 0
    texts = [entry.get(name, "") for name in ("Source", "DetailType", "Detail")]
    return size + sum(len(text.encode()) for text in (*texts, *entry.get("Resources", ())))
