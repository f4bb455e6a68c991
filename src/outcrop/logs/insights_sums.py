"""The aggregates of ``stats``, and how much of what they hold on to counts."""

import heapq
import math
from typing import Final

from outcrop.logs.insights_query import Aggregate
from outcrop.logs.insights_tests import Find, Value, number_of, text_of

_CHARACTERS: Final = 16


def weight(text: str | None) -> int:
    """A value counts once, a long text as often as it is long."""
    return 1 + len(text or "") // _CHARACTERS


class Sum:
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
        """How much it holds on to because of this one, as ``weight`` counts."""
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
            if text in self._distinct:
                return 0
            self._distinct.add(text)
            return weight(text)
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


def _percentile(values: list[float], percent: float) -> float | None:
    """The nearest rank."""
    if not values:
        return None
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return heapq.nsmallest(rank, values)[-1] if rank < 100 else sorted(values)[rank - 1]
