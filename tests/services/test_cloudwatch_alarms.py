"""Alarms as clients put and read them, evaluated over real data, told to real topics."""

import base64
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.jobs.delivery import NotDelivered
from outcrop.jobs.queue import Job, RetryLater
from outcrop.metrics.alarms import AlarmWatch
from outcrop.metrics.points import Point, Sample
from outcrop.metrics.store import add
from outcrop.services.cloudwatch.telling import job_kinds, telling
from outcrop.stores.tables import jobs

NOW = datetime.now(UTC).replace(second=30, microsecond=0)
MINUTE = NOW.replace(second=0)
NAME = "Too many visits"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"


async def _nothing() -> None:
    pass


@dataclass
class Watched:
    """An application whose alarms are looked at when the test says so, at its time."""

    inside: Inside
    client: Client
    now: datetime = NOW

    async def put(self, minutes_ago: float, value: float, name: str = "Visits") -> None:
        at_s = int((MINUTE - timedelta(minutes=minutes_ago)).timestamp())
        sample = Sample(name, (), at_s, "Count", Point.of({value: 1}))
        async with self.inside.deployment.state.stores.resources.writing() as transaction:
            await add(transaction.connection, ACCOUNT, REGION, "Shop", [sample])

    async def look(self) -> str:
        """The state of the alarm after it."""
        resources = self.inside.deployment.state.stores.resources
        told = telling(self.inside.deployment.records.observing.events)
        watch = AlarmWatch(resources, _nothing, told, lambda: self.now)
        await watch.look()
        return (await self.alarm())["StateValue"]

    async def alarm(self) -> dict[str, Any]:
        answer = await self.ask("DescribeAlarms", AlarmNames=[NAME])
        (alarm,) = answer["MetricAlarms"]
        return alarm

    async def ask(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.client.ask("cloudwatch", operation, **params)

    async def refusal(self, operation: str, **params: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            await self.ask(operation, **params)
        error = cast(Any, caught.value.response)["Error"]
        return error["Code"], error["Message"]

    async def history(self, type: str) -> list[str]:
        """What happened, the oldest first."""
        answer = await self.ask(
            "DescribeAlarmHistory",
            AlarmName=NAME,
            HistoryItemType=type,
            ScanBy="TimestampAscending",
        )
        return [item["HistorySummary"] for item in answer["AlarmHistoryItems"]]


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Watched]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        # Its own looks are at the time of the clock on the wall; only the test's count.
        await inside.deployment.records.alarms.close()
        yield Watched(inside, inside.client(ADMIN))


def settings(**changed: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "AlarmName": NAME,
        "MetricName": "Visits",
        "Namespace": "Shop",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 10.0,
        "ComparisonOperator": "GreaterThanThreshold",
        **changed,
    }
    return {name: value for name, value in plain.items() if value is not None}


async def test_an_alarm_goes_through_its_states_with_the_data(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(AlarmDescription="d"))
    fresh = await watched.alarm()
    assert fresh["StateValue"] == "INSUFFICIENT_DATA"
    assert fresh["StateReason"] == "Unchecked: Initial alarm creation"
    assert fresh["AlarmArn"] == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{NAME}"
    assert await watched.look() == "INSUFFICIENT_DATA"
    await watched.put(1, 11.0)
    assert await watched.look() == "ALARM"
    alarmed = await watched.alarm()
    shown = (MINUTE - timedelta(minutes=1)).strftime("%d/%m/%y %H:%M:%S")
    assert alarmed["StateReason"] == (
        f"Threshold Crossed: 1 datapoint [11.0 ({shown})] was greater than the threshold (10.0)."
    )
    evaluated = json.loads(alarmed["StateReasonData"])
    assert evaluated["recentDatapoints"] == [11.0]
    assert evaluated["evaluatedDatapoints"][0]["sampleCount"] == 1
    watched.now += timedelta(minutes=1)
    await watched.put(0, 3.0)
    assert await watched.look() == "OK"
    watched.now += timedelta(minutes=10)
    assert await watched.look() == "INSUFFICIENT_DATA"
    assert await watched.history("StateUpdate") == [
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to INSUFFICIENT_DATA",
    ]


async def test_the_minute_that_is_not_over_does_not_count(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(TreatMissingData="notBreaching"))
    await watched.put(0, 100.0)
    assert await watched.look() == "OK"
    watched.now += timedelta(minutes=1)
    assert await watched.look() == "ALARM"


async def test_longer_periods_slide_by_the_minute(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(Period=300))
    await watched.put(7, 9.0)
    await watched.put(3, 9.0)
    assert await watched.look() == "OK"
    await watched.put(4, 2.0)
    assert await watched.look() == "ALARM"


async def test_some_datapoints_of_several_alarm(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(EvaluationPeriods=3, DatapointsToAlarm=2))
    for ago, value in ((3, 11.0), (2, 1.0), (1, 12.0)):
        await watched.put(ago, value)
    assert await watched.look() == "ALARM"
    reason = (await watched.alarm())["StateReason"]
    assert reason.startswith("Threshold Crossed: 2 out of the last 3 datapoints [12.0 (")
    assert reason.endswith("(minimum 2 datapoints for OK -> ALARM transition).")


async def test_alarms_on_percentiles_and_on_math(watched: Watched) -> None:
    for value in range(1, 21):
        await watched.put(1, float(value))
    await watched.put(1, 40.0, "Seats")
    await watched.ask("PutMetricAlarm", **settings(Statistic=None, ExtendedStatistic="p50"))
    assert await watched.look() == "OK"
    await watched.ask("PutMetricAlarm", **settings(Statistic=None, ExtendedStatistic="p60"))
    assert await watched.look() == "ALARM"
    one = ("MetricName", "Namespace", "Statistic", "Period")
    metrics = [_query("m1", "Visits"), _query("m2", "Seats")]
    metrics.append({"Id": "e1", "Expression": "100 * m1 / m2", "Label": "percent taken"})
    on_math = settings(Metrics=metrics, Threshold=600.0, **dict.fromkeys(one))
    await watched.ask("PutMetricAlarm", **on_math)
    assert await watched.look() == "OK"
    assert "525.0" in (await watched.alarm())["StateReason"]


def _query(id: str, name: str) -> dict[str, Any]:
    metric = {"Namespace": "Shop", "MetricName": name}
    stat = {"Metric": metric, "Period": 60, "Stat": "Sum"}
    return {"Id": id, "MetricStat": stat, "ReturnData": False}


async def test_a_state_set_by_hand_lasts_until_the_next_look(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings())
    await watched.put(1, 1.0)
    await watched.ask(
        "SetAlarmState",
        AlarmName=NAME,
        StateValue="ALARM",
        StateReason="a test",
        StateReasonData='{"by": "me"}',
    )
    alarm = await watched.alarm()
    assert (alarm["StateValue"], alarm["StateReason"]) == ("ALARM", "a test")
    assert await watched.look() == "OK"
    for text in ("{", "[" * 100_000):
        code, _ = await watched.refusal(
            "SetAlarmState",
            AlarmName=NAME,
            StateValue="OK",
            StateReason="r",
            StateReasonData=text[:4000],
        )
        assert code == "InvalidFormat"


async def published(watched: Watched) -> list[dict[str, Any]]:
    """What alarms have given to be delivered."""
    return await submitted(watched, "alarm-action")


async def submitted(watched: Watched, kind: str) -> list[dict[str, Any]]:
    """What jobs of a kind are about."""
    async with watched.inside.deployment.state.stores.resources.reading() as view:
        rows = (await view.connection.execute(jobs.select().order_by(jobs.c.created_at_ms))).all()
    return [json.loads(row.payload) for row in rows if row.kind == kind]


async def test_the_topics_of_the_new_state_are_told_and_no_others(watched: Watched) -> None:
    await watched.ask(
        "PutMetricAlarm",
        **settings(AlarmActions=[TOPIC], OKActions=[f"{TOPIC}-ok"], AlarmDescription="d"),
    )
    await watched.put(1, 11.0)
    await watched.look()
    await watched.look()
    (told,) = await published(watched)
    assert told["topic"] == TOPIC
    assert told["subject"] == f'ALARM: "{NAME}" in US East (N. Virginia)'
    message = json.loads(told["message"])
    assert message["StateChangeTime"] == NOW.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    trigger = message.pop("Trigger")
    assert {name: message[name] for name in message if "Time" not in name} == {
        "AlarmName": NAME,
        "AlarmDescription": "d",
        "AWSAccountId": ACCOUNT,
        "NewStateValue": "ALARM",
        "NewStateReason": (await watched.alarm())["StateReason"],
        "Region": "US East (N. Virginia)",
        "AlarmArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{NAME}",
        "OldStateValue": "INSUFFICIENT_DATA",
        "OKActions": [f"{TOPIC}-ok"],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [],
    }
    assert trigger == {
        "MetricName": "Visits",
        "Namespace": "Shop",
        "StatisticType": "Statistic",
        "Statistic": "SUM",
        "Unit": None,
        "Dimensions": [],
        "Period": 60,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 10.0,
        "TreatMissingData": "missing",
        "EvaluateLowSampleCountPercentile": "",
    }


async def test_actions_that_are_switched_off_are_not_taken(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(AlarmActions=[TOPIC], ActionsEnabled=False))
    for state in ("ALARM", "OK"):
        await watched.ask("SetAlarmState", AlarmName=NAME, StateValue=state, StateReason="r")
    assert await published(watched) == []
    await watched.ask("EnableAlarmActions", AlarmNames=[NAME])
    assert (await watched.alarm())["ActionsEnabled"] is True
    await watched.ask("SetAlarmState", AlarmName=NAME, StateValue="ALARM", StateReason="r")
    assert len(await published(watched)) == 1
    await watched.ask("DisableAlarmActions", AlarmNames=[NAME])
    assert (await watched.alarm())["ActionsEnabled"] is False


async def deliver(watched: Watched, job: Job, at: datetime) -> None:
    records, stores = watched.inside.deployment.records, watched.inside.deployment.state.stores
    kinds = job_kinds(stores, records.observing.background, lambda: at)
    await kinds["alarm-action"].run(job)


def job_of(told: dict[str, Any]) -> Job:
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{NAME}"
    return Job("1", "alarm-action", arn, told, 1, NOW)


async def test_a_topic_that_is_not_there_is_tried_for_a_day_and_then_given_up(
    watched: Watched,
) -> None:
    await watched.inside.deployment.records.deliveries.close()
    await watched.ask("PutMetricAlarm", **settings(AlarmActions=[TOPIC]))
    await watched.ask("SetAlarmState", AlarmName=NAME, StateValue="ALARM", StateReason="r")
    (told,) = await published(watched)
    with pytest.raises(RetryLater) as caught:
        await deliver(watched, job_of(told), NOW + timedelta(hours=23))
    assert isinstance(caught.value.__cause__, NotDelivered)
    assert await watched.history("Action") == []
    await deliver(watched, job_of(told), NOW + timedelta(hours=25))
    assert await watched.history("Action") == [f"Failed to execute action {TOPIC}"]


async def test_a_topic_takes_the_message_as_its_policy_lets_cloudwatch(watched: Watched) -> None:
    ask = watched.client.ask
    await watched.inside.deployment.records.deliveries.close()
    topic = (await ask("sns", "CreateTopic", Name="alarms"))["TopicArn"]
    await ask("sqs", "CreateQueue", QueueName="alarms")
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:alarms"
    await ask("sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=queue)
    await watched.ask("PutMetricAlarm", **settings(AlarmActions=[topic]))
    await watched.put(1, 11.0)
    assert await watched.look() == "ALARM"
    (told,) = await published(watched)
    await deliver(watched, job_of(told), NOW)
    assert await watched.history("Action") == [f"Successfully executed action {topic}"]
    (passed_on,) = await submitted(watched, "sns:delivery")
    message = json.loads(base64.b64decode(passed_on["message"]))
    assert told["message"] in message.values()
    assert message["subject"] == told["subject"]


async def test_a_topic_whose_policy_does_not_let_cloudwatch_takes_nothing(
    watched: Watched,
) -> None:
    ask = watched.client.ask
    await watched.inside.deployment.records.deliveries.close()
    topic = (await ask("sns", "CreateTopic", Name="alarms"))["TopicArn"]
    other = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:another"
    policy = _lets_cloudwatch(topic, other)
    await ask(
        "sns", "SetTopicAttributes", TopicArn=topic, AttributeName="Policy", AttributeValue=policy
    )
    await watched.ask("PutMetricAlarm", **settings(AlarmActions=[topic]))
    await watched.ask("SetAlarmState", AlarmName=NAME, StateValue="ALARM", StateReason="r")
    (told,) = await published(watched)
    with pytest.raises(RetryLater) as caught:
        await deliver(watched, job_of(told), NOW)
    assert "is not authorized to perform: SNS:Publish" in str(caught.value.__cause__)
    policy = _lets_cloudwatch(topic, f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*")
    await ask(
        "sns", "SetTopicAttributes", TopicArn=topic, AttributeName="Policy", AttributeValue=policy
    )
    await deliver(watched, job_of(told), NOW)


def _lets_cloudwatch(topic: str, alarm: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {
            "ArnLike": {"aws:SourceArn": alarm},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


async def test_a_change_of_state_is_an_event_of_the_default_bus(watched: Watched) -> None:
    ask = watched.client.ask
    await watched.inside.deployment.records.deliveries.close()
    await ask("sqs", "CreateQueue", QueueName="events")
    pattern = json.dumps({"source": ["aws.cloudwatch"], "detail": {"state": {"value": ["ALARM"]}}})
    await ask("events", "PutRule", Name="alarms", EventPattern=pattern)
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"
    await ask("events", "PutTargets", Rule="alarms", Targets=[{"Id": "1", "Arn": queue}])
    await watched.ask("PutMetricAlarm", **settings(AlarmDescription="d"))
    await watched.put(1, 11.0)
    assert await watched.look() == "ALARM"
    (submitted_event,) = await submitted(watched, "events:event")
    event = json.loads(submitted_event["event"])
    alarm = await watched.alarm()
    state = event["detail"]["state"]
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["source"] == "aws.cloudwatch"
    assert event["resources"] == [alarm["AlarmArn"]]
    assert event["time"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert event["detail"]["alarmName"] == NAME
    assert (state["value"], state["reason"]) == ("ALARM", alarm["StateReason"])
    assert json.loads(state["reasonData"])["threshold"] == 10
    assert event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA"
    (metric,) = event["detail"]["configuration"]["metrics"]
    assert event["detail"]["configuration"]["description"] == "d"
    assert metric["metricStat"] == {
        "metric": {"namespace": "Shop", "name": "Visits", "dimensions": {}},
        "period": 60,
        "stat": "Sum",
    }


async def test_alarms_are_found_by_name_state_prefix_action_and_metric(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(AlarmName="a1", AlarmActions=[TOPIC]))
    await watched.ask("PutMetricAlarm", **settings(AlarmName="a2", MetricName="Sales"))
    await watched.ask("SetAlarmState", AlarmName="a2", StateValue="ALARM", StateReason="r")
    filters: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["a1", "a2"]),
        ({"AlarmNames": ["a2", "none"]}, ["a2"]),
        ({"AlarmNamePrefix": "a"}, ["a1", "a2"]),
        ({"AlarmNamePrefix": "b"}, []),
        ({"StateValue": "ALARM"}, ["a2"]),
        ({"ActionPrefix": "arn:aws:sns"}, ["a1"]),
        ({"AlarmTypes": ["CompositeAlarm"]}, []),
    ]
    for asked, names in filters:
        answer = await watched.ask("DescribeAlarms", **asked)
        assert [alarm["AlarmName"] for alarm in answer["MetricAlarms"]] == names
        assert answer["CompositeAlarms"] == []
    first = await watched.ask("DescribeAlarms", MaxRecords=1)
    rest = await watched.ask("DescribeAlarms", MaxRecords=1, NextToken=first["NextToken"])
    assert rest["MetricAlarms"][0]["AlarmName"] == "a2"
    for asked, names in (({}, ["a1"]), ({"Statistic": "Average"}, []), ({"Period": 60}, ["a1"])):
        answer = await watched.ask(
            "DescribeAlarmsForMetric", MetricName="Visits", Namespace="Shop", **asked
        )
        assert [alarm["AlarmName"] for alarm in answer["MetricAlarms"]] == names


async def test_a_changed_alarm_keeps_its_state(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(AlarmDescription="one"))
    await watched.ask("SetAlarmState", AlarmName=NAME, StateValue="OK", StateReason="r")
    await watched.ask("PutMetricAlarm", **settings(Threshold=99.0))
    alarm = await watched.alarm()
    assert (alarm["StateValue"], alarm["Threshold"]) == ("OK", 99.0)
    assert "AlarmDescription" not in alarm
    assert await watched.history("ConfigurationUpdate") == [
        f'Alarm "{NAME}" created',
        f'Alarm "{NAME}" updated',
    ]


async def test_either_all_alarms_are_deleted_or_none(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings())
    code, _ = await watched.refusal("DeleteAlarms", AlarmNames=[NAME, "none"])
    assert code == "ResourceNotFound"
    await watched.alarm()
    await watched.ask("DeleteAlarms", AlarmNames=[NAME])
    assert (await watched.ask("DescribeAlarms"))["MetricAlarms"] == []
    assert (await watched.history("ConfigurationUpdate"))[-1] == f'Alarm "{NAME}" deleted'


async def test_tags_of_alarms(watched: Watched) -> None:
    await watched.ask("PutMetricAlarm", **settings(Tags=[{"Key": "a", "Value": "1"}]))
    arn = (await watched.alarm())["AlarmArn"]
    await watched.ask("TagResource", ResourceARN=arn, Tags=[{"Key": "b", "Value": "2"}])
    await watched.ask("UntagResource", ResourceARN=arn, TagKeys=["a"])
    answer = await watched.ask("ListTagsForResource", ResourceARN=arn)
    assert answer["Tags"] == [{"Key": "b", "Value": "2"}]
    code, _ = await watched.refusal("ListTagsForResource", ResourceARN=f"{arn}-none")
    assert code == "ResourceNotFoundException"


async def test_a_policy_may_be_about_one_alarm_or_its_tags(watched: Watched) -> None:
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:mine-*"
    statements = [
        {"Effect": "Allow", "Action": "cloudwatch:PutMetricAlarm", "Resource": arn},
        {
            "Effect": "Allow",
            "Action": "cloudwatch:DeleteAlarms",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/team": "web"}},
        },
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    ann = watched.inside.client(await watched.inside.user(ACCOUNT, "ann", policy))
    await ann.ask("cloudwatch", "PutMetricAlarm", **settings(AlarmName="mine-1"))
    await watched.ask(
        "PutMetricAlarm", **settings(AlarmName="b", Tags=[{"Key": "team", "Value": "web"}])
    )
    with pytest.raises(ClientError, match="cloudwatch:PutMetricAlarm"):
        await ann.ask("cloudwatch", "PutMetricAlarm", **settings(AlarmName="b"))
    with pytest.raises(ClientError, match="cloudwatch:DeleteAlarms"):
        await ann.ask("cloudwatch", "DeleteAlarms", AlarmNames=["b", "mine-1"])
    await ann.ask("cloudwatch", "DeleteAlarms", AlarmNames=["b"])


async def test_settings_that_make_no_sense_or_are_not_honoured_are_refused(
    watched: Watched,
) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"TreatMissingData": "maybe"}, "TreatMissingData"),
        ({"Period": 45}, "multiple of 60"),
        ({"Period": 5}, "multiple of 60"),
        ({"EvaluationPeriods": 1441}, "more than a day"),
        ({"EvaluationPeriods": 169, "Period": 3600}, "more than a week"),
        ({"DatapointsToAlarm": 2}, "DatapointsToAlarm"),
        ({"Statistic": None}, "Exactly one of the parameters Statistic"),
        ({"ExtendedStatistic": "p90"}, "Exactly one of the parameters Statistic"),
        ({"Statistic": None, "ExtendedStatistic": "p900"}, "p900"),
        ({"EvaluateLowSampleCountPercentile": "ignore"}, "percentile"),
        ({"MetricName": None}, "MetricName is required"),
        ({"Threshold": None}, "Threshold is required"),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, "anomaly"),
        ({"ThresholdMetricId": "a1"}, "ThresholdMetricId is not supported"),
        ({"EvaluationWindow": {"WallClockWindow": {}}}, "WallClockWindow is not supported"),
        ({"Metrics": [_query("m1", "Visits")]}, "mutually exclusive"),
        ({"AlarmActions": ["arn:aws:automate:us-east-1:ec2:stop"]}, "Amazon SNS topics"),
        ({"OKActions": ["nonsense"]}, "Invalid arn syntax: nonsense"),
        ({"AlarmActions": [TOPIC.replace("us-east-1", "eu-west-1")]}, "Invalid region eu-west-1"),
    ]
    for changed, text in wrong:
        _, message = await watched.refusal("PutMetricAlarm", **settings(**changed))
        assert text in message
    assert (await watched.ask("DescribeAlarms"))["MetricAlarms"] == []
