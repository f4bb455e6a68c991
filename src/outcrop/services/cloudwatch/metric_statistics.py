"""GetMetricStatistics and GetMetricData: what became of metrics over time."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from outcrop.metrics.math import Line
from outcrop.metrics.points import Point
from outcrop.metrics.queries import BadQuery, Owner, evaluate, is_period, parse_queries
from outcrop.metrics.retention import DAY_S
from outcrop.metrics.statistics import Statistic, UnknownStatistic, parse_statistic
from outcrop.metrics.store import MINUTE_S, Span, find_series, read_points
from outcrop.services.call import Call
from outcrop.services.cloudwatch.metric_data import read_dimensions
from outcrop.services.cloudwatch.paging import page_of
from outcrop.services.cloudwatch.refusals import invalid, invalid_combination, invalid_value
from outcrop.services.operation import operation

_MOST_DATAPOINTS: Final = 1440
_MOST_QUERIES: Final = 500
_MOST_RETURNED: Final = 100_800
_SPAN_ERROR: Final = "The parameter StartTime must be less than the parameter EndTime."


@operation
async def get_metric_statistics(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    statistics = _statistics(params)
    span = _span(call, params)
    dimensions = read_dimensions(params.get("Dimensions", ()), "Request")
    await call.observing.catch_up()
    async with call.stores.resources.reading() as view:
        series = await find_series(
            view.connection,
            call.account,
            call.region,
            params["Namespace"],
            params["MetricName"],
            dimensions,
        )
        points = (
            {}
            if series is None
            else await read_points(view.connection, series, span, params.get("Unit"))
        )
    return {
        "Label": params["MetricName"],
        "Datapoints": [
            _datapoint(at_s, unit, point, statistics) for (at_s, unit), point in points.items()
        ],
    }


@operation
async def get_metric_data(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if params.get("LabelOptions", {}).get("Timezone", "+0000") not in ("+0000", "-0000"):
        raise invalid("The parameter LabelOptions.Timezone is not supported: labels are fixed.")
    wire: Sequence[Mapping[str, Any]] = params["MetricDataQueries"]
    if not wire:
        raise invalid("The parameter MetricDataQueries must contain at least 1 query.")
    if len(wire) > _MOST_QUERIES:
        raise invalid(
            f"The collection MetricDataQueries must not have a size greater than {_MOST_QUERIES}."
        )
    start_s, end_s = _bounds(params["StartTime"], params["EndTime"])
    if start_s >= end_s:
        raise invalid(_SPAN_ERROR)
    if start_s < 0:
        raise invalid("The parameter StartTime must not be before 1970.")
    if not 0 < params.get("MaxDatapoints", 1) <= _MOST_RETURNED:
        raise invalid(f"The parameter MaxDatapoints must be from 1 to {_MOST_RETURNED}.")
    await call.observing.catch_up()
    owner = Owner(call.account, call.region)
    try:
        queries = await asyncio.to_thread(parse_queries, wire, call.account)
        if not any(query.returns for query in queries):
            raise BadQuery("At least one of the queries must have ReturnData true.")
        async with call.stores.resources.reading() as view:
            found = await evaluate(view.connection, owner, queries, start_s, end_s)
    except BadQuery as error:
        raise invalid(str(error)) from error
    shown = {query.id for query in queries if query.returns}
    lines = [
        (each["Id"], line) for each in wire if each["Id"] in shown for line in found[each["Id"]]
    ]
    return _paged(call, params, lines)


def _paged(
    call: Call, params: Mapping[str, Any], lines: Sequence[tuple[str, Line]]
) -> dict[str, Any]:
    """Pages are counted in datapoints. The first one names every line."""
    descending = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    datapoints = [
        (number, at_s, line.values[at_s])
        for number, (_, line) in enumerate(lines)
        for at_s in sorted(line.values, reverse=descending)
    ]
    page = page_of(call, params, datapoints, "Datapoints", _MOST_RETURNED, "MaxDatapoints")
    shown: dict[int, list[tuple[int, float]]] = {}
    for number, at_s, value in page.pop("Datapoints"):
        shown.setdefault(number, []).append((at_s, value))
    results: list[dict[str, Any]] = []
    for number, (id, line) in enumerate(lines):
        own = shown.get(number, [])
        if not own and (line.values or "NextToken" in params):
            continue
        is_last = not line.values or own[-1][0] == (min if descending else max)(line.values)
        results.append(
            {
                "Id": id,
                "Label": line.label,
                "Timestamps": [_time(at_s) for at_s, _ in own],
                "Values": [value for _, value in own],
                "StatusCode": "Complete" if is_last else "PartialData",
            }
        )
    return {"MetricDataResults": results, "Messages": [], **page}


def _statistics(params: Mapping[str, Any]) -> list[Statistic]:
    plain, extended = params.get("Statistics", ()), params.get("ExtendedStatistics", ())
    if not plain and not extended:
        raise invalid_combination("Must specify either Statistics or ExtendedStatistics.")
    if plain and extended:
        raise invalid_combination("Specify either Statistics or ExtendedStatistics, not both.")
    try:
        return [parse_statistic(name) for name in (*plain, *extended)]
    except UnknownStatistic as error:
        raise invalid_value(
            f"The value {error} for parameter ExtendedStatistics is not supported."
        ) from error


def _span(call: Call, params: Mapping[str, Any]) -> Span:
    period_s: int = params["Period"]
    if not is_period(period_s):
        raise invalid_value(
            f"The value {period_s} for parameter Period is not valid: it is 1, 5, 10, 20, 30 or a "
            "multiple of 60."
        )
    start_s, end_s = _bounds(params["StartTime"], params["EndTime"])
    if start_s >= end_s:
        raise invalid_combination(_SPAN_ERROR)
    count = -(-(end_s - start_s) // period_s)
    if count > _MOST_DATAPOINTS:
        raise invalid_combination(
            f"You have requested up to {count} datapoints, which exceeds the limit of "
            f"{_MOST_DATAPOINTS}. You may reduce the datapoints requested by increasing Period, or "
            "decreasing the time range."
        )
    return Span(start_s - start_s % _grain_s(call.now, start_s, period_s), end_s, period_s)


def _grain_s(now: datetime, start_s: int, period_s: int) -> int:
    """The times of datapoints are counted from the start, rounded down the more the older it is.
    Source: StartTime of GetMetricStatistics in the API reference."""
    if period_s < MINUTE_S:
        return period_s
    age_days = (now.timestamp() - start_s) / DAY_S
    if age_days > 63:
        return 3600
    return 300 if age_days > 15 else MINUTE_S


def _bounds(start: datetime, end: datetime) -> tuple[int, int]:
    return math.floor(start.timestamp()), math.ceil(end.timestamp())


def _datapoint(
    at_s: int, unit: str, point: Point, statistics: Sequence[Statistic]
) -> dict[str, Any]:
    rendered: dict[str, Any] = {"Timestamp": _time(at_s), "Unit": unit}
    for statistic in statistics:
        value = statistic.of(point)
        if value is None:
            continue
        if statistic.share is None:
            rendered[statistic.name] = value
        else:
            rendered.setdefault("ExtendedStatistics", {})[statistic.name] = value
    return rendered


def _time(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
