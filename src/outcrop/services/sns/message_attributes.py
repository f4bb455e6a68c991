"""The attributes of messages as publishers give them: checked, and in our own form."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.topics.messages import Attribute

_MAX_NAME_BYTES: Final = 256
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_TYPE: Final = re.compile(r"(String|Number|Binary)(?:\.[^\x00-\x1f]{1,250})?")


def read_attributes(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Attribute]:
    for name in given:
        _check_name(name)
    return {name: _read(name, value) for name, value in given.items()}


def _check_name(name: str) -> None:
    if not name or len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
        raise _bad("Length of message attribute name must be less than 256 bytes.")
    if name.startswith("."):
        raise _bad("Invalid message attribute name starting with character '.' was found.")
    if name.endswith("."):
        raise _bad("Invalid message attribute name ending with character '.' was found.")
    if ".." in name:
        raise _bad("Message attribute name can not have successive '.' character.")
    if not _NAME.fullmatch(name):
        strange = next(each for each in name if not _NAME.fullmatch(each))
        raise _bad(
            f"Invalid non-alphanumeric character '#x{ord(strange):02X}' was found in the message "
            "attribute name. Can only include alphanumeric characters, hyphens, underscores, or "
            "dots."
        )


def _read(name: str, value: Mapping[str, Any]) -> Attribute:
    kind = value["DataType"]
    found = _TYPE.fullmatch(kind)
    if found is None:
        raise _bad(
            f"The message attribute '{name}' has an invalid message attribute type, the set of "
            "supported type prefixes is Binary, Number, and String."
        )
    text, binary = value.get("StringValue"), value.get("BinaryValue")
    field, other = ("Binary", text) if found[1] == "Binary" else ("String", binary)
    if not text and not binary:
        raise _bad(
            f"The message attribute '{name}' must contain non-empty message attribute value for "
            f"message attribute type '{kind}'."
        )
    if other is not None:
        raise _bad(f"The message attribute '{name}' with type '{kind}' must use field '{field}'.")
    if found[1] == "Number":
        _check_number(name, str(text))
    if kind == "String.Array":
        _check_array(name, str(text))
    return Attribute(kind, text, binary)


def _check_number(name: str, text: str) -> None:
    try:
        is_number = text.isascii() and "_" not in text and Decimal(text).is_finite()
    except InvalidOperation:
        is_number = False
    if not is_number:
        raise _bad(f"Could not cast message attribute '{name}' value to number.")


def _check_array(name: str, text: str) -> None:
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise _bad(f"The message attribute '{name}' with type 'String.Array' must be a JSON array.")


def _bad(text: str) -> ServiceError:
    return ServiceError("ParameterValueInvalid", text)
