"""From an HTTP request to parameters: a dict by member names, values as the shapes say.

Blobs are bytes, timestamps aware datetimes, documents plain JSON. A null member is an absent one;
a null in a list or map stays, for the validator to report.
"""

import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, cast
from urllib.parse import unquote_plus

from outcrop.errors import SerializationException, ValidationException
from outcrop.wire import cbor, json, timestamps, xml
from outcrop.wire.forms import parse_ec2, parse_query
from outcrop.wire.http import Request
from outcrop.wire.shapes import Member, Shape
from outcrop.wire.spec import Operation
from outcrop.wire.texts import (
    ARTICLES,
    INTEGER_BITS,
    SPECIAL_FLOATS,
    mismatch,
    read_base64,
    read_text,
)
from outcrop.wire.xml_shapes import read_structure

Params = dict[str, Any]

MAX_BODY_BYTES = 25_000_000


def parse_request(
    operation: Operation,
    request: Request,
    labels: Mapping[str, str],
    protocol: str | None = None,
) -> Params:
    """The operation's parameters, not yet validated. ``protocol`` is the one the request comes in
    (``Match.protocol``); without it the service's first.

    What cannot be read as its type is a SerializationException in the words of AWS's own
    deserializer ("NUMBER_VALUE can not be converted to a String", as SES, Kinesis and Athena are
    known to answer). Members that the model does not have are ignored, as AWS does.
    """
    try:
        return _PROTOCOLS[protocol or operation.service.protocol](operation, request, labels)
    except RecursionError as error:
        # Shapes that hold themselves (filters, trees) let a body nest as deep as JSON does.
        raise SerializationException("The request body is nested too deeply.") from error


def _parse_rest_json(operation: Operation, request: Request, labels: Mapping[str, str]) -> Params:
    params = _bound(operation, request, labels)
    layout = operation.input_layout
    if layout.payload is not None:
        params |= _from_payload(layout.payload, request.body)
    elif layout.body:
        params |= _members(layout.body, _body_object(request.body))
    return params


def _parse_rest_xml(operation: Operation, request: Request, labels: Mapping[str, str]) -> Params:
    params = _bound(operation, request, labels)
    layout = operation.input_layout
    if layout.payload is not None and layout.payload.shape.type in ("blob", "string"):
        params |= _from_payload(layout.payload, request.body)
    elif layout.payload is not None and request.body.strip():
        shape = layout.payload.shape
        params[layout.payload.name] = read_structure(shape, _xml_root(request.body))
    elif layout.body and operation.input and request.body.strip():
        params |= read_structure(operation.input, _xml_root(request.body))
    return params


def _parse_json(operation: Operation, request: Request, labels: Mapping[str, str]) -> Params:
    return _members(operation.input_layout.body, _body_object(request.body))


def _parse_cbor(operation: Operation, request: Request, labels: Mapping[str, str]) -> Params:
    if not request.body:
        return {}
    _check_size(request.body)
    try:
        value = cbor.decode(request.body)
    except cbor.MalformedCbor as error:
        raise SerializationException("The request body is not valid CBOR.") from error
    if not isinstance(value, dict):
        raise SerializationException("Unexpected value type in payload")
    return _members(operation.input_layout.body, cast(dict[str, Any], value))


def _xml_root(body: bytes) -> xml.Element:
    _check_size(body)
    try:
        return xml.read(body)
    except xml.MalformedXml as error:
        raise SerializationException(
            "The XML you provided was not well-formed or did not validate against our published "
            "schema"
        ) from error


def _bound(operation: Operation, request: Request, labels: Mapping[str, str]) -> Params:
    """What travels outside the body."""
    layout = operation.input_layout
    params: Params = {m.name: read_text(m, labels[m.wire_name], "iso8601") for m in layout.uri}
    if layout.query:
        params |= _from_query(layout.query, request.raw_query)
    if layout.headers:
        # Reversed, so that of a repeated header the first value stands.
        sent = dict(reversed(request.headers))
        for name, member in layout.headers_by_lower_name:
            if name in sent:
                text = sent[name]
                if member.shape.enum and operation.service.is_object_store:
                    text = _spelled(member.shape.enum, text)
                params[member.name] = _from_header(member, text)
    for member in layout.prefix_headers:
        params |= _prefixed(member, request.headers)
    return params


def _body_object(body: bytes) -> Mapping[str, Any]:
    if not body:
        return {}
    value = _decode(body)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SerializationException("Unexpected value type in payload")
    return cast(dict[str, Any], value)


def _decode(body: bytes) -> Any:
    _check_size(body)
    try:
        return json.decode(body)
    except json.MalformedJson as error:
        raise SerializationException("The request body is not valid JSON.") from error


def _check_size(body: bytes) -> None:
    if len(body) > MAX_BODY_BYTES:
        raise ValidationException(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAX_BODY_BYTES}"
        )


def _from_payload(member: Member, body: bytes) -> Params:
    if not body or member.shape.is_event_stream:
        return {}
    if member.shape.type == "blob":
        _check_size(body)
        return {member.name: body}
    if member.shape.type == "string":
        return {member.name: _text_of(body)}
    return {member.name: _value(member, _decode(body))}


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeError as error:
        raise SerializationException("The request body is not valid UTF-8.") from error


def _from_query(members: Iterable[Member], raw_query: str) -> Params:
    given: dict[str, list[str]] = {}
    for field in raw_query.split("&"):
        key, _, value = field.partition("=")
        if key:
            given.setdefault(_unquote(key), []).append(_unquote(value))
    params: Params = {}
    named = {member.wire_name for member in members}
    for member in members:
        if member.shape.type == "map":
            params[member.name] = _query_map(member.shape, given, named)
        elif member.wire_name in given:
            params[member.name] = _from_query_field(member, given[member.wire_name])
    return params


def _from_query_field(member: Member, values: list[str]) -> Any:
    if member.shape.type == "list":
        return [read_text(member.shape.item, value, "iso8601") for value in values]
    return read_text(member, values[0], "iso8601")


def _query_map(shape: Shape, given: Mapping[str, list[str]], named: set[str]) -> Params:
    """The fields that no other member names."""
    item = shape.members["value"]
    return {k: _from_query_field(item, v) for k, v in given.items() if k not in named}


def _unquote(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeError as error:
        raise SerializationException("The query string is not valid UTF-8.") from error


def _spelled(enum: tuple[str, ...], value: str) -> str:
    """S3 reads the values of its headers in any case: the AWS CLI's transfer client (CRT) asks with
    ``x-amz-checksum-mode: enabled``."""
    if value in enum:
        return value
    return next((each for each in enum if each.lower() == value.lower()), value)


def _from_header(member: Member, value: str) -> Any:
    if member.is_json_value:
        return _json_header(value)
    if member.shape.type == "list":
        parts = [part.strip() for part in value.split(",")]
        return [read_text(member.shape.item, part, "rfc822") for part in parts if part]
    return read_text(member, value, "rfc822")


def _json_header(value: str) -> Any:
    try:
        return json.decode(binascii.a2b_base64(value, strict_mode=True))
    except (binascii.Error, ValueError, json.MalformedJson) as error:
        raise SerializationException("A header is not base64-encoded JSON.") from error


def _prefixed(member: Member, headers: Iterable[tuple[str, str]]) -> Params:
    prefix = member.wire_name.lower()
    found = {key[len(prefix) :]: value for key, value in headers if key.startswith(prefix)}
    return {member.name: found} if found else {}


def _members(members: Mapping[str, Member], value: Mapping[str, Any]) -> Params:
    params: Params = {}
    for key, item in value.items():
        member = members.get(key)
        if member is not None and item is not None:
            params[member.name] = _value(member, item)
    return params


def _value(member: Member, value: Any) -> Any:
    shape = member.shape
    if shape.is_document:
        return value
    return _READERS[shape.type](member, value)


def _structure(member: Member, value: Any) -> Any:
    if not isinstance(value, dict):
        raise _unexpected(value, "a structure")
    return _members(member.shape.wire_members, cast(dict[str, Any], value))


def _list(member: Member, value: Any) -> Any:
    if not isinstance(value, list):
        raise _unexpected(value, "a List")
    item = member.shape.item
    items = cast(list[Any], value)
    return [None if one is None else _value(item, one) for one in items]


def _map(member: Member, value: Any) -> Any:
    if not isinstance(value, dict):
        raise _unexpected(value, "a Map")
    item = member.shape.members["value"]
    entries = cast(dict[str, Any], value)
    return {k: None if one is None else _value(item, one) for k, one in entries.items()}


def _string(member: Member, value: Any) -> Any:
    if not isinstance(value, str):
        raise _unexpected(value, "a String")
    return value


def _boolean(member: Member, value: Any) -> Any:
    if not isinstance(value, bool):
        raise _unexpected(value, "a Boolean")
    return value


def _integer(member: Member, value: Any) -> Any:
    kind = member.shape.type
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unexpected(value, ARTICLES[kind])
    if not -(1 << INTEGER_BITS[kind]) <= value < 1 << INTEGER_BITS[kind]:
        raise mismatch("NUMBER_VALUE", ARTICLES[kind])
    return value


def _float(member: Member, value: Any) -> Any:
    if isinstance(value, str) and value in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unexpected(value, ARTICLES[member.shape.type])
    try:
        return float(value)
    except OverflowError as error:
        raise mismatch("NUMBER_VALUE", ARTICLES[member.shape.type]) from error


def _blob(member: Member, value: Any) -> Any:
    # CBOR has a type for it.
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise _unexpected(value, "a Blob")
    return read_base64(value)


def _timestamp(member: Member, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        return timestamps.parse(value, member.timestamp_format or "unixTimestamp")
    except timestamps.MalformedTimestamp as error:
        raise _unexpected(value, "a Timestamp") from error


_READERS: dict[str, Callable[[Member, Any], Any]] = {
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


def _unexpected(value: Any, wanted: str) -> SerializationException:
    match value:
        case dict():
            return SerializationException("Start of structure or map found where not expected")
        case list():
            return SerializationException("Start of list found where not expected")
        case bool():
            return mismatch("TRUE_VALUE" if value else "FALSE_VALUE", wanted)
        case int():
            return mismatch("NUMBER_VALUE", wanted)
        case float():
            return mismatch("DECIMAL_VALUE", wanted)
        case None:
            return mismatch("NULL_VALUE", wanted)
        case _:
            return mismatch("STRING_VALUE", wanted)


_PROTOCOLS: dict[str, Callable[[Operation, Request, Mapping[str, str]], Params]] = {
    "rest-json": _parse_rest_json,
    "rest-xml": _parse_rest_xml,
    "json": _parse_json,
    "smithy-rpc-v2-cbor": _parse_cbor,
    "query": parse_query,
    "ec2": parse_ec2,
}
