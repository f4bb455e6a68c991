"""What metric math computes: numbers, lines (a value for each of some times) and arrays of lines.

A line has no value where one is missing that it needs, or where the result is no finite number.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final, cast

from outcrop.metrics.filling import linear, repeated
from outcrop.metrics.store import Span
from outcrop.metrics.syntax import (
    Array,
    Binary,
    ExpressionError,
    FunctionCall,
    Name,
    Node,
    Number,
    Text,
    Unary,
)

MOST_VALUES: Final = 500_000
"""Of all lines that one request computes."""
MOST_WORK: Final = 20_000_000
"""Values that one request looks at, whatever comes of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """``values`` are by time, in seconds since 1970, oldest first."""

    label: str
    period_s: int
    values: Mapping[int, float]


Value = float | str | Line | list[Line]
"""A text is what only functions take: a word, or what is to be found in labels."""


@dataclass(slots=True)
class Budget:
    """How many more values may be computed, and how many looked at."""

    left: int = MOST_VALUES
    work: int = MOST_WORK

    def spend(self, count: int) -> None:
        self.left -= count
        self.look_at(count)

    def look_at(self, count: int) -> None:
        self.work -= count
        if self.left < 0 or self.work < 0:
            raise ExpressionError(
                "It needs too many datapoints. Ask for a longer period or a shorter time."
            )


@dataclass(frozen=True, slots=True)
class Scope:
    """``lines`` are the results of the queries that an expression may name, ``metrics`` those of
    them that are metrics, in the request's order. ``start_s`` and ``end_s`` bound the request's
    time; periods begin at multiples of themselves, unless they slide with the start."""

    lines: Mapping[str, Value]
    metrics: Mapping[str, Line]
    start_s: int
    end_s: int
    period_s: int = 0
    budget: Budget = field(default_factory=Budget)
    slides: bool = False

    def span(self, period_s: int) -> Span:
        start_s = self.start_s if self.slides else self.start_s - self.start_s % period_s
        return Span(start_s, self.end_s, period_s)


def compute(node: Node, scope: Scope) -> Value:
    match node:
        case Number(value):
            return value
        case Text(value):
            return value
        case Name(name):
            return _named(name, scope)
        case Array(items):
            return [line for item in items for line in _lines(compute(item, scope))]
        case Unary(operand):
            return _arithmetic("-", 0.0, compute(operand, scope), scope)
        case Binary(sign, left, right):
            return _arithmetic(sign, compute(left, scope), compute(right, scope), scope)
        case FunctionCall(function, arguments):
            return _called(function, [compute(argument, scope) for argument in arguments], scope)


def _named(name: str, scope: Scope) -> Value:
    if name in scope.lines:
        return scope.lines[name]
    if name[0].islower():
        raise ExpressionError(f"There is no query with the ID {name!r}.")
    return name


def require_functions(node: Node) -> None:
    """Refuses functions that are not there, before anything is computed."""
    match node:
        case FunctionCall(function, arguments):
            _find_function(function, len(arguments))
            parts = arguments
        case Array(items):
            parts = items
        case Unary(operand):
            parts = (operand,)
        case Binary(_, left, right):
            parts = (left, right)
        case _:
            parts = ()
    for part in parts:
        require_functions(part)


def _called(function: str, arguments: "_Arguments", scope: Scope) -> Value:
    return _find_function(function, len(arguments))(arguments, scope)


def _find_function(name: str, arguments: int) -> "Callable[[_Arguments, Scope], Value]":
    found = _FUNCTIONS.get(name)
    if found is None:
        raise ExpressionError(f"There is no function {name!r} here.")
    fewest, most, call = found
    if not fewest <= arguments <= most:
        raise ExpressionError(f"{name} does not take {arguments} arguments.")
    return call


def _lines(value: Value) -> list[Line]:
    match value:
        case Line():
            return [value]
        case list():
            return value
        case _:
            raise ExpressionError(f"{_kind(value)} is given where a time series is wanted.")


def _kind(value: Value) -> str:
    match value:
        case str():
            return f"The text {value!r}"
        case Line():
            return "A time series"
        case list():
            return "An array"
        case _:
            return "A number"


def _line(value: Value) -> Line:
    if not isinstance(value, Line):
        raise ExpressionError(f"{_kind(value)} is given where one time series is wanted.")
    return value


def _power(left: float, right: float) -> float:
    try:
        result: Any = left**right
    except (OverflowError, ZeroDivisionError):
        return math.nan
    return math.nan if isinstance(result, complex) else cast(float, result)


_SIGNS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else math.nan,
    "^": _power,
    "<": lambda left, right: float(left < right),
    ">": lambda left, right: float(left > right),
    "<=": lambda left, right: float(left <= right),
    ">=": lambda left, right: float(left >= right),
    "==": lambda left, right: float(left == right),
    "!=": lambda left, right: float(left != right),
    "AND": lambda left, right: float(bool(left) and bool(right)),
    "OR": lambda left, right: float(bool(left) or bool(right)),
}


def _arithmetic(sign: str, left: Value, right: Value, scope: Scope) -> Value:
    if isinstance(left, list) and isinstance(right, list):
        raise ExpressionError(f"{sign!r} does not take two arrays.")
    if isinstance(left, list):
        return [_line(_arithmetic(sign, line, right, scope)) for line in left]
    if isinstance(right, list):
        return [_line(_arithmetic(sign, left, line, scope)) for line in right]
    return _join(_SIGNS[sign], (left, right), scope)


def _join(function: Callable[..., float], values: Sequence[Value], scope: Scope) -> float | Line:
    """A number of numbers; a line where any is one, at the times that all lines have."""
    if any(isinstance(value, str) for value in values):
        raise ExpressionError("A text is given where a number or a time series is wanted.")
    lines = [value for value in values if isinstance(value, Line)]
    if not lines:
        return function(*values)
    scope.budget.look_at(len(lines) * len(lines[0].values))
    times: Iterable[int] = lines[0].values
    for line in lines[1:]:
        times = [at_s for at_s in times if at_s in line.values]
    columns = [value.values if isinstance(value, Line) else None for value in values]
    joined: dict[int, float] = {}
    for at_s in times:
        row = [
            column[at_s] if column is not None else value
            for column, value in zip(columns, values, strict=True)
        ]
        joined[at_s] = function(*row)
    return _made(lines[0].label, max(line.period_s for line in lines), joined, scope)


def _made(label: str, period_s: int, values: Mapping[int, float], scope: Scope) -> Line:
    scope.budget.spend(len(values))
    finite = {at_s: value for at_s, value in values.items() if math.isfinite(value)}
    return Line(label, period_s, finite)


_Arguments = Sequence[Value]


def _each(function: Callable[[float], float]) -> Callable[[_Arguments, Scope], Value]:
    function = _finite(function)

    def call(arguments: _Arguments, scope: Scope) -> Value:
        (value,) = arguments
        if isinstance(value, list):
            return [_line(_join(function, [line], scope)) for line in value]
        return _join(function, [value], scope)

    return call


def _finite(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda value: function(value) if math.isfinite(value) else math.nan


def _summary(
    function: Callable[[Sequence[float]], float],
) -> Callable[[_Arguments, Scope], Value]:
    """Of one line a number; of an array a line, at the times that any of its lines has."""

    def call(arguments: _Arguments, scope: Scope) -> Value:
        (value,) = arguments
        if isinstance(value, Line):
            values = list(value.values.values())
            scope.budget.look_at(len(values))
            return function(values) if values else math.nan
        lines = _lines(value)
        scope.budget.look_at(sum(len(line.values) for line in lines))
        columns: dict[int, list[float]] = {}
        for line in lines:
            for at_s, number in line.values.items():
                columns.setdefault(at_s, []).append(number)
        period_s = max((line.period_s for line in lines), default=scope.period_s)
        label = lines[0].label if lines else ""
        made = {at_s: function(columns[at_s]) for at_s in sorted(columns)}
        return _made(label, period_s, made, scope)

    return call


def _metrics(arguments: _Arguments, scope: Scope) -> Value:
    if not arguments:
        return list(scope.metrics.values())
    (wanted,) = arguments
    if not isinstance(wanted, str):
        raise ExpressionError("METRICS takes the text that the IDs of metrics are to contain.")
    return [line for id, line in scope.metrics.items() if wanted in id]


def _fill(arguments: _Arguments, scope: Scope) -> Value:
    value, filling = arguments
    if isinstance(value, list):
        return [_line(_fill([line, filling], scope)) for line in value]
    line = _line(value)
    if line.period_s == 0:
        return line
    span = scope.span(line.period_s)
    times = range(span.start_s, span.end_s, span.period_s)
    scope.budget.spend(len(times))
    if filling == "REPEAT":
        return replace(line, values=repeated(line.values, times))
    if filling == "LINEAR":
        filled = linear(line.values, times)
        return replace(
            line, values={s: value for s, value in filled.items() if math.isfinite(value)}
        )
    if isinstance(filling, Line):
        others = filling.values
        filled = {at_s: line.values.get(at_s, others.get(at_s, math.nan)) for at_s in times}
    elif isinstance(filling, float):
        filled = {at_s: line.values.get(at_s, filling) for at_s in times}
    else:
        raise ExpressionError("FILL takes a number, a time series, REPEAT or LINEAR.")
    return _made(line.label, line.period_s, filled, scope)


def _steps(
    function: Callable[[float, int], float],
) -> Callable[[_Arguments, Scope], Value]:
    """From each value to the next: the difference and the seconds in between."""

    def call(arguments: _Arguments, scope: Scope) -> Value:
        (value,) = arguments
        if isinstance(value, list):
            return [_line(call([line], scope)) for line in value]
        line = _line(value)
        times = list(line.values)
        stepped = {
            at_s: function(line.values[at_s] - line.values[before], at_s - before)
            for before, at_s in pairwise(times)
        }
        return _made(line.label, line.period_s, stepped, scope)

    return call


def _if(arguments: _Arguments, scope: Scope) -> Value:
    """Without a third argument there is no value where the condition does not hold."""
    condition, then, *rest = arguments
    other: Value = rest[0] if rest else math.nan
    if isinstance(condition, float) and math.isfinite(condition):
        return then if condition else other
    if any(isinstance(value, list) for value in arguments):
        raise ExpressionError("IF takes no arrays.")
    if isinstance(condition, Line):
        return _chosen(condition, then, other, scope)
    raise ExpressionError(f"{_kind(condition)} is given where a condition is wanted.")


def _chosen(condition: Line, then: Value, other: Value, scope: Scope) -> Line:
    chosen: dict[int, float] = {}
    for at_s, holds in condition.values.items():
        value = then if holds else other
        if isinstance(value, Line):
            value = value.values.get(at_s, math.nan)
        if not isinstance(value, float):
            raise ExpressionError("IF takes numbers and time series.")
        chosen[at_s] = value
    return _made(condition.label, condition.period_s, chosen, scope)


def _period(arguments: _Arguments, _scope: Scope) -> Value:
    return float(_line(arguments[0]).period_s)


def _time_series(arguments: _Arguments, scope: Scope) -> Value:
    (value,) = arguments
    if not isinstance(value, float):
        raise ExpressionError("TIME_SERIES takes a number.")
    period_s = scope.period_s or max(
        (line.period_s for line in scope.metrics.values()), default=300
    )
    span = scope.span(period_s)
    times = range(span.start_s, span.end_s, span.period_s)
    # Before it is made: a range may be of any length.
    scope.budget.spend(len(times))
    return _made("", period_s, dict.fromkeys(times, value), scope)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_FUNCTIONS: Final[Mapping[str, tuple[int, int, Callable[[_Arguments, Scope], Value]]]] = {
    "ABS": (1, 1, _each(abs)),
    "AVG": (1, 1, _summary(_mean)),
    "CEIL": (1, 1, _each(lambda value: float(math.ceil(value)))),
    "DIFF": (1, 1, _steps(lambda difference, _seconds: difference)),
    "FILL": (2, 2, _fill),
    "FLOOR": (1, 1, _each(lambda value: float(math.floor(value)))),
    "IF": (2, 3, _if),
    "MAX": (1, 1, _summary(max)),
    "METRICS": (0, 1, _metrics),
    "MIN": (1, 1, _summary(min)),
    "PERIOD": (1, 1, _period),
    "RATE": (1, 1, _steps(lambda difference, seconds: difference / seconds)),
    "SUM": (1, 1, _summary(sum)),
    "TIME_SERIES": (1, 1, _time_series),
}
"""The fewest and the most arguments, and what it computes."""
