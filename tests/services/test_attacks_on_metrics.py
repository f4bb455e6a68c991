"""CloudWatch under requests that mean to break it: for everybody else it goes on."""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.metrics.math import Budget
from outcrop.metrics.queries import BadQuery, Owner, evaluate, parse_queries
from outcrop.metrics.syntax import names_in
from outcrop.stores.alarm_records import Alarm
from outcrop.stores.resources import Place

LEAST = 5e-324


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        # Only the test's looks count.
        await running.deployment.records.alarms.close()
        yield running


@pytest.fixture
def client(inside: Inside) -> Client:
    return inside.client(ADMIN)


def this_minute() -> datetime:
    """Of the test, not of the file: the suite runs for longer than alarms look back."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def stat(name: str, kind: str = "Sum", **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "Shop", "MetricName": name}
    return {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 60, "Stat": kind}, **more}


async def data(client: Client, *queries: Mapping[str, Any], **params: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "MetricDataQueries": list(queries),
        "StartTime": this_minute() - timedelta(minutes=30),
        "EndTime": this_minute() + timedelta(minutes=2),
        **params,
    }
    answer = await client.ask("cloudwatch", "GetMetricData", **asked)
    return {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}


async def put(client: Client, name: str, **datum: Any) -> None:
    at = this_minute() - timedelta(minutes=1)
    sample = {"MetricName": name, "Timestamp": at, **datum}
    await client.ask("cloudwatch", "PutMetricData", Namespace="Shop", MetricData=[sample])


async def put_unbounded(client: Client) -> None:
    """Its average is larger than any number."""
    summary = {"SampleCount": LEAST, "Sum": 2.0**360, "Minimum": 0, "Maximum": 1}
    await put(client, "Huge", StatisticValues=summary)


async def put_alarm(client: Client, name: str, metric: str, **settings: Any) -> None:
    plain = {
        "AlarmName": name,
        "Namespace": "Shop",
        "MetricName": metric,
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    await client.ask("cloudwatch", "PutMetricAlarm", **{**plain, **settings})


async def test_a_statistic_that_is_no_finite_number_is_no_value(client: Client) -> None:
    await put_unbounded(client)
    found = await data(
        client,
        stat("Huge", "Average"),
        {"Id": "e1", "Expression": "CEIL([m1])"},
        {"Id": "e2", "Expression": "FILL(m1, 3) > 3"},
    )
    assert found["m1"] == found["e1"] == []
    assert set(found["e2"]) == {0}


async def test_time_before_all_dates_is_not_computed(client: Client) -> None:
    weeks = {"Id": "e1", "Expression": "TIME_SERIES(1)", "Period": 60 * 604_800}
    begin = datetime(1, 1, 1, tzinfo=UTC)
    with pytest.raises(ClientError, match="StartTime") as refused:
        await data(client, weeks, StartTime=begin, EndTime=begin + timedelta(days=900))
    assert cast(Any, refused.value.response)["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), float("-inf")])
async def test_a_threshold_is_a_finite_number(client: Client, threshold: float) -> None:
    with pytest.raises(ClientError, match="Threshold") as refused:
        await put_alarm(client, "Endless", "Visits", Threshold=threshold)
    assert cast(Any, refused.value.response)["Error"]["Code"] == "ValidationError"


async def test_an_alarm_that_cannot_be_judged_leaves_the_others_alone(
    inside: Inside, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await put(client, "Visits", Value=9.0)
    await put_alarm(client, "Broken", "Visits")
    await put_alarm(client, "Sound", "Visits")
    resources = inside.deployment.state.stores.resources
    async with resources.writing() as transaction:
        broken = await transaction.get(Alarm, Place(ACCOUNT, REGION, "Broken"))
        broken.record.settings["Threshold"] = None
        await transaction.put(broken)
    await inside.deployment.records.alarms.look()
    answer = await client.ask("cloudwatch", "DescribeAlarms", StateValue="ALARM")
    assert [alarm["AlarmName"] for alarm in answer["MetricAlarms"]] == ["Sound"]
    assert "Broken" in caplog.text


def test_queries_that_each_need_the_next_one_are_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = 0

    def counted(node: Any) -> set[str]:
        nonlocal read
        read += 1
        return names_in(node)

    monkeypatch.setattr("outcrop.metrics.queries.names_in", counted)
    chain = [{"Id": f"q{n}", "Expression": f"q{n + 1} + 1"} for n in range(499)]
    placed = parse_queries([*chain, {**stat("Visits"), "Id": "q499"}], ACCOUNT)
    assert [query.id for query in placed] == [f"q{n}" for n in reversed(range(500))]
    assert read <= 500


async def test_what_a_request_reads_counts_against_what_it_may_compute(
    inside: Inside, client: Client
) -> None:
    """Also where little comes of it: a sum of many values is one value."""
    minute = this_minute()
    for start in range(0, 3000, 1000):
        samples = [
            {"MetricName": "Long", "Value": 1.0, "Timestamp": minute - timedelta(minutes=ago)}
            for ago in range(start, start + 1000)
        ]
        await client.ask("cloudwatch", "PutMetricData", Namespace="Shop", MetricData=samples)
    start = minute - timedelta(days=4)
    sums = [
        {"Id": f"e{number}", "Expression": "+".join(["SUM(m1)"] * 200) + "> 0", "ReturnData": False}
        for number in range(40)
    ]
    with pytest.raises(ClientError, match="too many datapoints"):
        await data(client, stat("Long"), *sums, StartTime=start)
    by_day = stat("Long")
    by_day["MetricStat"]["Period"] = 86_400
    owner, read = Owner(ACCOUNT, REGION), parse_queries([by_day], ACCOUNT)
    span = (int(start.timestamp()), int(minute.timestamp()))
    async with inside.deployment.state.stores.resources.reading() as view:
        found = await evaluate(view.connection, owner, read, *span)
        assert sum(found["m1"][0].values.values()) == 2999
        with pytest.raises(BadQuery, match="too many datapoints"):
            await evaluate(view.connection, owner, read, *span, budget=Budget(work=20_000))
