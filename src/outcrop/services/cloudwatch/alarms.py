"""Metric alarms: put, described, deleted, their actions switched on and off."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.metrics.alarm_states import write_history
from outcrop.services.call import Call
from outcrop.services.cloudwatch.alarm_settings import read_settings
from outcrop.services.cloudwatch.paging import page_of
from outcrop.services.cloudwatch.refusals import invalid_combination, refuse
from outcrop.services.cloudwatch.tags import read_tags
from outcrop.services.operation import operation
from outcrop.stores.alarm_records import Alarm, alarm_arn
from outcrop.stores.resources import Item, Place, Transaction, View

_MOST_ALARMS: Final = 5000
_PAGE: Final = 50
_UNCHECKED: Final = "Unchecked: Initial alarm creation"
_METRIC_ALARM: Final = "MetricAlarm"


@operation
async def put_metric_alarm(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    settings = read_settings(call, params)
    tags = read_tags(params.get("Tags", ()))
    place = Place(call.account, call.region, params["AlarmName"])
    enabled = params.get("ActionsEnabled", True)
    async with call.stores.resources.writing() as transaction:
        found = await transaction.find(Alarm, place)
        if found is None:
            # Tags of an alarm that is there are TagResource's to change, as in AWS.
            alarm = await _add(transaction, call, place, settings, enabled, tags)
            summary = f'Alarm "{place.name}" created'
        else:
            record = msgspec.structs.replace(
                found.record, settings=settings, configured_at=call.now, is_enabled=enabled
            )
            alarm = await transaction.put(replace(found, record=record))
            summary = f'Alarm "{place.name}" updated'
        data = {"version": "1.0", "updatedAlarm": _configured(alarm)}
        await write_history(transaction, alarm, call.now, "ConfigurationUpdate", summary, data)
    return {}


@operation
async def describe_alarms(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, "ChildrenOfAlarmName", "ParentsOfAlarmName")
    if "AlarmNames" in params and "AlarmNamePrefix" in params:
        raise invalid_combination(
            "The parameters AlarmNames and AlarmNamePrefix are mutually exclusive and you have "
            "specified both."
        )
    alarms = await _list(call)
    found = [alarm for alarm in alarms if _fits(alarm, params)]
    answer = page_of(
        call, params, [described(each) for each in found], "MetricAlarms", _PAGE, "MaxRecords"
    )
    return {"CompositeAlarms": [], **answer}


@operation
async def describe_alarms_for_metric(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "MetricAlarms": [
            described(alarm) for alarm in await _list(call) if _is_on(alarm.record.settings, params)
        ]
    }


@operation
async def delete_alarms(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """All of them or, where one is not there, none."""
    async with call.stores.resources.writing() as transaction:
        for alarm in await get_alarms(transaction, call, params["AlarmNames"]):
            await transaction.remove(Alarm, alarm.place)
            summary = f'Alarm "{alarm.name}" deleted'
            data = {"version": "1.0", "deletedAlarm": _configured(alarm)}
            await write_history(transaction, alarm, call.now, "ConfigurationUpdate", summary, data)
    return {}


@operation
async def enable_alarm_actions(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _switch(call, params["AlarmNames"], enabled=True)


@operation
async def disable_alarm_actions(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _switch(call, params["AlarmNames"], enabled=False)


async def get_alarms(view: View, call: Call, names: Sequence[str]) -> list[Item[Alarm]]:
    found: list[Item[Alarm]] = []
    for name in dict.fromkeys(names):
        alarm = await view.find(Alarm, Place(call.account, call.region, name))
        if alarm is None:
            raise ServiceError("ResourceNotFound", f"The alarm {name!r} does not exist.")
        found.append(alarm)
    return found


def described(alarm: Item[Alarm]) -> dict[str, Any]:
    record = alarm.record
    return {
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        **({} if "Metrics" in record.settings else {"Dimensions": []}),
        **record.settings,
        "AlarmName": alarm.name,
        "AlarmArn": alarm.arn,
        "AlarmConfigurationUpdatedTimestamp": record.configured_at,
        "ActionsEnabled": record.is_enabled,
        "StateValue": record.state,
        "StateReason": record.reason,
        **({"StateReasonData": record.reason_data} if record.reason_data else {}),
        "StateUpdatedTimestamp": record.state_at,
        "StateTransitionedTimestamp": record.transitioned_at,
    }


async def _add(
    transaction: Transaction,
    call: Call,
    place: Place,
    settings: dict[str, Any],
    enabled: bool,
    tags: Mapping[str, str],
) -> Item[Alarm]:
    there = await transaction.list(Alarm, account=call.account, region=call.region)
    if len(there) >= _MOST_ALARMS:
        raise ServiceError("LimitExceeded", f"There are {_MOST_ALARMS} alarms already.")
    record = Alarm(
        settings=settings,
        configured_at=call.now,
        state="INSUFFICIENT_DATA",
        reason=_UNCHECKED,
        state_at=call.now,
        transitioned_at=call.now,
        is_enabled=enabled,
    )
    arn = alarm_arn(call.region, call.account, place.name)
    return await transaction.add(record, place, arn=arn, tags=tags)


async def _list(call: Call) -> list[Item[Alarm]]:
    async with call.stores.resources.reading() as view:
        return await view.list(Alarm, account=call.account, region=call.region)


async def _switch(call: Call, names: Sequence[str], *, enabled: bool) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        for alarm in await get_alarms(transaction, call, names):
            record = msgspec.structs.replace(alarm.record, is_enabled=enabled)
            await transaction.put(replace(alarm, record=record))
    return {}


def _fits(alarm: Item[Alarm], params: Mapping[str, Any]) -> bool:
    record = alarm.record
    actions = [
        action
        for name in ("OKActions", "AlarmActions", "InsufficientDataActions")
        for action in record.settings.get(name, ())
    ]
    prefix = params.get("ActionPrefix", "")
    return (
        _METRIC_ALARM in (params.get("AlarmTypes") or (_METRIC_ALARM,))
        and ("AlarmNames" not in params or alarm.name in params["AlarmNames"])
        and alarm.name.startswith(params.get("AlarmNamePrefix", ""))
        and params.get("StateValue", record.state) == record.state
        and (not prefix or any(action.startswith(prefix) for action in actions))
    )


def _is_on(settings: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Alarms on math are found by none of their metrics, as in AWS."""
    wanted = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit")
    return "Metrics" not in settings and (
        all(settings.get(name) == params[name] for name in wanted if name in params)
        and _plain(settings) == _plain(params)
    )


def _plain(source: Mapping[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in source.get("Dimensions", ())}


def _configured(alarm: Item[Alarm]) -> dict[str, Any]:
    return {"alarmName": alarm.name, "alarmArn": alarm.arn, "settings": alarm.record.settings}
