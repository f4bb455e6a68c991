"""From results and errors to HTTP responses, and from events to frames.

Members travel in alphabetical order, as the real service sends them. A result that does not fit
its shape raises ``ResultMismatch``: drift must not reach a client.
"""

import binascii
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, cast

from outcrop.errors import AWSError, CommonError
from outcrop.wire import eventstream, json, timestamps
from outcrop.wire.http import Response
from outcrop.wire.shapes import Member, Shape
from outcrop.wire.spec import Operation, Service

EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream"
_JSON_TYPE = "application/json"
_REQUEST_ID = "x-amzn-RequestId"
_COMMON_NAMESPACE = "com.amazon.coral.service"
# Recorded pads are prefixes of this, 2 to 61 characters long, evenly spread.
_PAD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_PADS = tuple(_PAD[:size] for size in range(2, 62))


class ResultMismatch(Exception):
    """A handler gave something that its operation's output does not have."""


def serialize(operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
    return _PROTOCOLS[operation.service.protocol](operation, result, request_id)


def serialize_stream(
    operation: Operation,
    result: Mapping[str, Any],
    events: AsyncIterator[Mapping[str, Any]],
    request_id: str,
) -> Response:
    """``events`` are ``{"<member>": {…}}``; each leaves as one frame, as soon as it is there. An
    AWSError they raise becomes the stream's exception frame, and ends it. Closing the body closes
    ``events``."""
    stream = operation.event_stream
    if stream is None:
        raise ResultMismatch(f"{operation.name} has no event stream")
    headers = _headers(operation, result, request_id)
    headers["Content-Type"] = EVENT_STREAM_TYPE
    return Response(operation.success_status, headers, _frames(operation, stream.shape, events))


def serialize_error(
    error: AWSError, operation: Operation | None, service: Service | None, request_id: str
) -> Response:
    """The answer that clients of ``service`` read ``error`` from."""
    service = operation.service if operation else service
    declared = operation.errors.get(error.code) if operation else None
    body = json.encode(_error_body(error, declared))
    headers = {
        _REQUEST_ID: request_id,
        "x-amzn-ErrorType": f"{error.code}:http://internal.amazon.com/coral/"
        f"{_error_namespace(error, service)}/",
        "Content-Type": _JSON_TYPE,
    }
    return Response(_error_status(error, service), headers, body)


def encode_event(operation: Operation, event: Mapping[str, Any]) -> bytes:
    """One frame of the operation's output stream."""
    stream = operation.event_stream
    if stream is None or len(event) != 1:
        raise ResultMismatch(f"{operation.name}: an event holds exactly one member")
    return _event_frame(operation.service, stream.shape, event)


def encode_exception(operation: Operation, error: AWSError) -> bytes:
    """The frame that ends the operation's output stream with ``error``."""
    stream = operation.event_stream
    if stream is None:
        raise ResultMismatch(f"{operation.name} has no event stream")
    return _exception_frame(stream.shape, error)


def _serialize_rest_json(
    operation: Operation, result: Mapping[str, Any], request_id: str
) -> Response:
    layout = operation.output_layout
    headers = _headers(operation, result, request_id)
    status = operation.success_status
    if layout.status and layout.status.name in result:
        status = int(result[layout.status.name])
    if status == 204:
        return Response(status, headers)
    headers.setdefault("Content-Type", _JSON_TYPE)
    if layout.payload is not None:
        return Response(status, headers, _payload(layout.payload, result))
    body = {name: result[name] for name in result if _in_body(operation, name)}
    return Response(status, headers, json.encode(_members(operation.output, body)))


def _in_body(operation: Operation, name: str) -> bool:
    member = operation.output.members.get(name) if operation.output else None
    return member is None or member.location == "body"


def _payload(member: Member, result: Mapping[str, Any]) -> bytes:
    value = result.get(member.name)
    if value is None:
        return b"" if member.shape.type in ("blob", "string") else b"{}"
    if member.shape.type == "blob":
        if not isinstance(value, bytes):
            raise _mismatch(member, value)
        return value
    if member.shape.type == "string":
        return str(value).encode()
    return json.encode(_value(member, value))


def _headers(operation: Operation, result: Mapping[str, Any], request_id: str) -> dict[str, str]:
    known = operation.output.members if operation.output else {}
    unknown = [name for name in result if name not in known]
    if unknown:
        raise ResultMismatch(f"{operation.name} has no output member {unknown[0]!r}")
    headers = {_REQUEST_ID: request_id}
    layout = operation.output_layout
    for member in layout.headers:
        value = result.get(member.name)
        if value is not None:
            headers[member.wire_name] = _header(member, value)
    for member in layout.prefix_headers:
        entries = cast(Mapping[str, Any], result.get(member.name) or {})
        headers |= {f"{member.wire_name}{key}": str(value) for key, value in entries.items()}
    return headers


def _header(member: Member, value: Any) -> str:
    if member.is_json_value:
        return binascii.b2a_base64(json.encode(value), newline=False).decode()
    if member.shape.type == "timestamp":
        return str(timestamps.render(value, member.timestamp_format or "rfc822"))
    rendered = _value(member, value)
    if isinstance(rendered, bool):
        return "true" if rendered else "false"
    if isinstance(rendered, list):
        return ", ".join(map(str, cast(list[Any], rendered)))
    text = str(rendered)
    if "\r" in text or "\n" in text:
        raise ResultMismatch(f"a line break in the header {member.wire_name!r}")
    return text


def _members(shape: Shape | None, value: Mapping[str, Any]) -> dict[str, Any]:
    members = shape.members if shape else {}
    out: dict[str, Any] = {}
    for name in sorted(value):
        item = value[name]
        member = members.get(name)
        if member is None:
            raise ResultMismatch(f"{shape.name if shape else 'No output'} has no member {name!r}")
        if item is not None:
            out[member.wire_name] = _value(member, item)
    return out


def _value(member: Member, value: Any) -> Any:
    shape = member.shape
    if shape.is_document:
        return value
    return _WRITERS[shape.type](member, value)


def _structure(member: Member, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _mismatch(member, value)
    return _members(member.shape, cast(Mapping[str, Any], value))


def _list(member: Member, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise _mismatch(member, value)
    item = member.shape.item
    return [_value(item, one) for one in cast(list[Any], value)]


def _map(member: Member, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _mismatch(member, value)
    item = member.shape.members["value"]
    return {key: _value(item, one) for key, one in cast(Mapping[str, Any], value).items()}


def _string(member: Member, value: Any) -> Any:
    if not isinstance(value, str):
        raise _mismatch(member, value)
    return value


def _boolean(member: Member, value: Any) -> Any:
    if not isinstance(value, bool):
        raise _mismatch(member, value)
    return value


def _integer(member: Member, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(member, value)
    return value


def _float(member: Member, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch(member, value)
    return value


def _blob(member: Member, value: Any) -> Any:
    if not isinstance(value, bytes | bytearray):
        raise _mismatch(member, value)
    return binascii.b2a_base64(value, newline=False).decode()


def _timestamp(member: Member, value: Any) -> Any:
    if not isinstance(value, datetime):
        raise _mismatch(member, value)
    return timestamps.render(value, member.timestamp_format or "unixTimestamp")


_WRITERS: dict[str, Callable[[Member, Any], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "blob": _blob,
    "timestamp": _timestamp,
}


def _mismatch(member: Member, value: Any) -> ResultMismatch:
    kind = type(value).__name__
    return ResultMismatch(f"{member.name!r} is {kind}; {member.shape.type} is declared")


async def _frames(
    operation: Operation, stream: Shape, events: AsyncIterator[Mapping[str, Any]]
) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield _event_frame(operation.service, stream, event)
    except AWSError as error:
        yield _exception_frame(stream, error)
    finally:
        if isinstance(events, AsyncGenerator):
            await cast(AsyncGenerator[Any, None], events).aclose()


def _event_frame(service: Service, stream: Shape, event: Mapping[str, Any]) -> bytes:
    ((name, value),) = event.items()
    member = stream.members.get(name)
    if member is None or member.shape.is_exception:
        raise ResultMismatch(f"{stream.name} has no event {name!r}")
    payload = next((m for m in member.shape.members.values() if m.is_event_payload), None)
    if payload is not None and payload.shape.type == "blob":
        headers = eventstream.event_headers(name, "application/octet-stream")
        return eventstream.frame(headers, value[payload.name])
    body = _structure(member, value)
    if service.pads_events:
        body = _padded(body)
    return eventstream.frame(eventstream.event_headers(name), json.encode(body))


def _padded(body: dict[str, Any]) -> dict[str, Any]:
    pad = _PADS[secrets.randbelow(len(_PADS))]
    if not body or next(reversed(body)) < "p":
        body["p"] = pad
        return body
    return dict(sorted([*body.items(), ("p", pad)]))


def _exception_frame(stream: Shape, error: AWSError) -> bytes:
    for name, member in stream.members.items():
        if member.shape.is_exception and member.shape.error_code == error.code:
            body = _error_body(error, member.shape)
            return eventstream.frame(eventstream.exception_headers(name), json.encode(body))
    headers = eventstream.exception_headers("internalServerException")
    return eventstream.frame(headers, json.encode({"message": error.message}))


def _error_body(error: AWSError, declared: Shape | None) -> dict[str, Any]:
    members = error.members
    if declared is not None:
        members = _members(declared, {k: v for k, v in members.items() if k in declared.members})
    # A message may repeat a header that is no valid text, which JSON cannot hold.
    message = error.message.encode("utf-8", "replace").decode()
    return {error.message_key: message, **members}


def _error_namespace(error: AWSError, service: Service | None) -> str:
    if isinstance(error, CommonError) or service is None:
        return _COMMON_NAMESPACE
    return service.namespace


def _error_status(error: AWSError, service: Service | None) -> int:
    if isinstance(error, CommonError) or service is None:
        return error.status
    return service.error_statuses.get(error.code, error.status)


_PROTOCOLS: dict[str, Callable[[Operation, Mapping[str, Any], str], Response]] = {
    "rest-json": _serialize_rest_json,
}
