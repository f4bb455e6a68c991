"""Metric filters: events that match become values of a metric."""

import re
from collections.abc import Mapping
from typing import Any, Final

from outcrop.logs.pattern_json import parse_selector
from outcrop.logs.pattern_values import InvalidPattern, find_number
from outcrop.services.call import Call
from outcrop.services.logs.filtering import read_pattern
from outcrop.services.logs.group_filters import delete_filter, put_filter
from outcrop.services.logs.references import (
    get_group,
    group_place,
    invalid_parameter,
    paged,
    refuse,
)
from outcrop.services.offload import read_beside
from outcrop.services.operation import operation
from outcrop.stores.log_records import MetricFilter, Transformation
from outcrop.stores.resources import Item
from outcrop.stores.tables import to_ms

_MOST: Final = 100
_MOST_DIMENSIONS: Final = 3
_COLUMN: Final = re.compile(r"\$[A-Za-z0-9_\-]+")
_REFUSED: Final = (
    *("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFieldDimensions"),
)


@operation
async def put_metric_filter(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, *_REFUSED)
    read_pattern(params["filterPattern"])
    metric = _transformation(params["metricTransformations"][0])
    record = MetricFilter(name=params["filterName"], pattern=params["filterPattern"], metric=metric)
    return await put_filter(call, params, record, _MOST)


@operation
async def describe_metric_filters(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, namespace = params.get("metricName"), params.get("metricNamespace")
    if (name is None) != (namespace is None):
        raise invalid_parameter("metricName and metricNamespace must be given together.")
    async with call.stores.resources.reading() as view:
        if "logGroupName" in params:
            await get_group(view, group_place(call, params))
        filters = await view.list(MetricFilter, account=call.account, region=call.region)
    found = [
        _described(each)
        for each in filters
        if each.parent == params.get("logGroupName", each.parent)
        and each.record.name.startswith(params.get("filterNamePrefix", ""))
        and (
            name is None
            or (each.record.metric.name, each.record.metric.namespace) == (name, namespace)
        )
    ]
    return paged(call, params, found)


@operation
async def delete_metric_filter(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await delete_filter(call, params, MetricFilter, "metric")


@operation
async def test_metric_filter(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    pattern = read_pattern(params["filterPattern"])
    messages = params["logEventMessages"]

    def match() -> list[dict[str, Any]]:
        extracted = [pattern.extract(message) for message in messages]
        return [
            {"eventNumber": number, "eventMessage": message, "extractedValues": values}
            for number, (message, values) in enumerate(zip(messages, extracted, strict=True), 1)
            if values is not None
        ]

    return {"matches": await read_beside(sum(map(len, messages)), match)}


def _transformation(given: Mapping[str, Any]) -> Transformation:
    dimensions: dict[str, str] = given.get("dimensions") or {}
    value, default = given["metricValue"], given.get("defaultValue")
    if not given["metricName"] or not given["metricNamespace"]:
        raise invalid_parameter("A metric has a name and a namespace.")
    if given["metricNamespace"].startswith("AWS/"):
        raise invalid_parameter("The namespace of a metric filter cannot begin with AWS/.")
    if default is not None and dimensions:
        raise invalid_parameter(
            "Invalid metric transformation: dimensions and default value are mutually exclusive "
            "properties."
        )
    if len(dimensions) > _MOST_DIMENSIONS:
        raise invalid_parameter(f"A metric filter has at most {_MOST_DIMENSIONS} dimensions.")
    if find_number(value) is None and not _is_selector(value):
        raise invalid_parameter(f"Invalid metric transformation: {value!r} is not a metric value.")
    for name, selector in dimensions.items():
        if not name or not _is_selector(selector):
            raise invalid_parameter(
                f"Invalid metric transformation: the dimension {name!r} is no field of the event."
            )
    return Transformation(
        name=given["metricName"],
        namespace=given["metricNamespace"],
        value=value,
        default=default,
        unit=given.get("unit"),
        dimensions=dict(dimensions),
    )


def _is_selector(text: str) -> bool:
    if _COLUMN.fullmatch(text):
        return True
    try:
        parse_selector(text)
    except InvalidPattern:
        return False
    return True


def _described(item: Item[MetricFilter]) -> dict[str, Any]:
    metric = item.record.metric
    transformation = {
        "metricName": metric.name,
        "metricNamespace": metric.namespace,
        "metricValue": metric.value,
        "defaultValue": metric.default,
        "dimensions": metric.dimensions or None,
        "unit": metric.unit,
    }
    return {
        "filterName": item.record.name,
        "filterPattern": item.record.pattern,
        "metricTransformations": [
            {name: value for name, value in transformation.items() if value is not None}
        ],
        "creationTime": to_ms(item.created_at),
        "logGroupName": item.parent,
        "applyOnTransformedLogs": False,
    }
