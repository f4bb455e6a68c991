"""Queries for metrics: single ones, and math over them. What GetMetricData and alarms ask.

Queries are read from their wire form once, which refuses what is wrong with them, and evaluated
over a span of time. Points of one metric that have different units count together, unless the
query names the unit.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.metrics.math import Budget, Line, Scope, Value, compute, require_functions
from outcrop.metrics.points import Dimensions, Point, merge, ordered
from outcrop.metrics.statistics import Statistic, UnknownStatistic, parse_statistic
from outcrop.metrics.store import MINUTE_S, Span, count_points, find_series, read_points
from outcrop.metrics.syntax import ExpressionError, Node, names_in, parse

SHORT_PERIODS: Final = (1, 5, 10, 20, 30)
_ROW_WORK: Final = 10
"""What a point of the database costs, in values that are looked at."""
_INSIGHTS = re.compile(r"\s*SELECT\b", re.IGNORECASE | re.ASCII)
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*", re.ASCII)


class BadQuery(Exception):
    """What is wrong with queries, as a sentence."""


@dataclass(frozen=True, slots=True)
class MetricStat:
    namespace: str
    name: str
    dimensions: Dimensions
    period_s: int
    statistic: Statistic
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One of ``stat`` and ``expression`` is there. ``period_s`` is what the expression's own period
    is said to be, 0 where nothing is said."""

    id: str
    label: str
    returns: bool
    stat: MetricStat | None = None
    expression: Node | None = None
    period_s: int = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose metrics are asked for, and where."""

    account: str
    region: str


def is_period(period_s: int) -> bool:
    return period_s in SHORT_PERIODS or (period_s >= MINUTE_S and period_s % MINUTE_S == 0)


def parse_queries(wire: Sequence[Mapping[str, Any]], account: str) -> list[Query]:
    """In an order in which each one's needs come before it."""
    queries = [
        _query(query, account, f"MetricDataQueries.member.{number}")
        for number, query in enumerate(wire, start=1)
    ]
    by_id = {query.id: query for query in queries}
    if len(by_id) < len(queries):
        raise BadQuery("The values for parameter id in MetricDataQueries are not unique.")
    needs = {
        query.id: set[str]() if query.expression is None else names_in(query.expression)
        for query in queries
    }
    for id, named in needs.items():
        missing = sorted(named - by_id.keys())
        if missing:
            raise BadQuery(
                f"Error in expression '{id}': There is no query with the ID {missing[0]!r}."
            )
    return _in_order(by_id, needs)


def parse_metric(
    metric: Mapping[str, Any], stat: str, period_s: int, where: str, unit: str | None = None
) -> MetricStat:
    """``where`` is the path of the parameter, for what is refused."""
    if not metric.get("Namespace") or not metric.get("MetricName"):
        raise BadQuery(f"The parameter {where}.Metric must have Namespace and MetricName.")
    if not is_period(period_s):
        raise BadQuery(
            f"The value {period_s} for parameter {where}.Period is not valid: it is 1, 5, 10, 20, "
            "30 or a multiple of 60."
        )
    try:
        statistic = parse_statistic(stat)
    except UnknownStatistic as error:
        raise BadQuery(f"The value {stat} for parameter {where}.Stat is not supported.") from error
    return MetricStat(
        namespace=metric["Namespace"],
        name=metric["MetricName"],
        dimensions=ordered({each["Name"]: each["Value"] for each in metric.get("Dimensions", ())}),
        period_s=period_s,
        statistic=statistic,
        unit=unit,
    )


async def evaluate(
    connection: AsyncConnection,
    owner: Owner,
    queries: Sequence[Query],
    start_s: int,
    end_s: int,
    *,
    slides: bool = False,
    budget: Budget | None = None,
) -> dict[str, list[Line]]:
    """The lines of each query by its ID; an expression may have several or none. Periods that
    slide are counted from the start, whatever it is."""
    budget = budget or Budget()
    found: dict[str, Value] = {}
    metrics: dict[str, Line] = {}
    for query in queries:
        if query.stat is not None:
            span = Scope({}, {}, start_s, end_s, slides=slides).span(query.stat.period_s)
            try:
                line = await _read(connection, owner, query, query.stat, span, budget)
            except ExpressionError as error:
                raise BadQuery(str(error)) from error
            found[query.id] = metrics[query.id] = line

    def compute_all() -> dict[str, list[Line]]:
        for query in queries:
            if query.expression is not None:
                scope = Scope(found, metrics, start_s, end_s, query.period_s, budget, slides)
                found[query.id] = _computed(query, query.expression, scope)
        return {query.id: _labelled(query, found[query.id]) for query in queries}

    # It may take a second of the processor.
    return await asyncio.to_thread(compute_all)


async def read_stat(
    connection: AsyncConnection,
    owner: Owner,
    stat: MetricStat,
    span: Span,
    budget: Budget | None = None,
) -> dict[int, Point]:
    """By time; of all units together where the query names none. Without a budget the span is
    known to be short."""
    series = await find_series(
        connection, owner.account, owner.region, stat.namespace, stat.name, stat.dimensions
    )
    if series is None:
        return {}
    if budget is not None:
        budget.look_at(_ROW_WORK * await count_points(connection, series, span))
    parts: dict[int, list[Point]] = {}
    for (at_s, _), point in (await read_points(connection, series, span, stat.unit)).items():
        parts.setdefault(at_s, []).append(point)
    return {at_s: merge(points) for at_s, points in parts.items()}


def _query(query: Mapping[str, Any], account: str, where: str) -> Query:
    id = query["Id"]
    if not _ID.fullmatch(id):
        raise BadQuery(
            f"The value {id} for parameter {where}.Id is not valid: it begins with a lowercase "
            "letter and has letters, digits and underscores."
        )
    if query.get("AccountId", account) != account:
        raise BadQuery(f"The parameter {where}.AccountId names another account: none is linked.")
    if ("MetricStat" in query) == ("Expression" in query):
        raise BadQuery(f"The parameter {where} must have exactly one of MetricStat and Expression.")
    returns = query.get("ReturnData", True)
    if "Expression" in query:
        return Query(
            id,
            query.get("Label", id),
            returns,
            expression=_expression(query["Expression"], id),
            period_s=_expression_period(query.get("Period", 0), where),
        )
    if "Period" in query:
        raise BadQuery(f"The parameter {where}.Period goes with an Expression only.")
    given = query["MetricStat"]
    stat = parse_metric(
        given["Metric"], given["Stat"], given["Period"], f"{where}.MetricStat", given.get("Unit")
    )
    return Query(id, query.get("Label", stat.name), returns, stat=stat)


def _expression(text: str, id: str) -> Node:
    if _INSIGHTS.match(text):
        raise BadQuery(
            f"Error in expression '{id}': Metrics Insights queries (SELECT) are not supported."
        )
    try:
        node = parse(text)
        require_functions(node)
    except ExpressionError as error:
        raise BadQuery(f"Error in expression '{id}': {error}") from error
    return node


def _expression_period(period_s: int, where: str) -> int:
    if period_s and not is_period(period_s):
        raise BadQuery(
            f"The value {period_s} for parameter {where}.Period is not valid: it is 1, 5, 10, 20, "
            "30 or a multiple of 60."
        )
    return period_s


def _in_order(by_id: Mapping[str, Query], needs: Mapping[str, set[str]]) -> list[Query]:
    sorter = TopologicalSorter({id: needs[id] for id in by_id})
    try:
        return [by_id[id] for id in sorter.static_order()]
    except CycleError as error:
        raise BadQuery(f"Error in expression '{error.args[1][0]}': It needs itself.") from error


async def _read(
    connection: AsyncConnection,
    owner: Owner,
    query: Query,
    stat: MetricStat,
    span: Span,
    budget: Budget,
) -> Line:
    points = await read_stat(connection, owner, stat, span, budget)
    values = {at_s: stat.statistic.of(point) for at_s, point in points.items()}
    known = {at_s: value for at_s, value in values.items() if value is not None}
    budget.spend(len(known))
    return Line(query.label, stat.period_s, known)


def _computed(query: Query, node: Node, scope: Scope) -> Value:
    try:
        value = compute(node, scope)
    except ExpressionError as error:
        raise BadQuery(f"Error in expression '{query.id}': {error}") from error
    for line in value if isinstance(value, list) else [value]:
        if isinstance(line, Line) and query.period_s not in (0, line.period_s):
            raise BadQuery(
                f"Error in expression '{query.id}': Its period is {line.period_s}, that of its "
                f"metrics, not {query.period_s}."
            )
    if isinstance(value, str):
        raise BadQuery(f"Error in expression '{query.id}': It is a text.")
    return value


def _labelled(query: Query, value: Value) -> list[Line]:
    """A single number is of use to other expressions only."""
    match value:
        case Line():
            return [Line(query.label, value.period_s, value.values)]
        case list():
            return [
                Line(f"{query.label} {line.label}", line.period_s, line.values) for line in value
            ]
        case _ if query.returns:
            raise BadQuery(
                f"Error in expression '{query.id}': It is a single value where a time series is "
                "returned. Set ReturnData to false, or use it in TIME_SERIES."
            )
        case _:
            return []
