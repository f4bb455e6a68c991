"""Scalars written as text: in paths, queries, headers, forms and XML.

What is not of its type is a SerializationException in the words of AWS's own deserializer.
"""

import binascii
import math
from datetime import datetime
from typing import Any

from outcrop.errors import SerializationException
from outcrop.wire import timestamps
from outcrop.wire.shapes import Member

INTEGER_BITS = {"integer": 31, "long": 63}
ARTICLES = {"integer": "an Integer", "long": "a Long", "float": "a Float", "double": "a Double"}
SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_text(member: Member, text: str, timestamp_format: str) -> Any:
    """``timestamp_format`` is what the place means where the model names none."""
    kind = member.shape.type
    if kind == "boolean":
        if text not in ("true", "false"):
            raise mismatch("STRING_VALUE", "a Boolean")
        return text == "true"
    if kind in INTEGER_BITS:
        return _integer(text, kind)
    if kind in ("float", "double"):
        return _float(text, kind)
    if kind == "timestamp":
        return _timestamp(member, text, timestamp_format)
    if kind == "blob":
        return read_base64(text)
    return text


def read_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise SerializationException("A blob is not valid base64.") from error


def mismatch(found: str, wanted: str) -> SerializationException:
    return SerializationException(f"{found} can not be converted to {wanted}")


def _integer(text: str, kind: str) -> int:
    # Python would take "1_000", " 1" and other alphabets' digits.
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise mismatch("STRING_VALUE", ARTICLES[kind])
    try:
        value = int(text)
    except ValueError as error:
        # Two signs.
        raise mismatch("STRING_VALUE", ARTICLES[kind]) from error
    if not -(1 << INTEGER_BITS[kind]) <= value < 1 << INTEGER_BITS[kind]:
        raise mismatch("NUMBER_VALUE", ARTICLES[kind])
    return value


def _float(text: str, kind: str) -> float:
    if text in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[text]
    if not set(text) <= set("0123456789+-.eE"):
        raise mismatch("STRING_VALUE", ARTICLES[kind])
    try:
        return float(text)
    except ValueError as error:
        raise mismatch("STRING_VALUE", ARTICLES[kind]) from error


def _timestamp(member: Member, text: str, default: str) -> datetime:
    try:
        return timestamps.parse(text, member.timestamp_format or default)
    except timestamps.MalformedTimestamp as error:
        raise mismatch("STRING_VALUE", "a Timestamp") from error
