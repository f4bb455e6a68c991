"""What a field of an event pattern asks for: the alternatives of one array, compiled.

Source of the refusals: answers of the real service, and the rule compiler that AWS published.
"""

import ipaddress
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from outcrop.events.wildcards import MOST_WILDCARDS, InvalidWildcard, Wildcard

Test = Callable[[Any], bool]
"""Of a leaf of the event: a text, a number, true, false or null."""

MOST_WILDCARDS_OF_FIELD: Final = 7


class InvalidPattern(Exception):
    """The message is AWS's reason."""


@dataclass(slots=True)
class Alternatives:
    """Of one field. ``present`` takes any leaf, ``absent`` a field without one."""

    exact: set[Any] = field(default_factory=set[Any])
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    tests: list[Test] = field(default_factory=list[Test])
    present: bool = False
    absent: bool = False
    wildcards: int = 0

    def take(self, leaf: Any) -> bool:
        if self.present or key_of(leaf) in self.exact:
            return True
        if isinstance(leaf, str) and (
            leaf.startswith(self.prefixes) or leaf.endswith(self.suffixes)
        ):
            return True
        return any(test(leaf) for test in self.tests)


def key_of(leaf: Any) -> Any:
    """For sets: true is not 1."""
    return (leaf,) if leaf is None or isinstance(leaf, bool) else leaf


def compile_alternatives(values: Sequence[Any]) -> Alternatives:
    if not values:
        raise InvalidPattern("Empty arrays are not allowed")
    made = Alternatives()
    for value in values:
        if isinstance(value, list):
            raise InvalidPattern("Match value must be String, number, true, false, or null")
        if isinstance(value, dict):
            _add_expression(made, cast("dict[str, Any]", value))
        else:
            made.exact.add(key_of(value))
    if made.wildcards > MOST_WILDCARDS_OF_FIELD:
        raise _too_complex()
    return made


def _add_expression(made: Alternatives, expression: Mapping[str, Any]) -> None:
    name, asked = _only_member(expression, "Match expression name not found")
    add = _EXPRESSIONS.get(name)
    if add is None:
        raise InvalidPattern(f"Unrecognized match type {name}")
    add(made, asked)
    if len(expression) > 1:
        raise InvalidPattern(
            "Too many elements in numeric expression"
            if name in ("numeric", "anything-but")
            else "Only one key allowed in match expression"
        )


def _only_member(expression: Mapping[str, Any], missing: str) -> tuple[str, Any]:
    if not expression:
        raise InvalidPattern(missing)
    return next(iter(expression.items()))


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidPattern(f"{what} match pattern must be a string")
    return value


def _nested_ignore_case(value: Any, what: str) -> str | None:
    """The text of ``{"equals-ignore-case": …}`` in ``prefix`` and ``suffix``."""
    if not isinstance(value, dict):
        return None
    nested = cast("dict[str, Any]", value)
    name, asked = _only_member(nested, f"{what.capitalize()} expression name not found")
    if name != "equals-ignore-case":
        raise InvalidPattern(f"Unsupported {what} pattern: {name}")
    text = _text(asked, "equals-ignore-case")
    if len(nested) > 1:
        raise InvalidPattern("Only one key allowed in match expression")
    return text.lower()


def _add_prefix(made: Alternatives, value: Any) -> None:
    folded = _nested_ignore_case(value, "prefix")
    if folded is None:
        made.prefixes += (_text(value, "prefix"),)
    else:
        made.tests.append(lambda leaf: isinstance(leaf, str) and leaf.lower().startswith(folded))


def _add_suffix(made: Alternatives, value: Any) -> None:
    folded = _nested_ignore_case(value, "suffix")
    if folded is None:
        made.suffixes += (_text(value, "suffix"),)
    else:
        made.tests.append(lambda leaf: isinstance(leaf, str) and leaf.lower().endswith(folded))


def _add_ignore_case(made: Alternatives, value: Any) -> None:
    folded = _text(value, "equals-ignore-case").lower()
    made.tests.append(lambda leaf: isinstance(leaf, str) and leaf.lower() == folded)


def _add_wildcard(made: Alternatives, value: Any) -> None:
    wildcard = _wildcard(made, value)
    made.tests.append(lambda leaf: isinstance(leaf, str) and wildcard.matches(leaf))


def _wildcard(made: Alternatives, value: Any) -> Wildcard:
    try:
        wildcard = Wildcard(_text(value, "wildcard"))
    except InvalidWildcard as error:
        raise InvalidPattern(str(error)) from error
    if wildcard.wildcards > MOST_WILDCARDS:
        raise _too_complex()
    made.wildcards += wildcard.wildcards
    return wildcard


def _too_complex() -> InvalidPattern:
    return InvalidPattern(
        "Rule is too complex - try using fewer wildcard characters or fewer repeating character "
        "sequences after a wildcard character"
    )


def _add_exists(made: Alternatives, value: Any) -> None:
    if value is True:
        made.present = True
    elif value is False:
        made.absent = True
    else:
        raise InvalidPattern("exists match pattern must be either true or false.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _add_numeric(made: Alternatives, value: Any) -> None:
    if not isinstance(value, list):
        raise InvalidPattern("Value of numeric must be an array.")
    terms = cast("list[Any]", value)
    sign = terms[0] if terms else "]"
    if not terms or not isinstance(sign, str):
        raise InvalidPattern(f"Invalid member in numeric match: {_shown(sign)}")
    if sign not in _COMPARE:
        raise InvalidPattern(f"Unrecognized numeric range operator: {sign}")
    if len(terms) < 2 or not _is_number(terms[1]):
        raise InvalidPattern(f"Value of {'equals' if sign == '=' else sign} must be numeric")
    bounds = [(_COMPARE[sign], terms[1])]
    if len(terms) > 2:
        if sign not in (">", ">="):
            raise InvalidPattern("Too many elements in numeric expression")
        bounds.append(_upper_bound(terms))
    made.tests.append(
        lambda leaf: _is_number(leaf) and all(compare(leaf, bound) for compare, bound in bounds)
    )


def _upper_bound(terms: Sequence[Any]) -> tuple[Callable[[Any, Any], bool], Any]:
    sign = terms[2]
    if not isinstance(sign, str):
        raise InvalidPattern(f"Bad value in numeric range: {_shown(sign)}")
    if sign not in ("<", "<="):
        raise InvalidPattern(f"Bad numeric range operator: {sign}")
    if len(terms) < 4 or not _is_number(terms[3]):
        raise InvalidPattern(f"Value of {sign} must be numeric")
    if len(terms) > 4:
        raise InvalidPattern("Too many terms in numeric range expression")
    if terms[3] < terms[1]:
        raise InvalidPattern("Bottom must be less than top")
    return _COMPARE[sign], terms[3]


def _shown(value: Any) -> str:
    """As the token that a parser stands at."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case list():
            return "["
        case dict():
            return "{"
        case _:
            return str(value)


_IPV4: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}", re.ASCII)
_IPV6: Final = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_LONGEST_ADDRESS: Final = 39
_MASK: Final = re.compile(r"[+-]?[0-9]{1,9}")


def _add_cidr(made: Alternatives, value: Any) -> None:
    # The real one says "prefix" here too.
    parts = _text(value, "prefix").split("/")
    if len(parts) != 2 or not parts[1]:
        raise InvalidPattern("Malformed CIDR, one '/' required")
    address, mask = parts
    if not _MASK.fullmatch(mask):
        raise InvalidPattern("Malformed CIDR, mask bits must be an integer")
    bits = int(mask)
    if bits < 0:
        raise InvalidPattern("Malformed CIDR, mask bits must not be negative")
    found = _address(address)
    if found is None:
        raise InvalidPattern(f"Nonstandard IP address: {address}")
    if bits >= found.max_prefixlen:
        raise InvalidPattern(f"IPv{found.version} mask bits must be < {found.max_prefixlen}")
    network = ipaddress.ip_network(f"{found}/{bits}", strict=False)
    made.tests.append(lambda leaf: _is_in(leaf, network))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if len(text) > _LONGEST_ADDRESS or not (_IPV4.fullmatch(text) or _IPV6.fullmatch(text)):
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_in(leaf: Any, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    found = _address(leaf) if isinstance(leaf, str) else None
    return found is not None and found.version == network.version and found in network


_BUT_STRINGS: Final[Mapping[str, str]] = {
    "prefix": "prefix/suffix match pattern must be a string",
    "suffix": "prefix/suffix match pattern must be a string",
    "wildcard": "wildcard match pattern must be a string",
    # The misspelling is AWS's.
    "equals-ignore-case": (
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
    ),
}
_BUT_VALUE: Final = "Value of anything-but must be an array or single string/number value."


def _add_anything_but(made: Alternatives, value: Any) -> None:
    if isinstance(value, dict):
        nested = cast("dict[str, Any]", value)
        name, asked = _only_member(nested, "Anything-But expression name not found")
        if name not in _BUT_STRINGS:
            raise InvalidPattern(f"Unsupported anything-but pattern: {name}")
        refused = _refused_texts(made, name, _but_values(asked))
        if len(nested) > 1:
            raise InvalidPattern("Too many elements in numeric expression")
        made.tests.append(lambda leaf: not refused.take(leaf))
        return
    values = _but_values(value)
    if any(value is None or isinstance(value, bool | list | dict) for value in values):
        raise InvalidPattern("Inside anything but list, start|null|boolean is not supported.")
    if len({isinstance(value, str) for value in values}) != 1:
        raise InvalidPattern(
            "Inside anything but list, either all values are number or string, mixed type is not "
            "supported"
        )
    taken = frozenset(values)
    made.tests.append(lambda leaf: key_of(leaf) not in taken)


def _but_values(value: Any) -> list[Any]:
    if isinstance(value, list):
        return cast("list[Any]", value)
    if isinstance(value, str) or _is_number(value):
        return [value]
    raise InvalidPattern(_BUT_VALUE)


def _refused_texts(made: Alternatives, name: str, values: Sequence[Any]) -> Alternatives:
    refused = Alternatives()
    for value in values:
        if not isinstance(value, str):
            raise InvalidPattern(_BUT_STRINGS[name])
        if not value and name in ("prefix", "suffix"):
            raise InvalidPattern("Null prefix/suffix not allowed")
        _EXPRESSIONS[name](refused, value)
    made.wildcards += refused.wildcards
    return refused


_EXPRESSIONS: Final[Mapping[str, Callable[[Alternatives, Any], None]]] = {
    "anything-but": _add_anything_but,
    "cidr": _add_cidr,
    "equals-ignore-case": _add_ignore_case,
    "exists": _add_exists,
    "numeric": _add_numeric,
    "prefix": _add_prefix,
    "suffix": _add_suffix,
    "wildcard": _add_wildcard,
}
OPERATORS: Final = frozenset(_EXPRESSIONS)
