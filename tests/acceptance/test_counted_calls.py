"""Metrics over hundreds of calls of every kind equal what their clients saw: by CloudWatch's API,
at ``/metrics``, and after the gateway was killed."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EventStreamError
from prometheus_client.parser import text_string_to_metric_families
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

CALLS = 500
TITAN = "amazon.titan-text-lite-v1"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
BROKEN = 'script: [{"text": "so far"}, {"error": "gone"}]'
NAMES = {
    "Invocations": "bedrock_invocations_total",
    "InvocationClientErrors": "bedrock_invocation_client_errors_total",
    "InvocationServerErrors": "bedrock_invocation_server_errors_total",
    "InvocationThrottles": "bedrock_invocation_throttles_total",
    "InputTokenCount": "bedrock_input_tokens_total",
    "OutputTokenCount": "bedrock_output_tokens_total",
    "ContentFilteredCount": "bedrock_content_filtered_total",
}

Truth = Counter[str]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    running = start_gateway(tmp_path, SCRIPTED)
    yield running
    if running.process.poll() is None:
        running.stop()


def turns(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def used(truth: Truth, input_tokens: int, output_tokens: int) -> None:
    truth.update(
        Invocations=1, InputTokenCount=input_tokens, OutputTokenCount=output_tokens, latencies=1
    )


class Caller:
    """Calls one model in each way that a client can, and notes what came of it."""

    def __init__(self, runtime: Any, model: str) -> None:
        self.runtime = runtime
        self.model = model
        self.truth = Truth()

    def conversation(self) -> None:
        answer = self.runtime.converse(modelId=self.model, messages=turns("well met by moonlight"))
        used(self.truth, answer["usage"]["inputTokens"], answer["usage"]["outputTokens"])

    def filtered(self) -> None:
        script = 'script: [{"text": "so far"}, {"stop": "filtered"}]'
        answer = self.runtime.converse(modelId=self.model, messages=turns(script))
        assert answer["stopReason"] == "content_filtered"
        used(self.truth, answer["usage"]["inputTokens"], answer["usage"]["outputTokens"])
        self.truth["ContentFilteredCount"] += 1

    def stream(self) -> None:
        answer = self.runtime.converse_stream(modelId=self.model, messages=turns("hello"))
        last = list(answer["stream"])[-1]["metadata"]["usage"]
        used(self.truth, last["inputTokens"], last["outputTokens"])

    def broken_stream(self) -> None:
        answer = self.runtime.converse_stream(modelId=self.model, messages=turns(BROKEN))
        with closing(answer["stream"]), pytest.raises(EventStreamError):
            list(answer["stream"])
        self.truth.update(Invocations=1, InvocationServerErrors=1)

    def client_error(self) -> None:
        with pytest.raises(ClientError, match="ValidationException"):
            self.runtime.invoke_model(modelId=self.model, body="no JSON")
        self.truth.update(Invocations=1, InvocationClientErrors=1)

    def server_error(self) -> None:
        with pytest.raises(ClientError, match="ServiceUnavailableException"):
            self.runtime.converse(modelId=self.model, messages=turns('script: [{"error": "gone"}]'))
        self.truth.update(Invocations=1, InvocationServerErrors=1)

    def throttle(self) -> None:
        with pytest.raises(ClientError, match="ThrottlingException"):
            self.runtime.converse(modelId=self.model, messages=turns('script: [{"error": "busy"}]'))
        self.truth.update(InvocationThrottles=1)

    def ways(self) -> list[Callable[[], None]]:
        return [
            self.conversation,
            self.filtered,
            self.stream,
            self.broken_stream,
            self.client_error,
            self.server_error,
            self.throttle,
        ]


def statistic(cloudwatch: Any, name: str, model: str | None, statistic: str) -> float:
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace="AWS/Bedrock",
        MetricName=name,
        Dimensions=[{"Name": "ModelId", "Value": model}] if model else [],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=[statistic],
    )
    return sum(point[statistic] for point in answer["Datapoints"])


def page(gateway: Gateway) -> dict[tuple[str, str], float]:
    text = httpx.get(f"{gateway.url}/metrics").raise_for_status().text
    return {
        (sample.name, sample.labels["model_id"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("account") == ACCOUNT and "model_id" in sample.labels
    }


@pytest.fixture
def runtime(gateway: Gateway) -> Iterator[Any]:
    with closing(gateway.client("bedrock-runtime")) as runtime:
        yield runtime


def test_metrics_are_what_the_clients_saw(gateway: Gateway, runtime: Any) -> None:
    callers = [Caller(runtime, model) for model in (TITAN, CLAUDE)]
    ways = [way for caller in callers for way in caller.ways()]
    for turn in range(CALLS):
        # Each way many times, and in changing company.
        ways[(turn * 5 + turn // 9) % len(ways)]()
    with closing(gateway.client("cloudwatch")) as cloudwatch:
        check_statistics(cloudwatch, callers)
    told = page(gateway)
    for caller in callers:
        for name, of_page in NAMES.items():
            assert told[of_page, caller.model] == caller.truth[name], name
        latencies = told["bedrock_invocation_latency_seconds_count", caller.model]
        assert latencies == caller.truth["latencies"]


def check_statistics(cloudwatch: Any, callers: list[Caller]) -> None:
    together = sum((caller.truth for caller in callers), Truth())
    for name in NAMES:
        for caller in callers:
            assert statistic(cloudwatch, name, caller.model, "Sum") == caller.truth[name], name
        assert statistic(cloudwatch, name, None, "Sum") == together[name], name
    for caller in callers:
        counted = statistic(cloudwatch, "InvocationLatency", caller.model, "SampleCount")
        assert counted == caller.truth["latencies"]


def test_metrics_and_trail_outlive_a_gateway_that_is_killed(gateway: Gateway, runtime: Any) -> None:
    body = json.dumps({"inputText": "well met"})
    requests = [
        runtime.invoke_model(modelId=TITAN, body=body)["ResponseMetadata"]["RequestId"]
        for _ in range(60)
    ]
    gateway.process.kill()
    gateway.process.wait()
    again = start_gateway(gateway.data_dir.parent, SCRIPTED)
    try:
        with closing(again.client("cloudwatch")) as cloudwatch:
            assert statistic(cloudwatch, "Invocations", TITAN, "Sum") == len(requests)
        with closing(again.client("cloudtrail")) as cloudtrail:
            pages = cloudtrail.get_paginator("lookup_events").paginate(
                LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "InvokeModel"}]
            )
            events = [event for page in pages for event in page["Events"]]
        told = [json.loads(event["CloudTrailEvent"])["requestID"] for event in events]
        assert sorted(told) == sorted(requests)
    finally:
        again.stop()
