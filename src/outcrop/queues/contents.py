"""What a message may hold, how large it is, and the MD5 sums that clients check it by.

The sum of attributes is over, by name: name, type, a byte for the kind of value, and value; each of
the three with its length in four bytes before it. Source: "Calculating the MD5 message digest for
message attributes" in the SQS developer guide.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.queues.faults import invalid_value, missing

MAX_ATTRIBUTES: Final = 10

_TEXT: Final = 1
_BYTES: Final = 2
_NOT_CHARACTERS: Final = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
_MAX_TYPE_CHARACTERS: Final = 256


class Attribute(msgspec.Struct, frozen=True, omit_defaults=True):
    """``text`` or ``data``."""

    type: str
    text: str | None = None
    data: bytes | None = None

    @property
    def value(self) -> bytes:
        return self.data if self.data is not None else (self.text or "").encode()

    def shown(self) -> dict[str, Any]:
        if self.data is not None:
            return {"DataType": self.type, "BinaryValue": self.data}
        return {"DataType": self.type, "StringValue": self.text}


Attributes = Mapping[str, Attribute]


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_of(attributes: Attributes) -> str:
    parts: list[bytes] = []
    for name in sorted(attributes):
        one = attributes[name]
        kind = _TEXT if one.data is None else _BYTES
        parts += [_sized(name.encode()), _sized(one.type.encode()), bytes([kind])]
        parts.append(_sized(one.value))
    return md5(b"".join(parts))


def content_digest(body: str) -> str:
    """The deduplication ID of a message that has none of its own."""
    return hashlib.sha256(body.encode()).hexdigest()


def size_bytes(body: str, attributes: Attributes) -> int:
    held = sum(
        len(name.encode()) + len(one.type.encode()) + len(one.value)
        for name, one in attributes.items()
    )
    return len(body.encode()) + held


def read_body(text: str) -> str:
    if not text:
        raise missing("MessageBody")
    if _NOT_CHARACTERS.search(text):
        raise ServiceError(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to "
            "#xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        )
    return text


def read_attributes(given: Mapping[str, Any] | None) -> dict[str, Attribute]:
    found = given or {}
    if len(found) > MAX_ATTRIBUTES:
        raise ServiceError(
            "InvalidParameterValue",
            f"Number of message attributes [{len(found)}] exceeds the allowed maximum "
            f"[{MAX_ATTRIBUTES}].",
        )
    return {name: _read_attribute(name, value or {}) for name, value in found.items()}


def read_system_attributes(given: Mapping[str, Any] | None) -> dict[str, Attribute]:
    """Only the header of X-Ray may be sent."""
    for name, value in (given or {}).items():
        if name != "AWSTraceHeader":
            raise ServiceError(
                "InvalidParameterValue", f"Message system attribute name '{name}' is invalid."
            )
        if value.get("DataType") != "String":
            raise _unlike(name, "String")
    return {name: _read_value(name, value) for name, value in (given or {}).items()}


def read_token(parameter: str, text: str | None) -> str | None:
    """A group or deduplication ID."""
    if text is not None and not _TOKEN.fullmatch(text):
        raise invalid_value(
            parameter,
            text,
            f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in "
            "length.",
        )
    return text


def select(attributes: Attributes, names: Iterable[str]) -> dict[str, Attribute]:
    """Those asked for: by name, by the beginning of a name (``bar.*``), or all."""
    wanted = tuple(names)
    if "All" in wanted or ".*" in wanted:
        return dict(attributes)
    prefixes = tuple(name[:-2] for name in wanted if name.endswith(".*"))
    return {
        name: value
        for name, value in attributes.items()
        if name in wanted or (prefixes and name.startswith(prefixes))
    }


def _read_attribute(name: str, value: Mapping[str, Any]) -> Attribute:
    starts_reserved = name.lower().startswith(("aws.", "amazon."))
    if not _NAME.fullmatch(name) or starts_reserved:
        raise ServiceError("InvalidParameterValue", _name_fault(name))
    if name.startswith(".") or name.endswith(".") or ".." in name:
        raise ServiceError("InvalidParameterValue", _name_fault(name))
    return _read_value(name, value)


def _read_value(name: str, value: Mapping[str, Any]) -> Attribute:
    for member in ("StringListValues", "BinaryListValues"):
        if value.get(member):
            raise ServiceError(
                "UnsupportedOperation",
                f"Message attribute list values in SendMessage operation are not supported: {name}",
            )
    type = value.get("DataType") or ""
    if not type:
        raise ServiceError(
            "InvalidParameterValue",
            f"The message attribute '{name}' must contain a non-empty message attribute type.",
        )
    kind = type.partition(".")[0]
    if kind not in ("String", "Number", "Binary") or len(type) > _MAX_TYPE_CHARACTERS:
        raise ServiceError(
            "InvalidParameterValue",
            f"The type of message (user) attribute '{name}' is invalid. You must use only the "
            "following supported type prefixes: Binary, Number, String.",
        )
    return _typed(name, type, kind, value)


def _typed(name: str, type: str, kind: str, value: Mapping[str, Any]) -> Attribute:
    if kind == "Binary":
        if not value.get("BinaryValue") or value.get("StringValue") is not None:
            raise _empty(name, kind)
        return Attribute(type, data=value["BinaryValue"])
    text = value.get("StringValue")
    if not text or value.get("BinaryValue") is not None:
        raise _empty(name, "String" if kind == "String" else kind)
    if _NOT_CHARACTERS.search(text):
        raise ServiceError(
            "InvalidParameterValue",
            f"Invalid non-alphanumeric character was found in the value of the message (user) "
            f"attribute '{name}'.",
        )
    if kind == "Number" and not _NUMBER.fullmatch(text):
        raise ServiceError(
            "InvalidParameterValue",
            f"Can't cast the value of message (user) attribute '{name}' to a number.",
        )
    return Attribute(type, text=text)


def _empty(name: str, kind: str) -> ServiceError:
    return ServiceError(
        "InvalidParameterValue",
        f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'.",
    )


def _unlike(name: str, kind: str) -> ServiceError:
    return ServiceError(
        "InvalidParameterValue",
        f"The type of message system attribute '{name}' is invalid. You must use {kind}.",
    )


def _name_fault(name: str) -> str:
    return (
        f"Message (user) attribute name '{name[:80]}' is invalid. A name has 1 to 256 letters, "
        "digits, hyphens, underscores and periods, does not begin or end with a period, has no two "
        "in a row, and does not begin with AWS. or Amazon."
    )


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
