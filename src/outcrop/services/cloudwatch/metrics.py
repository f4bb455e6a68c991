"""Metrics as they are listed: by name, namespace and dimensions."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from outcrop.metrics.store import Series, list_series
from outcrop.services.call import Call
from outcrop.services.cloudwatch.paging import page_of
from outcrop.services.cloudwatch.refusals import invalid_value
from outcrop.services.operation import operation

_LISTED: Final = timedelta(weeks=2)
_RECENT: Final = timedelta(hours=3)
_PAGE: Final = 500


@operation
async def list_metrics(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    owner = params.get("OwningAccount", call.account)
    if owner != call.account:
        raise invalid_value(
            "The parameter OwningAccount names another account: none is linked to this one."
        )
    await call.observing.catch_up()
    age = _RECENT if "RecentlyActive" in params else _LISTED
    async with call.stores.resources.reading() as view:
        series = await list_series(
            view.connection,
            call.account,
            call.region,
            namespace=params.get("Namespace"),
            name=params.get("MetricName"),
            since_s=int((call.now - age).timestamp()),
        )
    found = [each for each in series if _fits(each, params)]
    answer = page_of(call, params, [_rendered(each) for each in found], "Metrics", _PAGE)
    if params.get("IncludeLinkedAccounts"):
        # None is linked: all of them are the account's own.
        answer["OwningAccounts"] = [call.account] * len(answer["Metrics"])
    return answer


def _fits(series: Series, params: Mapping[str, Any]) -> bool:
    dimensions = dict(series.dimensions)
    return all(
        filter["Name"] in dimensions
        and filter.get("Value", dimensions[filter["Name"]]) == dimensions[filter["Name"]]
        for filter in params.get("Dimensions", ())
    )


def _rendered(series: Series) -> dict[str, Any]:
    return {
        "Namespace": series.namespace,
        "MetricName": series.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
    }
