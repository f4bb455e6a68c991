"""Runs a Logs Insights query over events, latest first: bounded rows, groups and values.

Fields of JSON events are there by their paths, ``input.inputTokenCount`` and ``messages.0.role``.
"""

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, cast

from outcrop.logs.insights_parser import MOST_ROWS
from outcrop.logs.insights_query import (
    Aggregate,
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
from outcrop.logs.insights_tests import Find, Value, holds, number_of, text_of
from outcrop.logs.pattern_json import read_document
from outcrop.wire import json

MOST_GROUPS: Final = 10_000
MOST_VALUES: Final = 1_000_000
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

    def feed(self, events: Iterable[Mapping[str, Value]]) -> None:
        self._rows.extend(self._through((Row(dict(event)) for event in events), 0))

    def rows(self) -> list[list[dict[str, str]]]:
        """Field and value of each, as GetQueryResults gives them."""
        for number, stage in enumerate(self._stages):
            self._rows.extend(self._through(stage.end(), number + 1))
        return [self._rendered(row) for row in self._rows]

    def _through(self, rows: Iterable[Row], start: int) -> Iterator[Row]:
        """Those that pass all stages from ``start`` on."""
        for row in rows:
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


class _Stage:
    def take(self, row: Row) -> Row | None:
        """What goes on to the next stage now."""
        raise NotImplementedError

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
        found = self.command.regex.search(text) if text is not None else None
        if found is not None:
            row.own.update(zip(self.command.names, found.groups(), strict=True))
        return row


@dataclass
class _Dedup(_Stage):
    command: Dedup
    seen: set[tuple[str | None, ...]] = field(default_factory=set[tuple[str | None, ...]])

    def take(self, row: Row) -> Row | None:
        key = tuple(text_of(row.find(each.name)) for each in self.command.by)
        if key in self.seen:
            return None
        if len(self.seen) >= MOST_VALUES:
            raise QueryTooLarge(f"dedup found more than {MOST_VALUES} different rows")
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
    """Keeps no more rows than the limit that follows lets through."""

    command: Sort
    most: int = MOST_ROWS
    rows: list[Row] = field(default_factory=list[Row])

    def take(self, row: Row) -> None:
        self.rows.append(row)
        if len(self.rows) >= 2 * self.most + 1000:
            self.rows = list(self.end())

    def end(self) -> Iterable[Row]:
        rows = self.rows
        for by, descending in reversed(self.command.by):
            rows = sorted(rows, key=lambda row: _order(row.find(by.name)), reverse=descending)
        return rows[: self.most]


@dataclass
class _Stats(_Stage):
    command: Stats
    groups: dict[tuple[str | None, ...], "list[_Sum]"] = field(
        default_factory=dict["tuple[str | None, ...]", "list[_Sum]"]
    )
    kept: int = 0

    def take(self, row: Row) -> None:
        key = tuple(_group(each, row.find) for each in self.command.by)
        sums = self.groups.get(key)
        if sums is None:
            if len(self.groups) >= MOST_GROUPS:
                raise QueryTooLarge(f"stats found more than {MOST_GROUPS} groups")
            sums = self.groups[key] = [_Sum(each) for each in self.command.aggregates]
        for each in sums:
            self.kept += each.add(row.find)
        if self.kept > MOST_VALUES:
            raise QueryTooLarge(f"stats holds more than {MOST_VALUES} values")

    def end(self) -> Iterable[Row]:
        names = [each.name for each in self.command.by]
        if not self.groups and not self.command.by:
            self.groups[()] = [_Sum(each) for each in self.command.aggregates]
        for key, sums in self.groups.items():
            own: dict[str, Value] = dict(zip(names, key, strict=True))
            own.update((each.aggregate.name, each.result()) for each in sums)
            yield Row(own)


class _Sum:
    """One aggregate of one group."""

    def __init__(self, aggregate: Aggregate) -> None:
        self.aggregate = aggregate
        self._count = 0
        self._total = 0.0
        self._least: float | None = None
        self._most: float | None = None
        self._values: list[float] = []
        self._distinct: set[str] = set()

    def add(self, find: Find) -> int:
        """How many values it holds on to because of this one."""
        asked = self.aggregate
        if asked.field is None:
            self._count += 1
            return 0
        value = find(asked.field.name)
        text = text_of(value)
        if text is None:
            return 0
        if asked.function == "count":
            self._count += 1
            return 0
        if asked.function == "count_distinct":
            before = len(self._distinct)
            self._distinct.add(text)
            return len(self._distinct) - before
        number = number_of(value)
        return 0 if number is None else self._add_number(number)

    def _add_number(self, number: float) -> int:
        self._count += 1
        self._total += number
        self._least = number if self._least is None else min(self._least, number)
        self._most = number if self._most is None else max(self._most, number)
        if self.aggregate.function not in ("pct", "median"):
            return 0
        self._values.append(number)
        return 1

    def result(self) -> Value:
        match self.aggregate.function:
            case "count":
                return float(self._count)
            case "count_distinct":
                return float(len(self._distinct))
            case "sum":
                return self._total if self._count else None
            case "avg":
                return self._total / self._count if self._count else None
            case "min":
                return self._least
            case "max":
                return self._most
            case "pct":
                return _percentile(self._values, self.aggregate.percent)
            case "median":
                return _percentile(self._values, 50.0)


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


def _percentile(values: list[float], percent: float) -> float | None:
    """The nearest rank."""
    if not values:
        return None
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return heapq.nsmallest(rank, values)[-1] if rank < 100 else sorted(values)[rank - 1]


def _group(by: Named | Bin, find: Find) -> str | None:
    if isinstance(by, Named):
        return _shown(by.name, find(by.field.name))
    at_ms = number_of(find("@timestamp"))
    if at_ms is None:
        return None
    return render_time(int(at_ms) // by.width_ms * by.width_ms)


def _order(value: Value) -> tuple[int, float, str]:
    """What is missing first, then numbers, then texts."""
    number = number_of(value)
    if number is not None:
        return (1, number, "")
    text = text_of(value)
    return (0, 0.0, "") if text is None else (2, 0.0, text)


def _shown(name: str, value: Value) -> str | None:
    if name in _TIMES and isinstance(value, (int, float)):
        return render_time(int(value))
    return text_of(value)


def render_time(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}"


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
            and part.isdigit()
            and int(part[:6]) < len(cast("list[Any]", value))
        ):
            value = cast("list[Any]", value)[int(part[:6])]
        else:
            return None
    return _scalar(value)


def _scalar(value: Any) -> Value:
    if isinstance(value, (dict, list)):
        return json.encode(cast("Any", value)).decode("utf-8", "replace")
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**53 else str(value)
    return value
