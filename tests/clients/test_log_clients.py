"""CloudWatch Logs as the AWS CLI and boto3 use it, and ``outcrop logs query`` beside them."""

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateways import SCRIPTED, Gateway, start_gateway

from outcrop.cli.invocation_records import STREAM

SAMPLES = Path(__file__).resolve().parents[2] / "../shared/invocation-log-samples.jsonl"
GROUP = "bedrock-logs"
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    started = start_gateway(tmp_path_factory.mktemp("logs"), SCRIPTED)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def logs(gateway: Gateway) -> Any:
    """With a log group of invocations in it."""
    client = gateway.client("logs", inject_host_prefix=False)
    client.create_log_group(logGroupName=GROUP)
    client.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    now_ms = int(time.time() * 1000)
    messages = ["Permissions are correctly set for Amazon Bedrock logs.", *records()]
    client.put_log_events(
        logGroupName=GROUP,
        logStreamName=STREAM,
        logEvents=[{"timestamp": now_ms, "message": each} for each in messages],
    )
    return client


def records() -> list[str]:
    return SAMPLES.read_text(encoding="utf-8").splitlines()


def aws(gateway: Gateway, cli: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [str(cli), "logs", *arguments],
        env=gateway.environment,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def outcrop(gateway: Gateway, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "outcrop", "logs", "query", *arguments),
            *("--data-dir", str(gateway.data_dir), "--config", str(gateway.config)),
        ],
        env=gateway.environment | {"COLUMNS": "200"},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
    return (done.stdout if code == 0 else done.stderr).decode()


def test_the_aws_cli_finds_events_by_a_json_pattern(
    gateway: Gateway, logs: Any, aws_v1: Path
) -> None:
    found = json.loads(
        aws(
            gateway,
            aws_v1,
            "filter-log-events",
            "--log-group-name",
            GROUP,
            "--filter-pattern",
            '{ $.operation = "ConverseStream" && $.input.inputTokenCount > 10 }',
        )
    )
    wanted = [
        json.loads(each)["requestId"]
        for each in records()
        if json.loads(each)["operation"] == "ConverseStream"
        and json.loads(each)["input"].get("inputTokenCount", 0) > 10
    ]
    assert [json.loads(each["message"])["requestId"] for each in found["events"]] == wanted
    assert wanted


def test_the_aws_cli_asks_logs_insights(gateway: Gateway, logs: Any, aws_v1: Path) -> None:
    now_s = int(time.time())
    started = json.loads(
        aws(
            gateway,
            aws_v1,
            *("start-query", "--log-group-name", GROUP),
            *("--start-time", str(now_s - 3600), "--end-time", str(now_s + 3600)),
            *("--query-string", "filter ispresent(modelId) | stats count(*) as calls by operation"),
        )
    )
    deadline = time.monotonic() + 60
    while True:
        answer = json.loads(
            aws(gateway, aws_v1, "get-query-results", "--query-id", started["queryId"])
        )
        if answer["status"] not in ("Scheduled", "Running"):
            break
        assert time.monotonic() < deadline
    counts = {row[0]["value"]: row[1]["value"] for row in answer["results"]}
    expected: dict[str, int] = {}
    for each in records():
        operation = json.loads(each)["operation"]
        expected[operation] = expected.get(operation, 0) + 1
    assert counts == {name: str(count) for name, count in expected.items()}


def test_the_aws_cli_tails_a_group(gateway: Gateway, logs: Any, aws_v2: Path) -> None:
    lines = aws(gateway, aws_v2, "tail", GROUP, "--since", "1h", "--format", "short").splitlines()
    assert len(lines) == len(records()) + 1
    assert "Permissions are correctly set" in lines[0]


def test_boto3_tails_a_group_as_it_grows(logs: Any) -> None:
    logs.create_log_group(logGroupName="tailed")
    logs.create_log_stream(logGroupName="tailed", logStreamName="one")
    (group,) = logs.describe_log_groups(logGroupNamePrefix="tailed")["logGroups"]
    answer = logs.start_live_tail(
        logGroupIdentifiers=[group["logGroupArn"]], logEventFilterPattern="hello"
    )
    stream = iter(answer["responseStream"])
    assert next(stream)["sessionStart"]["logEventFilterPattern"] == "hello"
    logs.put_log_events(
        logGroupName="tailed",
        logStreamName="one",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": "hello there"}],
    )
    updates = (event["sessionUpdate"]["sessionResults"] for event in stream)
    results: list[dict[str, Any]] = next(each for each in updates if each)
    assert results[0]["message"] == "hello there"
    answer["responseStream"].close()


def test_outcrop_queries_invocations_by_sql(gateway: Gateway, logs: Any) -> None:
    sql = (
        "SELECT operation, count(*) AS calls, sum(inputTokenCount) AS tokens "
        "FROM invocations GROUP BY operation ORDER BY operation"
    )
    lines = outcrop(gateway, sql, "--log-group", GROUP, "--format", "json").splitlines()
    expected: dict[str, list[Any]] = {}
    for each in map(json.loads, records()):
        row = expected.setdefault(each["operation"], [0, None])
        row[0] += 1
        tokens = each["input"].get("inputTokenCount")
        row[1] = row[1] if tokens is None else (row[1] or 0) + tokens
    assert [json.loads(line) for line in lines] == [
        {"operation": name, "calls": calls, "tokens": tokens}
        for name, (calls, tokens) in sorted(expected.items())
    ]
    table = outcrop(gateway, sql, "--log-group", GROUP)
    assert "operation" in table.splitlines()[0]
    assert "ConverseStream" in table
    as_csv = outcrop(gateway, "SELECT 1 AS a, 'x,y' AS b", "--log-group", GROUP, "--format", "csv")
    assert as_csv == 'a,b\n1,"x,y"\n'


def test_outcrop_reads_what_lies_in_s3(gateway: Gateway, logs: Any) -> None:
    s3 = gateway.client("s3")
    s3.create_bucket(Bucket="invocation-logs")
    packed = gzip.compress("\n".join(records()).encode())
    place = "p/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/22/15"
    s3.put_object(Bucket="invocation-logs", Key=f"{place}/1_x.json.gz", Body=packed)
    s3.put_object(Bucket="invocation-logs", Key=f"{place}/data/r_input.json.gz", Body=b"{}")
    found = outcrop(
        gateway,
        "SELECT count(*) AS n, count(input->'$.inputBodyJson') > 0 AS has FROM invocations",
        *("--s3", "s3://invocation-logs/p", "--format", "json"),
    )
    assert json.loads(found) == {"n": len(records()), "has": True}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM read_text('/etc/passwd')", "disabled"),
        ("COPY invocations TO '/tmp/out.csv'", "Only one SELECT"),
        ("DELETE FROM invocations", "Only one SELECT"),
        ("SELECT 1; SELECT 2", "Only one SELECT"),
        ("SELEC", "does not run"),
        ("SELECT * FROM nothing", "does not run"),
    ],
)
def test_a_query_reads_nothing_but_the_logs(
    gateway: Gateway, logs: Any, sql: str, said: str
) -> None:
    assert said in outcrop(gateway, sql, "--log-group", GROUP, code=1)


def test_an_account_without_invocation_logs_is_told_what_to_do(gateway: Gateway) -> None:
    said = outcrop(gateway, "SELECT 1", code=1)
    assert "does not log its invocations" in said
