"""What single values a filter policy lets pass.

A pattern is asked with all values that a message has in one place: none where it lacks the place.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

Value = str | Decimal | bool | None


class BadCidr(Exception):
    pass


class Pattern(Protocol):
    def fits(self, values: Sequence[Value]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Equal:
    value: Value

    def fits(self, values: Sequence[Value]) -> bool:
        return any(is_same(each, self.value) for each in values)


@dataclass(frozen=True, slots=True)
class Prefix:
    text: str

    def fits(self, values: Sequence[Value]) -> bool:
        return any(isinstance(each, str) and each.startswith(self.text) for each in values)


@dataclass(frozen=True, slots=True)
class Suffix:
    text: str

    def fits(self, values: Sequence[Value]) -> bool:
        return any(isinstance(each, str) and each.endswith(self.text) for each in values)


@dataclass(frozen=True, slots=True)
class IgnoringCase:
    """``text`` is case-folded."""

    text: str

    def fits(self, values: Sequence[Value]) -> bool:
        return any(isinstance(each, str) and each.casefold() == self.text for each in values)


@dataclass(frozen=True, slots=True)
class AnythingBut:
    """One of the values is another one."""

    values: tuple[Value, ...] = ()
    pattern: Pattern | None = None

    def fits(self, values: Sequence[Value]) -> bool:
        return any(not self._excludes(each) for each in values)

    def _excludes(self, value: Value) -> bool:
        if self.pattern is not None:
            return self.pattern.fits([value])
        return any(is_same(value, each) for each in self.values)


@dataclass(frozen=True, slots=True)
class Exists:
    wanted: bool

    def fits(self, values: Sequence[Value]) -> bool:
        return bool(values) == self.wanted


@dataclass(frozen=True, slots=True)
class Numeric:
    """``bounds`` are an operator and a number each; one value is within all."""

    bounds: tuple[tuple[str, Decimal], ...]

    def fits(self, values: Sequence[Value]) -> bool:
        numbers = [each for each in values if isinstance(each, Decimal)]
        return any(
            all(_COMPARE[name](each, bound) for name, bound in self.bounds) for each in numbers
        )


@dataclass(frozen=True, slots=True)
class Cidr:
    network: IPv4Network | IPv6Network

    def fits(self, values: Sequence[Value]) -> bool:
        return any(isinstance(each, str) and self._holds(each) for each in values)

    def _holds(self, text: str) -> bool:
        try:
            return ip_address(text) in self.network
        except ValueError:
            return False


_COMPARE: Final[Mapping[str, Callable[[Decimal, Decimal], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_same(one: Value, other: Value) -> bool:
    """true is not the number 1."""
    return type(one) is type(other) and one == other


def parse_cidr(text: str) -> Cidr:
    address, slash, bits = text.partition("/")
    if not slash or "/" in bits:
        raise BadCidr("Malformed CIDR, one '/' required")
    if not (bits.isascii() and bits.isdigit() and len(bits) <= 3):
        raise BadCidr("Malformed CIDR, mask bits must be an integer")
    try:
        version = ip_address(address).version
    except ValueError as error:
        raise BadCidr(f"Nonstandard IP address: {address}") from error
    most = 32 if version == 4 else 128
    if int(bits) > most:
        raise BadCidr(f"IPv{version} mask bits must be at most {most}")
    return Cidr(ip_network(text, strict=False))
