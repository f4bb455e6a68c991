"""The operators of conditions: each compares one value of the request with the policy's values.

``Null``, the set qualifiers and missing keys are the business of ``conditions``.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeVar

from outcrop.security.policy.patterns import (
    Keys,
    PatternSet,
    tokenize,
    within_arn_parts,
)

# Does one value of the request match any of the policy's values?
Comparison = Callable[[str, Keys], bool]

# Characters of a number, a date or an address.
_LONGEST = 64
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_EPOCH = re.compile(r"-?[0-9]{5,18}|[0-9]{1,3}")
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_T = TypeVar("_T")
_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class BadValue(Exception):
    """The policy's value is not one of its operator's type."""


@dataclass(frozen=True, slots=True)
class Compared:
    matches: Comparison
    variables: frozenset[str] = frozenset()


Build = Callable[[Sequence[str], bool], Compared]


def _remembered(parse: Callable[[str], _T | None]) -> Callable[[str], _T | None]:
    """The same moment or address is compared with many statements; what is too long is neither."""
    remembered = lru_cache(maxsize=1024)(parse)
    return lambda text: remembered(text) if len(text) <= _LONGEST else None


def _strings(*, wildcards: bool, ignore_case: bool = False) -> Build:
    def build(values: Sequence[str], variables: bool) -> Compared:
        folded = [value.lower() for value in values] if ignore_case else values
        patterns = PatternSet(
            [tokenize(value, wildcards=wildcards, variables=variables) for value in folded]
        )
        if not ignore_case:
            return Compared(patterns.matches, patterns.variables)

        def matches(value: str, keys: Keys) -> bool:
            return patterns.matches(value.lower(), _lowered(keys) if patterns.variables else keys)

        return Compared(matches, patterns.variables)

    return build


def _lowered(keys: Keys) -> Keys:
    return {
        key: value.lower() if isinstance(value, str) else tuple(each.lower() for each in value)
        for key, value in keys.items()
    }


def _arns(values: Sequence[str], variables: bool) -> Compared:
    tokens = (tokenize(value, wildcards=True, variables=variables) for value in values)
    patterns = PatternSet([within_arn_parts(each, strictly=True) for each in tokens])
    return Compared(patterns.matches, patterns.variables)


def _ordered(parse: Callable[[str], Decimal | int | None], order: Callable[[int], bool]) -> Build:
    """``order`` judges the sign of the request's value minus the policy's."""

    def build(values: Sequence[str], _variables: bool) -> Compared:
        limits = [_required(parse(value)) for value in values]

        def matches(value: str, _keys: Keys) -> bool:
            found = parse(value)
            if found is None:
                return False
            return any(order((found > limit) - (found < limit)) for limit in limits)

        return Compared(matches)

    return build


def _required(value: _T | None) -> _T:
    if value is None:
        raise BadValue
    return value


@_remembered
def parse_number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@_remembered
def parse_date(text: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 date or of epoch seconds."""
    if _EPOCH.fullmatch(text):
        return int(text) * 1_000_000
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=_zone(zone),
        )
        return (moment - _START) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text in (None, "Z"):
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text.startswith("-") else offset)


def _booleans(values: Sequence[str], _variables: bool) -> Compared:
    wanted = frozenset(value.lower() for value in values)
    if not wanted <= {"true", "false"}:
        raise BadValue
    return Compared(lambda value, _keys: value.lower() in wanted)


def _binaries(values: Sequence[str], _variables: bool) -> Compared:
    wanted = frozenset(_required(_decoded(value)) for value in values)
    return Compared(lambda value, _keys: _decoded(value) in wanted)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _addresses(values: Sequence[str], _variables: bool) -> Compared:
    networks = [_network(value) for value in values]

    def matches(value: str, _keys: Keys) -> bool:
        address = _address(value)
        return address is not None and any(address in network for network in networks)

    return Compared(matches)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise BadValue from error


@_remembered
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket of both families shows IPv4 peers like this.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


_EQUAL, _LESS, _GREATER = (0,), (-1,), (1,)

# Operators without "Not": their negations are in NEGATED.
OPERATORS: dict[str, Build] = {
    "StringEquals": _strings(wildcards=False),
    "StringEqualsIgnoreCase": _strings(wildcards=False, ignore_case=True),
    "StringLike": _strings(wildcards=True),
    "ArnEquals": _arns,
    "ArnLike": _arns,
    "Bool": _booleans,
    "BinaryEquals": _binaries,
    "IpAddress": _addresses,
}
for _type, _parse in (("Numeric", parse_number), ("Date", parse_date)):
    for _name, _signs in (
        ("Equals", _EQUAL),
        ("LessThan", _LESS),
        ("LessThanEquals", _LESS + _EQUAL),
        ("GreaterThan", _GREATER),
        ("GreaterThanEquals", _GREATER + _EQUAL),
    ):
        OPERATORS[_type + _name] = _ordered(_parse, _signs.__contains__)

NEGATED: dict[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}
