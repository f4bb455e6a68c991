"""States of alarms, set by hand, and the history of what happened to alarms."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from outcrop.errors import ServiceError
from outcrop.metrics.alarm_states import Verdict, change_state
from outcrop.services.call import Call
from outcrop.services.cloudwatch.paging import page_of
from outcrop.services.cloudwatch.refusals import refuse
from outcrop.services.cloudwatch.telling import telling
from outcrop.services.operation import operation
from outcrop.stores.alarm_records import Alarm
from outcrop.stores.resources import Place
from outcrop.stores.tables import alarm_history, from_ms, to_ms

_PAGE: Final = 50
_MOST_READ: Final = 10_000


@operation
async def set_alarm_state(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Until the alarm is evaluated again."""
    data: str = params.get("StateReasonData", "")
    if data:
        _check_json(data)
    async with call.stores.resources.writing() as transaction:
        place = Place(call.account, call.region, params["AlarmName"])
        alarm = await transaction.find(Alarm, place)
        if alarm is None:
            # Recorded: no text.
            raise ServiceError("ResourceNotFound", "")
        verdict = Verdict(params["StateValue"], params["StateReason"], data)
        await change_state(transaction, alarm, verdict, call.now, telling(call.observing.events))
    return {}


@operation
async def describe_alarm_history(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, "AlarmContributorId")
    c = alarm_history.c
    query = sa.select(alarm_history).where(c.account == call.account, c.region == call.region)
    for name, column in (("AlarmName", c.alarm), ("HistoryItemType", c.type)):
        if name in params:
            query = query.where(column == params[name])
    if "StartDate" in params:
        query = query.where(c.at_ms >= to_ms(params["StartDate"]))
    if "EndDate" in params:
        query = query.where(c.at_ms <= to_ms(params["EndDate"]))
    is_rising = params.get("ScanBy") == "TimestampAscending"
    order = (c.at_ms, c.seq) if is_rising else (c.at_ms.desc(), c.seq.desc())
    rows: list[Any] = []
    if "MetricAlarm" in (params.get("AlarmTypes") or ("MetricAlarm",)):
        async with call.stores.resources.reading() as view:
            found = await view.connection.execute(query.order_by(*order).limit(_MOST_READ))
            rows = list(found.mappings())
    items = [_item(row) for row in rows]
    return page_of(call, params, items, "AlarmHistoryItems", _PAGE, "MaxRecords")


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "AlarmName": row["alarm"],
        "AlarmType": "MetricAlarm",
        "Timestamp": from_ms(row["at_ms"]),
        "HistoryItemType": row["type"],
        "HistorySummary": row["summary"],
        "HistoryData": row["data"].decode(),
    }


def _check_json(text: str) -> None:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise ServiceError("InvalidFormat", "StateReasonData was not valid JSON") from error
