"""Event patterns: which events a rule takes.

An array of the event matches where one of its elements does, and all that a pattern asks of an
object is asked of the same element. A pattern's part looks at each part of an event at most once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from outcrop.events.json_text import InvalidJson, read_json
from outcrop.events.pattern_terms import (
    OPERATORS,
    Alternatives,
    InvalidPattern,
    compile_alternatives,
)

__all__ = ["EventPattern", "InvalidPattern", "compile_pattern"]

_DEEPEST: Final = 64
_OR: Final = "$or"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    path: tuple[str, ...]
    asked: Alternatives


@dataclass(frozen=True, slots=True)
class _Object:
    """All ``fields`` and ``inner`` objects, and one of each of ``choices``."""

    fields: tuple[_Field, ...]
    inner: "tuple[tuple[str, _Object], ...]"
    choices: "tuple[tuple[_Object, ...], ...]"


class EventPattern:
    def __init__(self, text: str) -> None:
        try:
            read = read_json(text)
        except InvalidJson as error:
            raise InvalidPattern(str(error)) from error
        if not isinstance(read, dict):
            raise InvalidPattern("Filter is not an object")
        self._root = _compile(cast("dict[str, Any]", read), (), in_or=False)

    def matches(self, event: Mapping[str, Any]) -> bool:
        return _Matching(event).takes(self._root, event)


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> EventPattern:
    """Raises ``InvalidPattern``. Compiled once, as rules are asked with every event."""
    return EventPattern(text)


def _compile(pattern: Mapping[str, Any], path: tuple[str, ...], *, in_or: bool) -> _Object:
    if not pattern:
        raise InvalidPattern("Empty objects are not allowed")
    if len(path) > _DEEPEST:
        raise InvalidPattern(f"Objects are nested more than {_DEEPEST} levels deep")
    fields, inner, choices = list[_Field](), list[tuple[str, _Object]](), list[Any]()
    for name, value in pattern.items():
        if name == _OR:
            choices.append(_compile_choices(value, path))
            continue
        if in_or and name in OPERATORS:
            raise InvalidPattern(
                f"{name} is Ruler reserved fieldName which cannot be used inside $or."
            )
        here = (*path, name)
        if isinstance(value, dict):
            inner.append((name, _compile(cast("dict[str, Any]", value), here, in_or=in_or)))
        elif isinstance(value, list):
            fields.append(_Field(name, here, compile_alternatives(cast("list[Any]", value))))
        else:
            raise InvalidPattern(f'"{name}" must be an object or an array')
    return _Object(tuple(fields), tuple(inner), tuple(choices))


def _compile_choices(value: Any, path: tuple[str, ...]) -> tuple[_Object, ...]:
    if not isinstance(value, list):
        raise InvalidPattern("It must be an Array followed with $or.")
    choices: list[_Object] = []
    for choice in cast("list[Any]", value):
        if not isinstance(choice, dict):
            raise InvalidPattern("Only JSON object is allowed in array of $or relationship.")
        choices.append(_compile(cast("dict[str, Any]", choice), path, in_or=True))
    if len(choices) < 2:
        raise InvalidPattern("There must have at least 2 Objects in $or relationship.")
    return tuple(choices)


class _Matching:
    """One event being looked at."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = event
        self._there: dict[tuple[str, ...], bool] = {}

    def takes(self, asked: _Object, found: Mapping[str, Any]) -> bool:
        return (
            all(self._takes_field(field, found) for field in asked.fields)
            and all(self._takes_inner(name, part, found) for name, part in asked.inner)
            and all(any(self.takes(one, found) for one in choice) for choice in asked.choices)
        )

    def _takes_inner(self, name: str, asked: _Object, found: Mapping[str, Any]) -> bool:
        objects = _objects(found.get(name))
        # What is not there may be what is asked for: {"exists": false}.
        return any(self.takes(asked, each) for each in objects or ({},))

    def _takes_field(self, field: _Field, found: Mapping[str, Any]) -> bool:
        if field.asked.absent and not self._is_there(field.path):
            return True
        return field.name in found and any(map(field.asked.take, _leaves(found[field.name])))

    def _is_there(self, path: tuple[str, ...]) -> bool:
        """Whether any element of the event has the field, with a value that is no object."""
        if path not in self._there:
            here: list[Mapping[str, Any]] = [self._event]
            for name in path[:-1]:
                here = [inner for each in here for inner in _objects(each.get(name))]
            name = path[-1]
            self._there[path] = any(
                True for each in here if name in each for _ in _leaves(each[name])
            )
        return self._there[path]


def _flat(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        yield value
        return
    left = [iter(cast("list[Any]", value))]
    while left:
        for each in left[-1]:
            if isinstance(each, list):
                left.append(iter(cast("list[Any]", each)))
                break
            yield each
        else:
            left.pop()


def _leaves(value: Any) -> Iterator[Any]:
    return (each for each in _flat(value) if not isinstance(each, dict))


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    return [cast("dict[str, Any]", each) for each in _flat(value) if isinstance(each, dict)]
