"""Results as the plain values that JSON or CBOR hold, by their shapes.

Members travel in alphabetical order, as the real service sends them.
"""

import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from outcrop.wire import timestamps
from outcrop.wire.mismatch import ResultMismatch, mismatch
from outcrop.wire.shapes import Member, Shape

Scalar = Callable[[Member, Any], Any]


class Writer:
    """``blob``, ``timestamp`` and ``number`` (with a fraction) are where the encodings differ."""

    def __init__(self, blob: Scalar, timestamp: Scalar, number: Scalar) -> None:
        self._by_type: dict[str, Scalar] = {
            "structure": self._structure,
            "list": self._list,
            "map": self._map,
            "string": _string,
            "boolean": _boolean,
            "integer": _integer,
            "long": _integer,
            "float": number,
            "double": number,
            "blob": blob,
            "timestamp": timestamp,
        }

    def members(self, shape: Shape | None, value: Mapping[str, Any]) -> dict[str, Any]:
        members = shape.members if shape else {}
        out: dict[str, Any] = {}
        for name in sorted(value):
            item = value[name]
            member = members.get(name)
            if member is None:
                raise ResultMismatch(
                    f"{shape.name if shape else 'No output'} has no member {name!r}"
                )
            if item is not None:
                out[member.wire_name] = self.value(member, item)
        return out

    def value(self, member: Member, value: Any) -> Any:
        shape = member.shape
        if shape.is_document:
            return value
        return self._by_type[shape.type](member, value)

    def _structure(self, member: Member, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise mismatch(member, value)
        return self.members(member.shape, cast(Mapping[str, Any], value))

    def _list(self, member: Member, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise mismatch(member, value)
        item = member.shape.item
        return [self.value(item, one) for one in cast(list[Any], value)]

    def _map(self, member: Member, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise mismatch(member, value)
        item = member.shape.members["value"]
        entries = cast(Mapping[str, Any], value)
        return {key: self.value(item, one) for key, one in entries.items()}


def _string(member: Member, value: Any) -> Any:
    if not isinstance(value, str):
        raise mismatch(member, value)
    return value


def _boolean(member: Member, value: Any) -> Any:
    if not isinstance(value, bool):
        raise mismatch(member, value)
    return value


def _integer(member: Member, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise mismatch(member, value)
    return value


def _float(member: Member, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mismatch(member, value)
    return value


def _double(member: Member, value: Any) -> float:
    return float(_float(member, value))


def _bytes(member: Member, value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray):
        raise mismatch(member, value)
    return bytes(value)


def _datetime(member: Member, value: Any) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise mismatch(member, value)
    return value


def _base64(member: Member, value: Any) -> str:
    if not isinstance(value, bytes | bytearray):
        raise mismatch(member, value)
    return binascii.b2a_base64(value, newline=False).decode()


def _json_timestamp(member: Member, value: Any) -> str | float:
    if not isinstance(value, datetime):
        raise mismatch(member, value)
    return timestamps.render(value, member.timestamp_format or "unixTimestamp")


JSON = Writer(_base64, _json_timestamp, _float)
CBOR = Writer(_bytes, _datetime, _double)
