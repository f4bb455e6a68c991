"""Runs a Logs Insights query over events, latest first: bounded rows, groups and values.

Fields of JSON events are there by their paths, ``input.inputTokenCount`` and ``messages.0.role``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, cast

from outcrop.logs.insights_parser import MOST_ROWS
from outcrop.logs.insights_query import (
    Bin,
    Command,
    Dedup,
    Fields,
    Filter,
    Limit,
    Named,
    Parse,
    Sort,
    Stats,
)
from outcrop.logs.insights_sums import Sum, weight
from outcrop.logs.insights_tests import Find, Value, holds, number_of, text_of
from outcrop.logs.pattern_json import read_document
from outcrop.wire import json

MOST_GROUPS: Final = 10_000
MOST_VALUES: Final = 1_000_000
"""As ``insights_sums.weight`` counts them."""
MOST_CHARACTERS: Final = 128 * 1024 * 1024
"""Of the rows that a query holds on to."""
_ROW_CHARACTERS: Final = 100
_INDEX_DIGITS: Final = 6
_Order = tuple[int, float, str]
_YEAR_10000_MS: Final = 253_402_300_800_000
_TIMES: Final = ("@timestamp", "@ingestionTime")


class QueryTooLarge(Exception):
    """The query needs more than one may hold in memory."""


@dataclass(slots=True)
class Row:
    """An event, or a line of ``stats``. ``own`` wins over the event's JSON."""

    own: dict[str, Value]
    shown: Sequence[str] | None = None
    _document: Any = None
    _is_read: bool = False

    def find(self, name: str) -> Value:
        if name in self.own:
            return self.own[name]
        if not self._is_read:
            message = self.own.get("@message")
            self._document = read_document(message) if isinstance(message, str) else None
            self._is_read = True
        return _path(self._document, name)

    def keep(self) -> int:
        """How many characters it holds, once what was read of its JSON is let go."""
        self._document, self._is_read = None, False
        return _ROW_CHARACTERS + sum(
            len(each) for each in self.own.values() if isinstance(each, str)
        )


class Run:
    """``feed`` events latest first until ``is_done``, then take ``rows``."""

    def __init__(self, commands: Sequence[Command], limit: int = MOST_ROWS) -> None:
        self._stages = [_stage(command) for command in (*commands, Limit(limit))]
        _bound_sorts(self._stages)
        # What comes so far has passed the filters.
        self._counted = next(
            each for each in self._stages if isinstance(each, (_Limit, _Sort, _Stats))
        )
        self._rows: list[Row] = []
        self._characters = 0
        self._is_stopped = False
        self.matched = 0
        self._is_aggregated = any(isinstance(each, Stats) for each in commands)

    @property
    def is_done(self) -> bool:
        """Nothing that is still to come would change the rows."""
        for stage in self._stages:
            if isinstance(stage, (_Sort, _Stats)):
                return False
            if isinstance(stage, _Limit) and stage.left == 0:
                return True
        return False

    def stop(self) -> None:
        """Ends what runs in another thread after the row that it is at."""
        self._is_stopped = True

    def feed(self, events: Iterable[Mapping[str, Value]]) -> None:
        self._take((Row(dict(event)) for event in events), 0)

    def rows(self) -> list[list[dict[str, str]]]:
        """Field and value of each, as GetQueryResults gives them."""
        for number, stage in enumerate(self._stages):
            self._take(stage.end(), number + 1)
        return [self._rendered(row) for row in self._rows]

    def _take(self, rows: Iterable[Row], start: int) -> None:
        for row in self._through(rows, start):
            self._characters += row.keep()
            _require_little(self._characters)
            self._rows.append(row)

    def _through(self, rows: Iterable[Row], start: int) -> Iterator[Row]:
        """Those that pass all stages from ``start`` on."""
        for row in rows:
            if self._is_stopped:
                return
            passing: Row | None = row
            for stage in self._stages[start:]:
                if stage is self._counted and start == 0:
                    self.matched += 1
                passing = stage.take(passing)
                if passing is None:
                    break
            if passing is not None:
                yield passing

    def _rendered(self, row: Row) -> list[dict[str, str]]:
        if self._is_aggregated:
            names = list(row.shown if row.shown is not None else row.own)
        else:
            names = list(row.shown if row.shown is not None else ("@timestamp", "@message"))
            names = [*dict.fromkeys(names), "@ptr"]
        return [
            {"field": name, "value": text}
            for name in names
            if (text := _shown(name, row.find(name))) is not None
        ]


class _Stage(ABC):
    @abstractmethod
    def take(self, row: Row) -> Row | None:
        """What goes on to the next stage now."""

    def end(self) -> Iterable[Row]:
        return ()


@dataclass
class _Fields(_Stage):
    command: Fields

    def take(self, row: Row) -> Row:
        before = () if self.command.replaces else row.shown or ()
        for each in self.command.shown:
            if each.name != each.field.name:
                row.own[each.name] = row.find(each.field.name)
        row.shown = list(dict.fromkeys([*before, *(each.name for each in self.command.shown)]))
        return row


@dataclass
class _Filter(_Stage):
    command: Filter

    def take(self, row: Row) -> Row | None:
        return row if holds(self.command.test, row.find) else None


@dataclass
class _Parse(_Stage):
    command: Parse

    def take(self, row: Row) -> Row:
        text = text_of(row.find(self.command.field.name))
        found = _globbed(text, self.command.parts) if text is not None else None
        if found is not None:
            row.own.update(zip(self.command.names, found, strict=True))
        return row


@dataclass
class _Dedup(_Stage):
    command: Dedup
    seen: set[tuple[str | None, ...]] = field(default_factory=set[tuple[str | None, ...]])
    kept: int = 0

    def take(self, row: Row) -> Row | None:
        key = tuple(text_of(row.find(each.name)) for each in self.command.by)
        if key in self.seen:
            return None
        self.kept += sum(map(weight, key))
        if self.kept > MOST_VALUES:
            raise QueryTooLarge(f"dedup found more than {MOST_VALUES} different values")
        self.seen.add(key)
        return row


@dataclass
class _Limit(_Stage):
    left: int

    def take(self, row: Row) -> Row | None:
        if self.left == 0:
            return None
        self.left -= 1
        return row


@dataclass
class _Sort(_Stage):
    """Keeps no more rows than the limit that follows lets through, each with what it is sorted
    by."""

    command: Sort
    most: int = MOST_ROWS
    rows: list[tuple[Sequence[_Order], int, Row]] = field(
        default_factory=list["tuple[Sequence[_Order], int, Row]"]
    )
    characters: int = 0

    def take(self, row: Row) -> None:
        order = [_order(row.find(by.name)) for by, _ in self.command.by]
        size = row.keep()
        self.rows.append((order, size, row))
        self.characters += size
        if len(self.rows) >= 2 * self.most + 1000 or self.characters > MOST_CHARACTERS:
            self._shorten()
            _require_little(self.characters)

    def end(self) -> Iterable[Row]:
        self._shorten()
        return [row for _, _, row in self.rows]

    def _shorten(self) -> None:
        for number in reversed(range(len(self.command.by))):
            descending = self.command.by[number][1]
            self.rows.sort(key=lambda kept: kept[0][number], reverse=descending)
        del self.rows[self.most :]
        self.characters = sum(size for _, size, _ in self.rows)


@dataclass
class _Stats(_Stage):
    command: Stats
    groups: dict[tuple[str | None, ...], list[Sum]] = field(
        default_factory=dict[tuple[str | None, ...], list[Sum]]
    )
    kept: int = 0

    def take(self, row: Row) -> None:
        key = tuple(_group(each, row.find) for each in self.command.by)
        sums = self.groups.get(key)
        if sums is None:
            if len(self.groups) >= MOST_GROUPS:
                raise QueryTooLarge(f"stats found more than {MOST_GROUPS} groups")
            self.kept += sum(map(weight, key))
            sums = self.groups[key] = [Sum(each) for each in self.command.aggregates]
        for each in sums:
            self.kept += each.add(row.find)
        if self.kept > MOST_VALUES:
            raise QueryTooLarge(f"stats holds more than {MOST_VALUES} values")

    def end(self) -> Iterable[Row]:
        names = [each.name for each in self.command.by]
        if not self.groups and not self.command.by:
            self.groups[()] = [Sum(each) for each in self.command.aggregates]
        for key, sums in self.groups.items():
            own: dict[str, Value] = dict(zip(names, key, strict=True))
            own.update((each.aggregate.name, each.result()) for each in sums)
            yield Row(own)


def _stage(command: Command) -> _Stage:
    match command:
        case Fields():
            return _Fields(command)
        case Filter():
            return _Filter(command)
        case Sort():
            return _Sort(command)
        case Limit():
            return _Limit(command.rows)
        case Dedup():
            return _Dedup(command)
        case Parse():
            return _Parse(command)
        case Stats():
            return _Stats(command)


def _bound_sorts(stages: Sequence[_Stage]) -> None:
    for stage, following in pairwise(stages):
        if isinstance(stage, _Sort) and isinstance(following, _Limit):
            stage.most = following.left


def _group(by: Named | Bin, find: Find) -> str | None:
    if isinstance(by, Named):
        return _shown(by.name, find(by.field.name))
    at_ms = number_of(find("@timestamp"))
    return None if at_ms is None else render_time(at_ms, by.width_ms)


def _order(value: Value) -> _Order:
    """What is missing first, then numbers, then texts."""
    number = number_of(value)
    if number is not None:
        return (1, number, "")
    text = text_of(value)
    return (0, 0.0, "") if text is None else (2, 0.0, text)


def _shown(name: str, value: Value) -> str | None:
    if name in _TIMES and isinstance(value, (int, float)):
        return render_time(value) or text_of(value)
    return text_of(value)


def render_time(value: float, width_ms: int = 1) -> str | None:
    """Rounded down. None for what is no time: queries may call any number so."""
    if not 0 <= value < _YEAR_10000_MS:
        return None
    at_ms = int(value) // width_ms * width_ms
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}"


def _require_little(characters: int) -> None:
    if characters > MOST_CHARACTERS:
        raise QueryTooLarge(f"the rows have more than {MOST_CHARACTERS} characters")


def _globbed(text: str, parts: Sequence[str]) -> Sequence[str] | None:
    """What stands between the parts, each where it comes first. The last one takes the rest, where
    nothing follows it."""
    start = text.find(parts[0])
    if start < 0:
        return None
    at, found = start + len(parts[0]), list[str]()
    for part in parts[1:-1]:
        end = text.find(part, at)
        if end < 0:
            return None
        found.append(text[at:end])
        at = end + len(part)
    end = text.find(parts[-1], at) if parts[-1] else len(text)
    return None if end < 0 else [*found, text[at:end]]


def _path(document: Any, name: str) -> Value:
    """By the whole name, else by its parts."""
    if isinstance(document, dict) and name in document:
        return _scalar(cast("dict[str, Any]", document)[name])
    value = cast("Any", document)
    for part in name.split("."):
        if isinstance(value, dict) and part in value:
            value = cast("dict[str, Any]", value)[part]
        elif (
            isinstance(value, list)
            and part.isdecimal()
            and len(part) <= _INDEX_DIGITS
            and int(part) < len(cast("list[Any]", value))
        ):
            value = cast("list[Any]", value)[int(part)]
        else:
            return None
    return _scalar(value)


def _scalar(value: Any) -> Value:
    if isinstance(value, (dict, list)):
        return json.encode(cast("Any", value)).decode("utf-8", "replace")
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**53 else str(value)
    return value
