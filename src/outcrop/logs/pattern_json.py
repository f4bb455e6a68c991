"""Filter patterns of JSON events: ``{ $.user.id = 1 && ($.a[*] = "x*" || $.b NOT EXISTS) }``.

A comparison holds where any of the values that its selector finds fits; ``!=`` too wants a value.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from outcrop.logs.pattern_conditions import Node, read_conditions
from outcrop.logs.pattern_scanner import Scanner
from outcrop.logs.pattern_values import Comparison, InvalidPattern, compare, find_number
from outcrop.wire import json

Step = str | int | None
"""A key, an index, or None for all items of an array."""

_KEY: Final = re.compile(r"[A-Za-z0-9_\-@/#]+")
_INDEX: Final = re.compile(r"[0-9]{1,6}")
_PLAIN: Final = re.compile(r"[^\s()\"'%&|{}=!<>]+")
_MAX_STEPS: Final = 64
_MAX_FOUND: Final = 10_000

_STATES: Final = {
    ("IS", "TRUE"): "true",
    ("IS", "FALSE"): "false",
    ("IS", "NULL"): "null",
    ("NOT", "EXISTS"): "missing",
    ("EXISTS",): "there",
}


@dataclass(frozen=True, slots=True)
class Selector:
    text: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison or a state."""

    selector: Selector
    comparison: Comparison | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class JsonPattern:
    condition: Node[Condition]
    selectors: tuple[Selector, ...]

    def extract(self, message: str) -> dict[str, str] | None:
        """What its selectors find in the message; None where it does not match."""
        document = read_document(message)
        if document is None or not self.condition.holds(
            lambda each: _condition_holds(each, document)
        ):
            return None
        found: dict[str, str] = {}
        for selector in self.selectors:
            value = first(document, selector)
            if value is not None:
                found[selector.text] = value
        return found

    def matches(self, message: str) -> bool:
        document = read_document(message)
        return document is not None and self.condition.holds(
            lambda each: _condition_holds(each, document)
        )

    def find(self, message: str, selector: str) -> str | None:
        """What another selector finds, for the value and the dimensions of a metric."""
        document = read_document(message)
        try:
            asked = parse_selector(selector)
        except InvalidPattern:
            return None
        return None if document is None else first(document, asked)


def parse_json_pattern(text: str) -> JsonPattern:
    scanner, selectors = Scanner(text), list[Selector]()

    def leaf(scanner: Scanner) -> Condition:
        condition = _read_condition(scanner)
        selectors.append(condition.selector)
        return condition

    scanner.need("{")
    condition = read_conditions(scanner, leaf)
    scanner.need("}")
    if not scanner.is_at_end:
        raise InvalidPattern
    return JsonPattern(condition, tuple(selectors))


def parse_selector(text: str) -> Selector:
    scanner = Scanner(text)
    selector = _read_selector(scanner)
    if not scanner.is_at_end:
        raise InvalidPattern
    return selector


def read_document(message: str) -> dict[str, Any] | list[Any] | None:
    """None where the message is no JSON object or array."""
    if not message.lstrip().startswith(("{", "[")):
        return None
    try:
        document = json.decode(message.encode("utf-8", "surrogatepass"))
    except json.MalformedJson:
        return None
    return cast("dict[str, Any] | list[Any]", document)


def first(document: Any, selector: Selector) -> str | None:
    for value in _select(document, selector.steps):
        return _text(value)
    return None


def _read_selector(scanner: Scanner) -> Selector:
    scanner.need("$")
    start, steps = scanner.at - 1, list[Step]()
    while len(steps) < _MAX_STEPS:
        if scanner.text.startswith(".", scanner.at):
            scanner.at += 1
            if not scanner.text.startswith("[", scanner.at):
                key = _KEY.match(scanner.text, scanner.at)
                if key is None:
                    raise InvalidPattern
                scanner.at = key.end()
                steps.append(key[0])
        elif scanner.text.startswith("[", scanner.at):
            steps.append(_read_bracket(scanner))
        else:
            break
    if not steps:
        raise InvalidPattern
    return Selector(scanner.text[start : scanner.at], tuple(steps))


def _read_bracket(scanner: Scanner) -> Step:
    scanner.need("[")
    step: Step
    if scanner.take("*"):
        step = None
    elif scanner.text[scanner.at : scanner.at + 1] in ('"', "'"):
        step = scanner.quoted()
    else:
        index = scanner.take_match(_INDEX)
        if index is None:
            raise InvalidPattern
        step = int(index)
    scanner.need("]")
    return step


def _read_condition(scanner: Scanner) -> Condition:
    scanner.skip_space()
    selector = _read_selector(scanner)
    sign = scanner.operator()
    if sign is not None:
        return Condition(selector, compare(sign, scanner.value(_PLAIN)))
    for words, state in _STATES.items():
        if scanner.take_words(*words):
            return Condition(selector, state=state)
    raise InvalidPattern


def _condition_holds(condition: Condition, document: Any) -> bool:
    values = _select(document, condition.selector.steps)
    if condition.comparison is not None:
        return any(_compares(condition.comparison, value) for value in values)
    match condition.state:
        case "missing":
            return next(values, _MISSING) is _MISSING
        case "there":
            return next(values, _MISSING) is not _MISSING
        case "true":
            return any(value is True for value in values)
        case "false":
            return any(value is False for value in values)
        case _:
            return any(value is None for value in values)


_MISSING: Final = object()


def _compares(comparison: Comparison, value: Any) -> bool:
    if isinstance(value, (dict, list)) or value is None:
        return False
    if isinstance(value, bool):
        return comparison.holds("true" if value else "false", None)
    if isinstance(value, (int, float)):
        return comparison.holds(_text(value), float(value))
    return comparison.holds(value, find_number(value))


def _select(document: Any, steps: Sequence[Step]) -> Iterator[Any]:
    found: list[Any] = [document]
    for step in steps:
        found = [each for value in found for each in _step(value, step)][:_MAX_FOUND]
    return iter(found)


def _step(value: Any, step: Step) -> Sequence[Any]:
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        return [known[step]] if isinstance(step, str) and step in known else ()
    if not isinstance(value, list):
        return ()
    items = cast("list[Any]", value)
    if step is None:
        return items
    return items[step : step + 1] if isinstance(step, int) else ()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.encode(value).decode("utf-8", "replace")
