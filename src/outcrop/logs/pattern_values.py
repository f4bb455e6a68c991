"""What filter patterns compare with: numbers, texts with wildcards, regular expressions.

Everything that repeats is left to RE2, whose time is linear whatever the pattern.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from outcrop.logs.regexes import InvalidRegex, compile_regex, escape

MAX_REGEXES: Final = 2
"""In a pattern of JSON or of columns."""

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_REGEX_CHARACTERS: Final = re.compile(r"[A-Za-z0-9_#=@/;,:\- ^$?\[\]{}|\\*+.&<>\"'%!~`]*")

_ORDERS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATORS: Final = ("<=", ">=", "!=", "=", "<", ">")


class InvalidPattern(Exception):
    """The message is what the client gets."""

    def __init__(self, message: str = "Invalid filter pattern") -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Value:
    """``regex`` is there for a regular expression and for a text with wildcards."""

    text: str
    number: float | None = None
    regex: Any = None

    def fits(self, text: str, number: float | None) -> bool:
        if self.number is not None and number is not None:
            return self.number == number
        if self.regex is not None:
            return self.regex.search(text) is not None
        return self.text == text


@dataclass(frozen=True, slots=True)
class Comparison:
    sign: str
    value: Value

    def holds(self, text: str, number: float | None) -> bool:
        order = _ORDERS.get(self.sign)
        if order is not None:
            limit = self.value.number
            return limit is not None and number is not None and order(number, limit)
        return self.value.fits(text, number) is (self.sign == "=")


def compare(sign: str, value: Value) -> Comparison:
    if sign in _ORDERS and value.number is None:
        raise InvalidPattern
    return Comparison(sign, value)


def quoted_value(text: str) -> Value:
    return Value(text, regex=_wildcards(text))


def plain_value(text: str) -> Value:
    return Value(text, find_number(text), _wildcards(text))


def regex_value(source: str) -> Value:
    return Value(source, regex=read_regex(source))


def find_number(text: str) -> float | None:
    return float(text) if len(text) <= 64 and _NUMBER.fullmatch(text) else None


def read_regex(source: str) -> Any:
    if not source or not _REGEX_CHARACTERS.fullmatch(source):
        raise InvalidPattern("Invalid regular expression in the filter pattern")
    return _compiled(source)


def _wildcards(text: str) -> Any:
    if "*" not in text:
        return None
    parts = (escape(part) for part in text.split("*"))
    return _compiled(f"(?s)^{'.*'.join(parts)}$")


def _compiled(source: str) -> Any:
    try:
        return compile_regex(source)
    except InvalidRegex as error:
        raise InvalidPattern("Invalid regular expression in the filter pattern") from error
