"""From results and errors to HTTP responses, and from events to frames.

Members travel in alphabetical order, as the real service sends them. A result that does not fit
its shape raises ``ResultMismatch``: drift must not reach a client.
"""

import binascii
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, cast

from outcrop.errors import AWSError, CommonError
from outcrop.wire import cbor, eventstream, json, timestamps
from outcrop.wire.faults import Fault, fault_of
from outcrop.wire.http import Response
from outcrop.wire.mismatch import ResultMismatch, mismatch
from outcrop.wire.shapes import Member, Shape
from outcrop.wire.spec import Operation, Service
from outcrop.wire.values import CBOR, JSON, Writer
from outcrop.wire.xml_answers import (
    REQUEST_ID,
    ec2_error,
    query_error,
    rest_xml_body,
    rest_xml_error,
    rest_xml_ids,
    serialize_ec2,
    serialize_query,
)

EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream"
_JSON_TYPE = "application/json"
_CBOR = "smithy-rpc-v2-cbor"
_COMMON_NAMESPACE = "com.amazon.coral.service"
# Recorded pads are prefixes of this, 2 to 61 characters long, evenly spread.
_PAD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_PADS = tuple(_PAD[:size] for size in range(2, 62))


def serialize(
    operation: Operation, result: Mapping[str, Any], request_id: str, protocol: str | None = None
) -> Response:
    """``protocol`` is the one the request came in (``Match.protocol``); without it the service's
    first."""
    return _PROTOCOLS[protocol or operation.service.protocol](operation, result, request_id)


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
    headers = _headers(operation, result, {REQUEST_ID: request_id})
    headers["Content-Type"] = EVENT_STREAM_TYPE
    first = b"" if operation.service.protocol.startswith("rest-") else _initial(operation, result)
    body = _frames(operation, stream.shape, events, first)
    return Response(operation.success_status, headers, body)


def serialize_error(
    error: AWSError,
    operation: Operation | None,
    service: Service | None,
    request_id: str,
    protocol: str | None = None,
) -> Response:
    """The answer that clients of ``service`` read ``error`` from; ``protocol`` as above."""
    service = operation.service if operation else service
    protocol = protocol or (service.protocol if service else "rest-json")
    fault = fault_of(error, operation, service, protocol)
    response = _ERRORS[protocol](fault, error, operation, service, request_id)
    response.headers.update(error.headers)
    return response


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
    headers = _headers(operation, result, {REQUEST_ID: request_id})
    status = _status(operation, result)
    if status == 204:
        return Response(status, headers)
    headers.setdefault("Content-Type", _JSON_TYPE)
    if layout.payload is not None:
        return Response(status, headers, _payload(layout.payload, result))
    body = {name: result[name] for name in result if _in_body(operation, name)}
    return Response(status, headers, json.encode(JSON.members(operation.output, body)))


def _serialize_rest_xml(
    operation: Operation, result: Mapping[str, Any], request_id: str
) -> Response:
    payload = operation.output_layout.payload
    headers = _headers(operation, result, rest_xml_ids(operation.service, request_id))
    status = _status(operation, result)
    if payload is not None and payload.shape.type in ("blob", "string"):
        return Response(status, headers, _payload(payload, result))
    body = rest_xml_body(operation, result)
    if body:
        headers.setdefault("Content-Type", "application/xml")
    return Response(status, headers, body)


def _serialize_json(operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
    body = json.encode(JSON.members(operation.output, result))
    return Response(200, _rpc_headers("json", operation.service, request_id), body)


def _serialize_cbor(operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
    body = cbor.encode(CBOR.members(operation.output, result))
    return Response(200, _rpc_headers(_CBOR, operation.service, request_id), body)


def _rpc_headers(protocol: str, service: Service | None, request_id: str) -> dict[str, str]:
    headers = {REQUEST_ID: request_id}
    if protocol == _CBOR:
        return headers | {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    version = service.json_version if service else "1.1"
    return headers | {"Content-Type": f"application/x-amz-json-{version}"}


def _status(operation: Operation, result: Mapping[str, Any]) -> int:
    member = operation.output_layout.status
    if member is None or member.name not in result:
        return operation.success_status
    return int(result[member.name])


def _in_body(operation: Operation, name: str) -> bool:
    member = operation.output.members.get(name) if operation.output else None
    return member is None or member.location == "body"


def _payload(member: Member, result: Mapping[str, Any]) -> bytes | AsyncIterator[bytes]:
    value = result.get(member.name)
    if value is None:
        return b"" if member.shape.type in ("blob", "string") else b"{}"
    if member.is_streaming and isinstance(value, AsyncIterator):
        return cast(AsyncIterator[bytes], value)
    if member.shape.type == "blob":
        if not isinstance(value, bytes):
            raise mismatch(member, value)
        return value
    if member.shape.type == "string":
        return str(value).encode()
    return json.encode(JSON.value(member, value))


def _headers(
    operation: Operation, result: Mapping[str, Any], ids: Mapping[str, str]
) -> dict[str, str]:
    known = operation.output.members if operation.output else {}
    unknown = [name for name in result if name not in known]
    if unknown:
        raise ResultMismatch(f"{operation.name} has no output member {unknown[0]!r}")
    headers = dict(ids)
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
    rendered = JSON.value(member, value)
    if isinstance(rendered, bool):
        return "true" if rendered else "false"
    if isinstance(rendered, list):
        return ", ".join(map(str, cast(list[Any], rendered)))
    text = str(rendered)
    if "\r" in text or "\n" in text:
        raise ResultMismatch(f"a line break in the header {member.wire_name!r}")
    return text


def _initial(operation: Operation, result: Mapping[str, Any]) -> bytes:
    """The members besides the stream, which RPC protocols have in its first frame."""
    body = json.encode(JSON.members(operation.output, result))
    return eventstream.frame(eventstream.event_headers("initial-response"), body)


async def _frames(
    operation: Operation,
    stream: Shape,
    events: AsyncIterator[Mapping[str, Any]],
    first: bytes = b"",
) -> AsyncIterator[bytes]:
    try:
        if first:
            yield first
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
    body = cast(dict[str, Any], JSON.value(member, value))
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
    # A message may repeat a header that is no valid text, which JSON cannot hold.
    message = error.message.encode("utf-8", "replace").decode()
    return {error.message_key: message, **_error_members(JSON, error, declared)}


def _error_members(writer: Writer, error: AWSError, declared: Shape | None) -> Mapping[str, Any]:
    if declared is None:
        return error.members
    held = {k: v for k, v in error.members.items() if k in declared.members}
    return writer.members(declared, held)


def _rest_json_error(
    fault: Fault,
    error: AWSError,
    operation: Operation | None,
    service: Service | None,
    request_id: str,
) -> Response:
    declared = operation.errors.get(error.code) if operation else None
    namespace = _COMMON_NAMESPACE
    if service is not None and not isinstance(error, CommonError):
        namespace = service.namespace
    headers = {
        REQUEST_ID: request_id,
        "x-amzn-ErrorType": f"{fault.name}:http://internal.amazon.com/coral/{namespace}/",
        "Content-Type": _JSON_TYPE,
    }
    return Response(fault.status, headers, json.encode(_error_body(error, declared)))


def _rpc_error(
    fault: Fault,
    error: AWSError,
    operation: Operation | None,
    service: Service | None,
    request_id: str,
    *,
    protocol: str,
) -> Response:
    """The errors of json and rpc-v2-cbor, which name themselves in the body."""
    declared = operation.errors.get(error.code) if operation else None
    key = _message_key(error, declared)
    message = error.message.encode("utf-8", "replace").decode()
    is_cbor = protocol == _CBOR
    members = _error_members(CBOR if is_cbor else JSON, error, declared)
    body = {"__type": _type(fault, error, service), key: message, **members}
    headers = _rpc_headers(protocol, service, request_id) | {"x-amzn-ErrorType": fault.name}
    if service is not None and service.is_query_compatible:
        # Clients that knew the query protocol know its codes.
        who = "Sender" if fault.is_senders else "Receiver"
        headers["x-amzn-query-error"] = f"{_query_code(fault, error, service)};{who}"
    return Response(fault.status, headers, cbor.encode(body) if is_cbor else json.encode(body))


def _type(fault: Fault, error: AWSError, service: Service | None) -> str:
    if service is None or service.error_namespace is None:
        return fault.name
    # Whatever the service's own model does not know comes from the layer in front of it.
    is_own = error.code in service.error_statuses and not isinstance(error, CommonError)
    return f"{service.error_namespace if is_own else _COMMON_NAMESPACE}#{fault.name}"


def _query_code(fault: Fault, error: AWSError, service: Service) -> str:
    return fault_of(error, None, service, "query").code if fault.code == fault.name else fault.code


def _message_key(error: AWSError, declared: Shape | None) -> str:
    """Services spell it either way, and their clients look for their own."""
    names = declared.members if declared else ()
    return next((name for name in names if name.lower() == "message"), error.message_key)


_PROTOCOLS: dict[str, Callable[[Operation, Mapping[str, Any], str], Response]] = {
    "rest-json": _serialize_rest_json,
    "rest-xml": _serialize_rest_xml,
    "json": _serialize_json,
    _CBOR: _serialize_cbor,
    "query": serialize_query,
    "ec2": serialize_ec2,
}
_ERRORS: dict[str, Callable[[Fault, AWSError, Operation | None, Service | None, str], Response]] = {
    "rest-json": _rest_json_error,
    "rest-xml": rest_xml_error,
    "json": partial(_rpc_error, protocol="json"),
    _CBOR: partial(_rpc_error, protocol=_CBOR),
    "query": query_error,
    "ec2": ec2_error,
}
