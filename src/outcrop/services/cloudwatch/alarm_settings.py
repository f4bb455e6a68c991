"""What PutMetricAlarm may set, checked."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from outcrop.metrics.alarm_rules import COMPARISONS, MISSING_DATA, AlarmRule, parse_rule
from outcrop.metrics.queries import BadQuery
from outcrop.services.call import Call
from outcrop.services.cloudwatch.refusals import invalid, invalid_combination, missing, refuse

_DAY_S: Final = 86_400
_WEEK_S: Final = 7 * _DAY_S
_HOUR_S: Final = 3600
_ALARM_PERIODS: Final = (10, 20, 30)
_TOPIC = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):(\d{12}):[A-Za-z0-9_.-]{1,256}", re.ASCII)
_UNSUPPORTED: Final = (
    "ActionConfiguration",
    "EvaluationCriteria",
    "EvaluationInterval",
    "ThresholdMetricId",
    "WarmUpConfiguration",
)
_OF_ONE_METRIC: Final = (
    "MetricName",
    "Namespace",
    "Dimensions",
    "Period",
    "Unit",
    "Statistic",
    "ExtendedStatistic",
)
ACTIONS: Final = ("OKActions", "AlarmActions", "InsufficientDataActions")


def read_settings(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, *_UNSUPPORTED)
    if params.get("EvaluationWindow", {}).get("WallClockWindow") is not None:
        raise invalid("The parameter EvaluationWindow.WallClockWindow is not supported here.")
    settings = {
        name: value
        for name, value in params.items()
        if name not in ("AlarmName", "Tags", "ActionsEnabled") and value is not None
    }
    _check_source(settings)
    for name in ("EvaluationPeriods", "ComparisonOperator", "Threshold"):
        if name not in settings:
            raise missing(f"The parameter {name} is required.")
    if not math.isfinite(settings["Threshold"]):
        raise invalid(f"The value {settings['Threshold']} for parameter Threshold is invalid.")
    _check_choices(settings)
    for name in ACTIONS:
        for arn in settings.get(name, ()):
            _check_action(call, arn)
    try:
        rule = parse_rule(settings, call.account)
    except BadQuery as error:
        raise invalid(str(error)) from error
    _check_rule(rule)
    return settings


def _check_source(settings: Mapping[str, Any]) -> None:
    if "Metrics" in settings:
        both = [name for name in _OF_ONE_METRIC if name in settings]
        if both:
            raise invalid_combination(
                f"The parameters Metrics and {both[0]} are mutually exclusive and you have "
                "specified both."
            )
        if sum(query.get("ReturnData", True) for query in settings["Metrics"]) != 1:
            raise invalid("Exactly one element of the metrics list should return data.")
        return
    for name in ("MetricName", "Namespace", "Period"):
        if name not in settings:
            raise missing(f"The parameter {name} is required.")
    if ("Statistic" in settings) == ("ExtendedStatistic" in settings):
        raise invalid_combination(
            "Exactly one of the parameters Statistic and ExtendedStatistic must be specified."
        )


def _check_choices(settings: Mapping[str, Any]) -> None:
    if settings["ComparisonOperator"] not in COMPARISONS:
        raise invalid(
            f"The value {settings['ComparisonOperator']} for parameter ComparisonOperator needs an "
            "anomaly detection model, which is not supported here."
        )
    missing_data = settings.get("TreatMissingData", "missing")
    if missing_data not in MISSING_DATA:
        raise invalid(
            f"The value {missing_data} is not supported for TreatMissingData parameter. Supported "
            f"values are [{', '.join(MISSING_DATA)}]."
        )
    if "EvaluateLowSampleCountPercentile" in settings:
        low = settings["EvaluateLowSampleCountPercentile"]
        if low not in ("evaluate", "ignore"):
            raise invalid(
                f"The value {low} is not supported for EvaluateLowSampleCountPercentile parameter. "
                "Supported values are [evaluate, ignore]."
            )
        if not settings.get("ExtendedStatistic", "").startswith("p"):
            raise invalid_combination(
                "EvaluateLowSampleCountPercentile goes with a percentile as ExtendedStatistic only."
            )


def _check_rule(rule: AlarmRule) -> None:
    if rule.period_s not in _ALARM_PERIODS and rule.period_s % 60:
        raise invalid("Period must be 10, 20, 30 or a multiple of 60.")
    length_s = rule.periods * rule.period_s
    if length_s > _WEEK_S:
        raise invalid(
            "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be "
            f"<= {_WEEK_S})."
        )
    if rule.period_s < _HOUR_S and length_s > _DAY_S:
        raise invalid(
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be "
            f"<= {_DAY_S}) with a Period of less than an hour."
        )
    if rule.to_alarm > rule.periods:
        raise invalid(
            "The parameter DatapointsToAlarm must be less than or equal to EvaluationPeriods."
        )


def _check_action(call: Call, arn: str) -> None:
    found = _TOPIC.fullmatch(arn)
    if found is None:
        raise invalid(
            f"Invalid arn syntax: {arn}. Actions are the ARNs of Amazon SNS topics here; other "
            "actions are not supported."
        )
    if found[2] != call.region:
        raise invalid(f"Invalid region {found[2]} specified. Only {call.region} is supported.")
