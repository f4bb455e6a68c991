"""What is told of an alarm whose state has changed: the message to a topic, and the event.

Sources: examples of both in the CloudWatch user guide ("Notifying users on alarm changes", "Alarm
events and EventBridge").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from outcrop.stores.alarm_records import Alarm, alarm_arn
from outcrop.stores.resources import Item

_MOST_SUBJECT: Final = 100
_ACTIONS: Final = ("OKActions", "AlarmActions", "InsufficientDataActions")


def topic_subject(alarm: Item[Alarm], region_name: str) -> str:
    """SNS takes no line breaks and nothing but ASCII in a subject, and at most a hundred
    characters."""
    text = f'{alarm.record.state}: "{alarm.name}" in {region_name}'
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return plain if len(plain) <= _MOST_SUBJECT else f"{plain[: _MOST_SUBJECT - 3]}..."


def topic_message(alarm: Item[Alarm], former: Alarm, region_name: str) -> str:
    record, settings = alarm.record, alarm.record.settings
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": settings.get("AlarmDescription"),
        "AWSAccountId": alarm.place.account,
        "AlarmConfigurationUpdatedTimestamp": render_time(record.configured_at),
        "NewStateValue": record.state,
        "NewStateReason": record.reason,
        "StateChangeTime": render_time(record.state_at),
        "Region": region_name,
        "AlarmArn": alarm.arn,
        "OldStateValue": former.state,
        **{name: settings.get(name, []) for name in _ACTIONS},
        "Trigger": _trigger(settings),
    }
    return msgspec.json.encode(message).decode()


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """What the account's default bus is given."""

    account: str
    region: str
    alarm_arn: str
    time: datetime
    detail: Mapping[str, Any]
    source: str = "aws.cloudwatch"
    detail_type: str = "CloudWatch Alarm State Change"


def alarm_event(alarm: Item[Alarm], former: Alarm) -> AlarmEvent:
    place = alarm.place
    return AlarmEvent(
        account=place.account,
        region=place.region,
        alarm_arn=alarm_arn(place.region, place.account, place.name),
        time=alarm.record.state_at,
        detail={
            "alarmName": alarm.name,
            "configuration": _configuration(alarm),
            "previousState": _state(former),
            "state": _state(alarm.record),
        },
    )


def render_time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}+0000"


def _trigger(settings: Mapping[str, Any]) -> dict[str, Any]:
    watched = _watched_metrics(settings["Metrics"]) if "Metrics" in settings else _watched(settings)
    return {
        **watched,
        "EvaluationPeriods": settings["EvaluationPeriods"],
        "DatapointsToAlarm": settings.get("DatapointsToAlarm", settings["EvaluationPeriods"]),
        "ComparisonOperator": settings["ComparisonOperator"],
        "Threshold": settings["Threshold"],
        "TreatMissingData": settings.get("TreatMissingData", "missing"),
        "EvaluateLowSampleCountPercentile": settings.get("EvaluateLowSampleCountPercentile", ""),
    }


def _watched(settings: Mapping[str, Any]) -> dict[str, Any]:
    if "Statistic" in settings:
        # Names as of an enumeration of Java: SAMPLE_COUNT.
        name = settings["Statistic"]
        statistic = "SAMPLE_COUNT" if name == "SampleCount" else name.upper()
        kind = {"StatisticType": "Statistic", "Statistic": statistic}
    else:
        extended = settings["ExtendedStatistic"]
        kind = {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": extended}
    return {
        "MetricName": settings["MetricName"],
        "Namespace": settings["Namespace"],
        **kind,
        "Unit": settings.get("Unit"),
        "Dimensions": [
            {"value": each["Value"], "name": each["Name"]}
            for each in settings.get("Dimensions", ())
        ],
        "Period": settings["Period"],
    }


def _watched_metrics(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"Metrics": [{"ReturnData": True, **metric} for metric in metrics]}


def _configuration(alarm: Item[Alarm]) -> dict[str, Any]:
    settings = alarm.record.settings
    description = settings.get("AlarmDescription")
    metrics = (
        [_query(query) for query in settings["Metrics"]]
        if "Metrics" in settings
        else [_only_query(settings)]
    )
    return {**({"description": description} if description else {}), "metrics": metrics}


def _only_query(settings: Mapping[str, Any]) -> dict[str, Any]:
    stat = {
        "Metric": settings,
        "Period": settings["Period"],
        "Stat": settings.get("Statistic") or settings["ExtendedStatistic"],
    }
    return _query({"Id": "m1", "MetricStat": stat})


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    rendered: dict[str, Any] = {"id": query["Id"], "returnData": query.get("ReturnData", True)}
    for wire_name, name in (("Label", "label"), ("Expression", "expression")):
        if wire_name in query:
            rendered[name] = query[wire_name]
    if "MetricStat" in query:
        stat = query["MetricStat"]
        metric = stat["Metric"]
        rendered["metricStat"] = {
            "metric": {
                "namespace": metric["Namespace"],
                "name": metric["MetricName"],
                "dimensions": {
                    each["Name"]: each["Value"] for each in metric.get("Dimensions", ())
                },
            },
            "period": stat["Period"],
            "stat": stat["Stat"],
        }
    return rendered


def _state(record: Alarm) -> dict[str, Any]:
    return {
        "value": record.state,
        "reason": record.reason,
        **({"reasonData": record.reason_data} if record.reason_data else {}),
        "timestamp": render_time(record.state_at),
    }
