"""Zones: while the engine of one does not answer, another zone's does; AWS Health tells."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from running_gateways import Gateway, start_gateway

MODEL = "anthropic.claude-v2"
ASK = [{"role": "user", "content": [{"text": "hello"}]}]

# Nobody listens on port 9 of loopback.
ZONES = """
[engines.gone]
kind = "openai"
url = "http://127.0.0.1:9/v1"
model = "m"

[engines.script]
kind = "scripted"

[zones]
a = ["gone"]
b = ["script"]

[[bind]]
pattern = "*"
engine = "gone"
standby = ["script"]

[[bind]]
pattern = "meta.*"
engine = "gone"
"""


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("zones"), ZONES)
    yield gateway
    gateway.stop()


def events(gateway: Gateway, **filters: Any) -> list[Any]:
    return gateway.client("health").describe_events(filter=filters)["events"]


def converse(gateway: Gateway, model: str = MODEL) -> Any:
    return gateway.client("bedrock-runtime").converse(modelId=model, messages=ASK)


def wait_for_event(gateway: Gateway) -> Any:
    """The watch looks every second; each answer here is a request that takes its time."""
    for _ in range(2000):
        found = events(gateway, services=["BEDROCK"])
        if found:
            return found[0]
    return pytest.fail("no event was opened")


def test_another_zone_answers_without_interruption(zones: Gateway) -> None:
    answer = converse(zones)
    served_by = answer["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-served-by"]
    assert served_by == "scripted"
    assert answer["output"]["message"]["content"] == [{"text": "hello"}]


def test_a_stream_begins_in_another_zone_too(zones: Gateway) -> None:
    stream = zones.client("bedrock-runtime").converse_stream(modelId=MODEL, messages=ASK)
    texts = [
        e["contentBlockDelta"]["delta"]["text"]
        for e in stream["stream"]
        if "contentBlockDelta" in e
    ]
    assert "".join(texts) == "hello"


def test_without_a_standby_the_error_is_the_engines(zones: Gateway) -> None:
    runtime = zones.client("bedrock-runtime")
    with pytest.raises(runtime.exceptions.ServiceUnavailableException):
        runtime.converse(modelId="meta.llama3-8b-instruct-v1:0", messages=ASK)


def test_the_issue_is_an_event_of_its_zone_with_the_models_it_hits(zones: Gateway) -> None:
    converse(zones)
    event = wait_for_event(zones)
    assert event["availabilityZone"] == "us-east-1a"
    assert (event["statusCode"], event["eventScopeCode"]) == ("open", "PUBLIC")
    assert event["eventTypeCode"] == "AWS_BEDROCK_OPERATIONAL_ISSUE"
    health = zones.client("health")
    (details,) = health.describe_event_details(eventArns=[event["arn"]])["successfulSet"]
    assert "gone" in details["eventDescription"]["latestDescription"]
    pages = health.get_paginator("describe_affected_entities").paginate(
        filter={"eventArns": [event["arn"]]}
    )
    values = {entity["entityValue"] for page in pages for entity in page["entities"]}
    assert MODEL in values


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"availabilityZones": ["us-east-1b"]}, 0),
        ({"eventStatusCodes": ["closed"]}, 0),
        ({"regions": ["us-east-1"], "eventStatusCodes": ["open"]}, 1),
        ({"eventTypeCategories": ["scheduledChange"]}, 0),
        ({"entityValues": [MODEL]}, 1),
        ({"entityValues": ["nothing"]}, 0),
    ],
)
def test_events_are_filtered(zones: Gateway, filters: dict[str, Any], count: int) -> None:
    converse(zones)
    wait_for_event(zones)
    assert len(events(zones, **filters)) == count


def test_an_event_that_is_not_there_is_told_by_its_arn(zones: Gateway) -> None:
    arn = "arn:aws:health:us-east-1::event/S3/AWS_S3_OPERATIONAL_ISSUE/X_1"
    answer = zones.client("health").describe_event_details(eventArns=[arn])
    assert [each["eventArn"] for each in answer["failedSet"]] == [arn]


def test_outcrop_health_tells_what_does_not_work(zones: Gateway) -> None:
    converse(zones)
    wait_for_event(zones)
    command = [sys.executable, "-m", "outcrop", "health", "--data-dir", str(zones.data_dir)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "us-east-1a" in told.stdout
    assert "The engine gone does not answer" in told.stdout
    plain = subprocess.run([*command, "--json"], capture_output=True, check=False)
    assert msgspec.json.decode(plain.stdout)[0]["zone"] == "us-east-1a"


def test_a_zone_is_a_letter(tmp_path: Path) -> None:
    config = tmp_path / "outcrop.toml"
    config.write_text('[zones]\nfirst = ["script"]\n')
    command = [sys.executable, "-m", "outcrop", "serve", "--config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "'first'" in ended.stderr
