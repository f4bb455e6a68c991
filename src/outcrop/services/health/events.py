"""AWS Health: the operational issues of this deployment, as the gateway saw them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.health_records import ISSUE_CODES, HealthEventRecord
from outcrop.stores.resources import Item
from outcrop.wire.paging import page

Event = Item[HealthEventRecord]


@operation
async def describe_events(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _check_locale(params)
    events = _selected(await _events(call), params.get("filter", {}))
    return page(call.operation, params, [_event(each) for each in events])


@operation
async def describe_event_aggregates(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    events = _selected(await _events(call), params.get("filter", {}))
    counts: dict[str, int] = {}
    for each in events:
        counts[each.record.category] = counts.get(each.record.category, 0) + 1
    aggregates = [{"aggregateValue": name, "count": count} for name, count in counts.items()]
    return page(call.operation, params, aggregates)


@operation
async def describe_event_details(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _check_locale(params)
    by_arn = {_arn(each): each for each in await _events(call)}
    arns: Sequence[str] = params["eventArns"]
    return {
        "successfulSet": [_details(by_arn[arn]) for arn in arns if arn in by_arn],
        "failedSet": [_missing(arn) for arn in arns if arn not in by_arn],
    }


@operation
async def describe_affected_entities(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _check_locale(params)
    wanted = params["filter"]
    entities = [
        entity
        for each in await _events(call)
        if _arn(each) in wanted["eventArns"]
        for entity in _entities(each, call.account)
    ]
    for member, name in (
        ("entityValue", "entityValues"),
        ("entityArn", "entityArns"),
        ("statusCode", "statusCodes"),
    ):
        if name in wanted:
            entities = [entity for entity in entities if entity.get(member) in wanted[name]]
    return page(call.operation, params, entities)


@operation
async def describe_event_types(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _check_locale(params)
    wanted = params.get("filter", {})
    types = [
        {"service": service, "code": code, "category": "issue"}
        for service, code in ISSUE_CODES.items()
        if service in wanted.get("services", (service,))
        and code in wanted.get("eventTypeCodes", (code,))
        and "issue" in wanted.get("eventTypeCategories", ("issue",))
    ]
    return page(call.operation, params, types)


def _check_locale(params: Mapping[str, Any]) -> None:
    locale = params.get("locale", "en")
    if locale != "en":
        raise ServiceError("UnsupportedLocale", f"The locale {locale!r} is not supported.")


async def _events(call: Call) -> list[Event]:
    """The newest first."""
    async with call.stores.resources.reading() as view:
        events = await view.list(HealthEventRecord)
    return sorted(events, key=lambda each: each.record.started_at, reverse=True)


def _selected(events: Iterable[Event], wanted: Mapping[str, Any]) -> list[Event]:
    """Those that fit every filter; of the values of one filter, any."""
    return [each for each in events if all(_fits(each, *one) for one in wanted.items())]


_VALUES: Mapping[str, Callable[[Event], str | None]] = {
    "eventArns": lambda each: _arn(each),
    "eventTypeCodes": lambda each: each.record.code,
    "services": lambda each: each.record.service,
    "regions": lambda each: each.place.region,
    "availabilityZones": lambda each: each.record.zone,
    "eventTypeCategories": lambda each: each.record.category,
    "eventStatusCodes": lambda each: each.record.status,
    "actionabilities": lambda _: "INFORMATIONAL",
    "personas": lambda _: "OPERATIONS",
}
_TIMES: Mapping[str, Callable[[HealthEventRecord], datetime | None]] = {
    "startTimes": lambda record: record.started_at,
    "endTimes": lambda record: record.ended_at,
    "lastUpdatedTimes": lambda record: record.updated_at,
}


def _fits(event: Event, name: str, wanted: Any) -> bool:
    if name in _VALUES:
        return _VALUES[name](event) in wanted
    if name in _TIMES:
        time = _TIMES[name](event.record)
        return time is not None and any(_is_within(time, each) for each in wanted)
    if name == "entityValues":
        return bool(set(wanted) & set(event.record.entities))
    # Entities have neither ARNs nor tags here, so filters by them fit nothing.
    return not wanted


def _is_within(time: datetime, span: Mapping[str, datetime]) -> bool:
    return span.get("from", time) <= time <= span.get("to", time)


def _arn(event: Event) -> str:
    record = event.record
    region = event.place.region
    return f"arn:aws:health:{region}::event/{record.service}/{record.code}/{event.name}"


def _event(event: Event) -> dict[str, Any]:
    record = event.record
    summary: dict[str, Any] = {
        "arn": _arn(event),
        "service": record.service,
        "eventTypeCode": record.code,
        "eventTypeCategory": record.category,
        "eventScopeCode": "PUBLIC",
        "region": event.place.region,
        "startTime": record.started_at,
        "lastUpdatedTime": record.updated_at,
        "statusCode": record.status,
        "actionability": "INFORMATIONAL",
        "personas": ["OPERATIONS"],
    }
    if record.zone is not None:
        summary["availabilityZone"] = record.zone
    if record.ended_at is not None:
        summary["endTime"] = record.ended_at
    return summary


def _details(event: Event) -> dict[str, Any]:
    description = {"latestDescription": event.record.description}
    return {"event": _event(event), "eventDescription": description}


def _missing(arn: str) -> dict[str, str]:
    return {
        "eventArn": arn,
        "errorName": "INVALID_EVENT_ARN",
        "errorMessage": f"There is no event {arn}.",
    }


def _entities(event: Event, account: str) -> list[dict[str, Any]]:
    status = "IMPAIRED" if event.record.status == "open" else "RESOLVED"
    return [
        {
            "eventArn": _arn(event),
            "entityValue": value,
            "awsAccountId": account,
            "lastUpdatedTime": event.record.updated_at,
            "statusCode": status,
        }
        for value in event.record.entities
    ]
