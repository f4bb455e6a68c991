"""When an alarm is in which state: its settings, read, and the decision over its datapoints.

Sources: "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data" of the
CloudWatch user guide, whose tables the tests hold.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from outcrop.metrics.points import Point
from outcrop.metrics.queries import BadQuery, MetricStat, Query, parse_metric, parse_queries
from outcrop.stores.alarm_records import State

MISSING_DATA: Final = ("breaching", "notBreaching", "ignore", "missing")
LOOKED_FURTHER: Final = 2
"""How many periods more than those to evaluate are looked at, for data in place of missing."""

_COMPARISONS: Final[Mapping[str, tuple[Callable[[float, float], bool], str]]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
COMPARISONS: Final = tuple(_COMPARISONS)


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """``stat`` of an alarm on one metric; else ``queries``, of which one returns data."""

    periods: int
    to_alarm: int
    threshold: float
    comparison: str
    missing_data: str
    period_s: int
    ignores_few_samples: bool = False
    stat: MetricStat | None = None
    queries: tuple[Query, ...] = ()

    def is_breaching(self, value: float) -> bool:
        return _COMPARISONS[self.comparison][0](value, self.threshold)

    @property
    def comparison_text(self) -> str:
        return _COMPARISONS[self.comparison][1]

    @property
    def step_s(self) -> int:
        """How often there are new datapoints: periods of minutes slide by the minute."""
        return min(self.period_s, 60)

    def has_enough(self, point: Point) -> bool:
        """Whether a percentile says anything. Source: "Percentile-based alarms and low data
        samples" of the user guide."""
        if self.stat is None or self.stat.statistic.share is None or not self.ignores_few_samples:
            return True
        share = self.stat.statistic.share / 100
        rest = 1 - share if share >= 0.5 else share
        return rest > 0 and point.samples >= 10 / rest


def parse_rule(settings: Mapping[str, Any], account: str) -> AlarmRule:
    """Raises ``BadQuery``."""
    periods = settings["EvaluationPeriods"]
    queries: tuple[Query, ...] = ()
    stat = None
    if "Metrics" in settings:
        queries = tuple(parse_queries(settings["Metrics"], account))
        period_s = _common_period(queries)
    else:
        period_s = settings["Period"]
        name = settings.get("Statistic") or settings["ExtendedStatistic"]
        stat = parse_metric(settings, name, period_s, "Alarm", settings.get("Unit"))
    return AlarmRule(
        periods=periods,
        to_alarm=settings.get("DatapointsToAlarm", periods),
        threshold=settings["Threshold"],
        comparison=settings["ComparisonOperator"],
        missing_data=settings.get("TreatMissingData", "missing"),
        period_s=period_s,
        ignores_few_samples=settings.get("EvaluateLowSampleCountPercentile") == "ignore",
        stat=stat,
        queries=queries,
    )


def decide(rule: AlarmRule, values: Sequence[float | None]) -> State | None:
    """``values`` are the datapoints of the evaluation range, the oldest first, None where one is
    missing. None: the state stays as it is."""
    there = [rule.is_breaching(value) for value in values if value is not None]
    recent = there[-rule.periods :]
    breaching = sum(recent)
    if len(recent) < rule.periods:
        if rule.missing_data == "breaching":
            breaching += rule.periods - len(recent)
        elif rule.missing_data != "notBreaching" and all(recent) and breaching < rule.to_alarm:
            return _undecided(rule, values)
    return "ALARM" if breaching >= rule.to_alarm else "OK"


def _undecided(rule: AlarmRule, values: Sequence[float | None]) -> State | None:
    """Whatever is there breaches the threshold, and is too little. A breach that is old enough for
    all of them to have followed alarms nevertheless; the next value may undo a newer one."""
    if rule.missing_data == "ignore":
        return None
    ages = [len(values) - index for index, value in enumerate(values) if value is not None]
    if not ages:
        return "INSUFFICIENT_DATA"
    return "ALARM" if max(ages) >= rule.to_alarm else None


def _common_period(queries: Sequence[Query]) -> int:
    periods = {query.stat.period_s for query in queries if query.stat is not None}
    if not periods:
        raise BadQuery("The parameter Metrics must have at least one MetricStat.")
    if len(periods) > 1:
        raise BadQuery("The metrics of an alarm must have the same Period.")
    return periods.pop()
