"""The documents' rule on events of Bedrock, and targets of services that are elsewhere."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from event_worlds import put, received, rule_to_queue
from in_process import ADMIN, Client, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.config import Services, Target
from outcrop.events.bus import service_event

SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
JOB = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-customization-job/abcdefghwxyz"
STATE_CHANGE = "Model Customization Job State Change"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)


async def publish(inside: Inside, status: str) -> None:
    event = service_event("aws.bedrock", STATE_CHANGE, [JOB], {"jobArn": JOB, "jobStatus": status})
    deployment = inside.deployment
    async with deployment.state.stores.resources.writing() as transaction:
        await deployment.records.observing.events.publish(transaction, ACCOUNT, "us-east-1", event)


async def statuses(client: Client, url: str, count: int) -> list[str]:
    """Of the next messages, by the alphabet: they come in no particular order."""
    found: list[str] = []
    while len(found) < count:
        message = await received(client, url)
        assert message is not None
        found.append(json.loads(message["Body"])["detail"]["jobStatus"])
    return sorted(found)


async def test_the_documents_rule_takes_all_states_and_a_pattern_some_of_them(
    inside: Inside, admin: Client
) -> None:
    rule = (SEED / "RUN-197.json").read_text(encoding="utf-8")
    everything = await rule_to_queue(admin, "everything", pattern=rule)
    some = {"source": ["aws.bedrock"], "detail": {"jobStatus": ["Failed", "Stopped"]}}
    failed = await rule_to_queue(admin, "failed", pattern=json.dumps(some))
    await put(admin)
    for status in ("InProgress", "Failed", "Completed"):
        await publish(inside, status)
    assert await statuses(admin, everything, 3) == ["Completed", "Failed", "InProgress"]
    assert await statuses(admin, failed, 1) == ["Failed"]


class Elsewhere:
    """Any service of AWS: takes what it is asked, after so many refusals."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[str, str, Any]] = asyncio.Queue()
        self.refusals = 1
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.refusals:
            self.refusals -= 1
            return web.json_response({"__type": "InternalFailure"}, status=500)
        action = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        await self.asked.put((action, request.path, body))
        return web.json_response(ANSWER)


ANSWER = {"SequenceNumber": "1", "ShardId": "s", "RecordId": "r", "jobId": "j", "jobName": "n"}


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    there = Elsewhere()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", there.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    there.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield there
    await runner.cleanup()


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{resource}"


TASK = arn("ecs", "task-definition/t:1")
TARGETS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "lambda": (arn("lambda", "function:f"), {}, "", {"job": "one"}),
    "kinesis": (
        arn("kinesis", "stream/s"),
        {"KinesisParameters": {"PartitionKeyPath": "$.detail.job"}},
        "PutRecord",
        {"StreamARN": arn("kinesis", "stream/s"), "PartitionKey": "one"},
    ),
    "firehose": (
        arn("firehose", "deliverystream/d"),
        {},
        "PutRecord",
        {"DeliveryStreamName": "d"},
    ),
    "states": (
        arn("states", "stateMachine:m"),
        {},
        "StartExecution",
        {"stateMachineArn": arn("states", "stateMachine:m"), "input": '{"job":"one"}'},
    ),
    "ecs": (
        arn("ecs", "cluster/c"),
        {"EcsParameters": {"TaskDefinitionArn": TASK, "TaskCount": 2}},
        "RunTask",
        {"cluster": arn("ecs", "cluster/c"), "taskDefinition": TASK, "count": 2},
    ),
    "sagemaker": (
        arn("sagemaker", "pipeline/p"),
        {"SageMakerPipelineParameters": {"PipelineParameterList": [{"Name": "n", "Value": "v"}]}},
        "StartPipelineExecution",
        {"PipelineParameters": [{"Name": "n", "Value": "v"}]},
    ),
    "batch": (
        arn("batch", "job-queue/q"),
        {"BatchParameters": {"JobName": "b", "JobDefinition": "d"}},
        "",
        {"jobQueue": arn("batch", "job-queue/q"), "jobName": "b", "jobDefinition": "d"},
    ),
}


@pytest.mark.parametrize("service", TARGETS)
async def test_a_service_elsewhere_is_asked_by_its_own_operation_until_it_takes_the_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Elsewhere, service: Any
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "elsewhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "elsewhere")
    services = Services(targets={service: Target(endpoint=elsewhere.url)})
    to, parameters, action, members = TARGETS[service]
    async with running_inside(tmp_path, monkeypatch, services=services) as inside:
        client = inside.client(ADMIN)
        target: dict[str, Any] = {"Id": "t", "Arn": to, "InputPath": "$.detail", **parameters}
        if service != "lambda":
            target["RoleArn"] = await inside.role(ACCOUNT, "sender", TRUST, EVERYTHING)
        if service in ("sagemaker", "ecs"):
            del target["InputPath"]
        await client.ask("events", "PutRule", Name="jobs", EventPattern='{"source":["shop"]}')
        made = await client.ask("events", "PutTargets", Rule="jobs", Targets=[target])
        assert made["FailedEntries"] == []
        await put(client, '{"job":"one"}')
        async with asyncio.timeout(60):
            asked, path, body = await elsewhere.asked.get()
    assert asked == action
    assert body.items() >= members.items()
    if service == "lambda":
        assert path == f"/2015-03-31/functions/{to}/invocations"
    if service in ("kinesis", "firehose"):
        data = body.get("Data") or body["Record"]["Data"]
        assert json.loads(base64.b64decode(data)) == {"job": "one"}
