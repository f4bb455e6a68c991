"""What metric filters measure, written to CloudWatch's metrics in the transaction that keeps the
events: each event counts once."""

from collections.abc import Iterable, Sequence
from typing import Final

from outcrop.metrics.points import Dimensions, Point, Sample
from outcrop.metrics.store import MINUTE_S, add
from outcrop.services.logs.filtering import Measured
from outcrop.stores.log_records import LogGroup, Transformation
from outcrop.stores.resources import Item, Transaction

_NO_UNIT: Final = "None"

_Series = tuple[str, str, Dimensions, str, int]
"""Namespace, name, dimensions, unit and minute."""


async def write_values(
    transaction: Transaction,
    group: Item[LogGroup],
    metrics: Iterable[Transformation],
    events: Sequence[tuple[Sequence[Measured], int]],
) -> None:
    """``events`` are those that were written, with their times in milliseconds. A filter with a
    default value counts it once for each minute in which none of them matched."""
    counts: dict[_Series, dict[float, float]] = {}
    measured_in: set[tuple[str, str, int]] = set()
    for values, at_ms in events:
        minute = _minute(at_ms)
        for each in values:
            measured_in.add((each.metric.namespace, each.metric.name, minute))
            _count(counts, each, minute)
    minutes = {_minute(at_ms) for _, at_ms in events}
    for metric in metrics:
        if metric.default is not None:
            for minute in minutes:
                if (metric.namespace, metric.name, minute) not in measured_in:
                    _count(counts, Measured(metric, metric.default), minute)
    by_namespace: dict[str, list[Sample]] = {}
    for (namespace, name, dimensions, unit, minute), values in counts.items():
        sample = Sample(name, dimensions, minute, unit, Point.of(values))
        by_namespace.setdefault(namespace, []).append(sample)
    place = group.place
    for namespace, samples in by_namespace.items():
        await add(transaction.connection, place.account, place.region, namespace, samples)


def _minute(at_ms: int) -> int:
    return at_ms // 1000 // MINUTE_S * MINUTE_S


def _count(counts: dict[_Series, dict[float, float]], measured: Measured, minute: int) -> None:
    metric = measured.metric
    unit = metric.unit or _NO_UNIT
    series = (metric.namespace, metric.name, measured.dimensions, unit, minute)
    values = counts.setdefault(series, {})
    values[measured.value] = values.get(measured.value, 0) + 1
