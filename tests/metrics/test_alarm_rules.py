"""When an alarm is in which state: the tables of the user guide, and what follows from them."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from outcrop.metrics.alarm_rules import MISSING_DATA, AlarmRule, decide, parse_rule
from outcrop.metrics.points import Point
from outcrop.metrics.queries import BadQuery


def rule(to_alarm: int, periods: int, missing_data: str) -> AlarmRule:
    return AlarmRule(periods, to_alarm, 1.0, "GreaterThanThreshold", missing_data, 60)


def values(text: str) -> list[float | None]:
    """``X`` breaches the threshold, ``0`` does not, ``-`` is missing."""
    return [{"X": 2.0, "0": 0.0, "-": None}[letter] for letter in text.split()]


# Data, then missing, ignore, breaching, notBreaching. "=": the state stays as it is.
_THREE_OF_THREE = (
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("- - - - 0", "OK", "OK", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", "=", "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", "=", "ALARM", "OK"),
)
_TWO_OF_THREE = (
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
    ("- - - X -", "ALARM", "=", "ALARM", "OK"),
)
_COLUMNS = ("missing", "ignore", "breaching", "notBreaching")
_ROWS = [
    (to_alarm, row[0], treated, state)
    for to_alarm, table in ((3, _THREE_OF_THREE), (2, _TWO_OF_THREE))
    for row in table
    for treated, state in zip(_COLUMNS, row[1:], strict=True)
]


@pytest.mark.parametrize(("to_alarm", "data", "treated", "state"), _ROWS)
def test_the_tables_of_the_user_guide(to_alarm: int, data: str, treated: str, state: str) -> None:
    decided = decide(rule(to_alarm, 3, treated), values(data))
    assert (decided or "=") == state


@pytest.mark.parametrize("data", ["- - - - X", "- - - X -"])
def test_a_new_breach_beside_missing_data_alarms_nobody_prematurely(data: str) -> None:
    assert decide(rule(3, 3, "missing"), values(data)) is None


@given(
    st.lists(st.sampled_from([0.0, 2.0, None]), min_size=1, max_size=12),
    st.integers(1, 10),
    st.integers(1, 10),
    st.sampled_from(MISSING_DATA),
)
def test_enough_breaches_always_alarm_and_none_never_do(
    data: list[float | None], periods: int, to_alarm: int, treated: str
) -> None:
    to_alarm = min(to_alarm, periods)
    decided = decide(rule(to_alarm, periods, treated), data)
    there = [value for value in data if value is not None][-periods:]
    if sum(value > 1 for value in there) >= to_alarm:
        assert decided == "ALARM"
    elif there and not any(value > 1 for value in there) and treated != "breaching":
        assert decided == "OK"


def settings(**changed: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "MetricName": "Visits",
        "Namespace": "Shop",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
        **changed,
    }
    return {name: value for name, value in plain.items() if value is not None}


def test_a_percentile_of_few_samples_says_nothing_where_that_is_asked_for() -> None:
    percentile = parse_rule(
        settings(
            Statistic=None, ExtendedStatistic="p90", EvaluateLowSampleCountPercentile="ignore"
        ),
        "123456789012",
    )
    assert not percentile.has_enough(Point.of({1: 99}))
    assert percentile.has_enough(Point.of({1: 101}))
    assert parse_rule(settings(), "123456789012").has_enough(Point.of({1: 1}))


def test_metrics_of_one_alarm_have_one_period() -> None:
    metrics = [
        {
            "Id": f"m{period_s}",
            "MetricStat": {
                "Metric": {"Namespace": "Shop", "MetricName": "Visits"},
                "Period": period_s,
                "Stat": "Sum",
            },
            "ReturnData": False,
        }
        for period_s in (60, 300)
    ]
    metrics.append({"Id": "e1", "Expression": "m60 + m300"})
    only = settings(Metrics=metrics, MetricName=None, Namespace=None, Statistic=None, Period=None)
    with pytest.raises(BadQuery, match="same Period"):
        parse_rule(only, "123456789012")
