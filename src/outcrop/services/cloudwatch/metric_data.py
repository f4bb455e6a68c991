"""PutMetricData: samples of metrics of one's own."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from outcrop.metrics.points import Dimensions, Point, Sample, ordered
from outcrop.metrics.store import MINUTE_S, add
from outcrop.services.call import Call
from outcrop.services.cloudwatch.refusals import (
    invalid_combination,
    invalid_value,
    missing,
    refuse,
)
from outcrop.services.operation import operation

_MOST_DATA: Final = 1000
_MOST_VALUES: Final = 150
_LARGEST: Final = 2.0**360
_OLDEST: Final = timedelta(weeks=2)
_NEWEST: Final = timedelta(hours=2)
_RESERVED: Final = "AWS/"
_VALUES: Final = ("Value", "Values", "StatisticValues")


@operation
async def put_metric_data(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    namespace: str = params["Namespace"]
    if namespace.startswith(_RESERVED):
        raise invalid_value(f"The value {namespace} for parameter Namespace is invalid.")
    refuse(params, "EntityMetricData", "StrictEntityValidation")
    data: Sequence[Mapping[str, Any]] = params.get("MetricData", ())
    if not data:
        raise missing("The parameter MetricData is required.")
    if len(data) > _MOST_DATA:
        raise invalid_value(
            f"The collection MetricData must not have a size greater than {_MOST_DATA}."
        )
    samples = [
        _sample(datum, f"MetricData.member.{number}", call.now)
        for number, datum in enumerate(data, start=1)
    ]
    async with call.stores.resources.writing() as transaction:
        await add(transaction.connection, call.account, call.region, namespace, samples)
    return {}


def _sample(datum: Mapping[str, Any], where: str, now: datetime) -> Sample:
    resolution_s = datum.get("StorageResolution", MINUTE_S)
    if resolution_s not in (1, MINUTE_S):
        raise invalid_value(
            f"The value {resolution_s} for parameter {where}.StorageResolution is invalid: it is 1 "
            f"or {MINUTE_S}."
        )
    return Sample(
        name=datum["MetricName"],
        dimensions=read_dimensions(datum.get("Dimensions", ()), where),
        at_s=math.floor(_timestamp(datum, where, now).timestamp()),
        unit=datum.get("Unit", "None"),
        point=_point(datum, where),
        resolution_s=resolution_s,
    )


def read_dimensions(dimensions: Sequence[Mapping[str, str]], where: str) -> Dimensions:
    read = {each["Name"]: each["Value"] for each in dimensions}
    if len(read) < len(dimensions):
        raise invalid_value(f"The parameter {where}.Dimensions names a dimension twice.")
    return ordered(read)


def _timestamp(datum: Mapping[str, Any], where: str, now: datetime) -> datetime:
    at: datetime = datum.get("Timestamp", now)
    if at < now - _OLDEST:
        raise invalid_value(
            f"The parameter {where}.Timestamp must specify a time no more than two weeks in the "
            "past."
        )
    if at > now + _NEWEST:
        raise invalid_value(
            f"The parameter {where}.Timestamp must specify a time no more than two hours in the "
            "future."
        )
    return at


def _point(datum: Mapping[str, Any], where: str) -> Point:
    given = [name for name in _VALUES if datum.get(name) is not None]
    if not given:
        raise missing(
            f"One of the parameters {where}.Value, {where}.Values and {where}.StatisticValues must "
            "be specified."
        )
    if len(given) > 1:
        raise invalid_combination(
            f"The parameters {where}.{given[0]} and {where}.{given[1]} are mutually exclusive and "
            "you have specified both."
        )
    if given[0] == "StatisticValues":
        return _summary(datum["StatisticValues"], f"{where}.StatisticValues")
    if given[0] == "Values":
        return _values(datum, where)
    if "Counts" in datum:
        raise invalid_combination(f"The parameter {where}.Counts goes with Values only.")
    return Point.of({_number(datum["Value"], f"{where}.Value"): 1})


def _values(datum: Mapping[str, Any], where: str) -> Point:
    values: Sequence[float] = datum["Values"]
    counts: Sequence[float] = datum.get("Counts", [1.0] * len(values))
    if len(values) != len(counts):
        raise invalid_value(
            f"The parameters {where}.Values and {where}.Counts must be of the same size."
        )
    if len(values) > _MOST_VALUES:
        raise invalid_value(
            f"The collection {where}.Values must not have a size greater than {_MOST_VALUES}."
        )
    read: dict[float, float] = {}
    for number, (value, count) in enumerate(zip(values, counts, strict=True), start=1):
        value = _number(value, f"{where}.Values.member.{number}")
        count = _number(count, f"{where}.Counts.member.{number}")
        if count < 0:
            raise invalid_value(f"The value {count} for parameter {where}.Counts is invalid.")
        if count:
            read[value] = read.get(value, 0) + count
    if not read:
        raise invalid_value(f"The parameter {where}.Values must have a value that came once.")
    return Point.of(read)


def _summary(given: Mapping[str, float], where: str) -> Point:
    names = ("SampleCount", "Sum", "Minimum", "Maximum")
    samples, total, least, most = (_number(given[name], f"{where}.{name}") for name in names)
    if samples <= 0:
        raise invalid_value(f"The value {samples} for parameter {where}.SampleCount is invalid.")
    if least > most:
        raise invalid_value(f"The parameter {where}.Minimum must not exceed {where}.Maximum.")
    # Of samples that were all the same, everything is known.
    histogram = {least: samples} if least == most else {}
    return Point(samples, total, least, most, histogram)


def _number(value: float, where: str) -> float:
    if not abs(value) <= _LARGEST:
        shown = "NaN" if math.isnan(value) else value
        raise invalid_value(f"The value {shown} for parameter {where} is invalid.")
    return float(value)
