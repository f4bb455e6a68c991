"""Metrics and alarms with both AWS CLIs and boto3, as docs/metrics.md has them."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
MODEL = "amazon.titan-text-express-v1"
WAIT_S = 60


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that has answered three calls and refused one."""
    running = start_gateway(tmp_path_factory.mktemp("counted"), SCRIPTED)
    runtime = running.client("bedrock-runtime")
    for _ in range(3):
        runtime.invoke_model(modelId=MODEL, body=json.dumps({"inputText": "Hello"}))
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.invoke_model(modelId=MODEL, body="{}")
    yield running
    running.stop()


@pytest.fixture(params=["aws_v1", "aws_v2"])
def shell(request: pytest.FixtureRequest, counted: Gateway) -> dict[str, str]:
    """The environment of a shell in which ``aws`` is the CLI under test."""
    aws: Path = request.getfixturevalue(request.param)
    path = f"{aws.parent}:/usr/local/bin:/usr/bin:/bin"
    return {**counted.environment, "PATH": path, "AWS_PAGER": ""}


def run(shell: dict[str, str], script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**shell, "AWS_DEFAULT_OUTPUT": "json"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def documents(text: str) -> list[Any]:
    """The JSON documents that commands have printed one after the other."""
    decoder, found, at = json.JSONDecoder(), list[Any](), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def test_the_page_reads_and_puts_metrics_with_each_cli(shell: dict[str, str]) -> None:
    reading, putting, _ = blocks()
    listed, statistics = documents(run(shell, reading))
    names = {metric["MetricName"] for metric in listed["Metrics"]}
    assert {"Invocations", "InvocationLatency", "InvocationClientErrors"} <= names
    assert sum(point["Sum"] for point in statistics["Datapoints"]) == 4
    assert run(shell, putting) == ""


def test_the_page_s_alarm_tells_its_topic_and_a_queue_of_it(
    shell: dict[str, str], counted: Gateway
) -> None:
    sns, sqs = counted.client("sns"), counted.client("sqs")
    topic = sns.create_topic(Name="bedrock-alarms")["TopicArn"]
    queue = sqs.create_queue(QueueName="alarms")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:alarms"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    commands = blocks()[2]
    # A gateway without a mail server has no e-mail to subscribe.
    commands = re.sub(r"aws sns subscribe.*\n", "", commands)
    described, history = documents(run(shell, commands))
    (alarm,) = described["MetricAlarms"]
    assert alarm["AlarmActions"] == [topic]
    assert any("to ALARM" in item["HistorySummary"] for item in history["AlarmHistoryItems"])
    told = _received(sqs, queue)
    assert told["NewStateValue"] == "ALARM"
    assert told["Trigger"]["MetricName"] == "InvocationServerErrors"
    counted.client("cloudwatch").delete_alarms(AlarmNames=["bedrock-errors"])
    sqs.delete_queue(QueueUrl=queue)


def _received(sqs: Any, queue: str) -> dict[str, Any]:
    """The first message of a state ALARM."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages", ()):
            told = json.loads(json.loads(message["Body"])["Message"])
            if told["NewStateValue"] == "ALARM":
                return told
    pytest.fail("the alarm told its topic nothing")


def test_an_alarm_on_bedrock_s_metrics_is_evaluated_by_the_server(counted: Gateway) -> None:
    cloudwatch = counted.client("cloudwatch")
    at = datetime.now(UTC) - timedelta(minutes=1)
    datum = {"MetricName": "Visits", "Value": 5.0, "Timestamp": at}
    cloudwatch.put_metric_data(Namespace="Evaluated", MetricData=[datum])
    cloudwatch.put_metric_alarm(
        AlarmName="evaluated",
        Namespace="Evaluated",
        MetricName="Visits",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=4.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    waiter = cloudwatch.get_waiter("alarm_exists")
    waiter.wait(AlarmNames=["evaluated"])
    deadline = time.monotonic() + WAIT_S
    while True:
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=["evaluated"])["MetricAlarms"]
        if alarm["StateValue"] == "ALARM":
            break
        assert time.monotonic() < deadline, alarm
        time.sleep(0.5)


def test_boto3_pages_through_metrics_and_sends_compressed_bodies(counted: Gateway) -> None:
    cloudwatch = counted.client("cloudwatch", request_min_compression_size_bytes=1)
    for start in (0, 300):
        data = [
            {
                "MetricName": "Visits",
                "Dimensions": [{"Name": "Shelf", "Value": str(number)}],
                "Values": [1.0, 2.0],
            }
            for number in range(start, start + 300)
        ]
        cloudwatch.put_metric_data(Namespace="Paged", MetricData=data)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="Paged")
    assert sum(len(page["Metrics"]) for page in pages) == 600
