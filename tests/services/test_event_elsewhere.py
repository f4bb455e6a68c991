"""Targets of services elsewhere, against a server that answers as they do and keeps what it got."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from outcrop.config import Target, TargetService
from outcrop.jobs.delivery import NotDelivered
from outcrop.services.events.elsewhere import Elsewhere
from outcrop.services.events.failures import Refused
from outcrop.services.events.turns import Turns

ACCOUNT = "123456789012"
EVENT = {"id": "0f5b2c1e-1111-4222-8333-444455556666", "source": "shop", "detail": {"k": "v"}}
SERVICES: tuple[TargetService, ...] = (
    *("lambda", "kinesis", "firehose", "states", "ecs", "sagemaker", "batch"),
)


@dataclass
class Got:
    path: str
    target: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Service:
    url: str = ""
    status: int = 200
    answer: dict[str, Any] = field(default_factory=dict[str, Any])
    got: list[Got] = field(default_factory=list[Got])

    def elsewhere(self, *only: TargetService) -> Elsewhere:
        named = only or SERVICES
        return Elsewhere(
            {one: Target(region="eu-west-1", endpoint=self.url) for one in named}, Turns()
        )


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDELSEWHERE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            target = headers.get("x-amz-target", "")
            service.got.append(Got(self.path, target, headers, msgspec.json.decode(body)))
            answer = msgspec.json.encode(service.answer)
            self.send_response(service.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-west-1:{ACCOUNT}:{resource}"


VPC = {"awsvpcConfiguration": {"Subnets": ["s"], "SecurityGroups": ["g"]}}
RUN = {
    "TaskDefinitionArn": "t:1",
    "TaskCount": 2,
    "LaunchType": "FARGATE",
    "NetworkConfiguration": VPC,
    "EnableECSManagedTags": True,
    "EnableExecuteCommand": True,
    "Tags": [{"Key": "K", "Value": "V"}],
    "CapacityProviderStrategy": [{"capacityProvider": "C", "weight": 1}],
}
REQUESTS: list[tuple[TargetService, dict[str, Any], str, str, str, dict[str, Any]]] = [
    (
        "lambda",
        {"Arn": arn("lambda", "function:f:live")},
        '{"k":"v"}',
        f"/2015-03-31/functions/{arn('lambda', 'function:f:live').replace(':', '%3A')}/invocations",
        "",
        {"k": "v"},
    ),
    (
        "kinesis",
        {"Arn": arn("kinesis", "stream/s"), "KinesisParameters": {"PartitionKeyPath": "$.source"}},
        '{"k":"v"}',
        "/",
        "Kinesis_20131202.PutRecord",
        {"StreamARN": arn("kinesis", "stream/s"), "Data": "eyJrIjoidiJ9", "PartitionKey": "shop"},
    ),
    (
        "firehose",
        {"Arn": arn("firehose", "deliverystream/d")},
        '{"k":"v"}',
        "/",
        "Firehose_20150804.PutRecord",
        {"DeliveryStreamName": "d", "Record": {"Data": "eyJrIjoidiJ9"}},
    ),
    (
        "states",
        {"Arn": arn("states", "stateMachine:m")},
        '{"k":"v"}',
        "/",
        "AWSStepFunctions.StartExecution",
        {"stateMachineArn": arn("states", "stateMachine:m"), "input": '{"k":"v"}'},
    ),
    (
        "ecs",
        {"Arn": arn("ecs", "cluster/c"), "Input": "{}", "EcsParameters": RUN},
        '{"containerOverrides":[{"name":"n"}]}',
        "/",
        "AmazonEC2ContainerServiceV20141113.RunTask",
        {
            "cluster": arn("ecs", "cluster/c"),
            "taskDefinition": "t:1",
            "count": 2,
            "launchType": "FARGATE",
            "networkConfiguration": {
                "awsvpcConfiguration": {"subnets": ["s"], "securityGroups": ["g"]}
            },
            "enableECSManagedTags": True,
            "enableExecuteCommand": True,
            "tags": [{"key": "K", "value": "V"}],
            "capacityProviderStrategy": [{"capacityProvider": "C", "weight": 1}],
            "overrides": {"containerOverrides": [{"name": "n"}]},
        },
    ),
    (
        "sagemaker",
        {
            "Arn": arn("sagemaker", "pipeline/p"),
            "SageMakerPipelineParameters": {"PipelineParameterList": [{"Name": "n", "Value": "v"}]},
        },
        '{"k":"v"}',
        "/",
        "SageMaker.StartPipelineExecution",
        {
            "PipelineName": arn("sagemaker", "pipeline/p"),
            "PipelineParameters": [{"Name": "n", "Value": "v"}],
        },
    ),
    (
        "batch",
        {
            "Arn": arn("batch", "job-queue/q"),
            "Input": "{}",
            "BatchParameters": {
                "JobDefinition": "d",
                "JobName": "n",
                "ArrayProperties": {"Size": 3},
                "RetryStrategy": {"Attempts": 2},
            },
        },
        '{"Parameters":{"a":"b"}}',
        "/v1/submitjob",
        "",
        {
            "jobQueue": arn("batch", "job-queue/q"),
            "jobName": "n",
            "jobDefinition": "d",
            "arrayProperties": {"size": 3},
            "retryStrategy": {"attempts": 2},
            "parameters": {"a": "b"},
        },
    ),
]
ONCE = {"states": "name", "ecs": "clientToken", "sagemaker": "ClientRequestToken"}


@pytest.mark.parametrize(
    ("name", "target", "body", "path", "operation", "asked"),
    REQUESTS,
    ids=[request[0] for request in REQUESTS],
)
async def test_each_service_is_asked_by_its_own_operation_signed(
    service: Service,
    name: TargetService,
    target: dict[str, Any],
    body: str,
    path: str,
    operation: str,
    asked: dict[str, Any],
) -> None:
    target = {"Id": "1", **target}
    elsewhere = service.elsewhere()
    for delivery in ("a", "a", "b"):
        await elsewhere.send(name, target, EVENT, body, delivery)
    for got in service.got:
        assert (got.path, got.target) == (path, operation)
        signed = got.headers["authorization"]
        assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDELSEWHERE/")
        assert f"/eu-west-1/{name}/aws4_request" in signed
        shown = {key: value for key, value in got.body.items() if key != ONCE.get(name)}
        assert shown == asked
    if name in ONCE:
        first, again, other = (got.body[ONCE[name]] for got in service.got)
        assert first == again != other
        assert 32 <= len(first) <= 64 or (name == "states" and len(first) <= 80)


async def test_lambda_is_not_waited_for(service: Service) -> None:
    service.status = 202
    target = {"Id": "1", "Arn": arn("lambda", "function:f")}
    await service.elsewhere().send("lambda", target, EVENT, "{}", "a")
    assert service.got[0].headers["x-amz-invocation-type"] == "Event"


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (400, "StateMachineDoesNotExist", Refused),
        (400, "ThrottlingException", NotDelivered),
        (400, "AccessDeniedException", NotDelivered),
        (500, "InternalFailure", NotDelivered),
    ],
)
async def test_what_a_service_refuses_is_tried_again_only_where_that_may_help(
    service: Service, status: int, code: str, raised: type[Exception]
) -> None:
    service.status, service.answer = status, {"__type": code, "message": "no"}
    target = {"Id": "1", "Arn": arn("states", "stateMachine:m")}
    with pytest.raises(raised, match=code):
        await service.elsewhere().send("states", target, EVENT, "{}", "a")
    assert len(service.got) == 1


async def test_an_execution_that_an_earlier_try_made_is_a_delivery(service: Service) -> None:
    service.status, service.answer = 400, {"__type": "ExecutionAlreadyExists", "message": "is"}
    target = {"Id": "1", "Arn": arn("states", "stateMachine:m")}
    await service.elsewhere().send("states", target, EVENT, "{}", "a")
    assert len(service.got) == 1


async def test_a_service_that_is_not_there_is_tried_again(service: Service) -> None:
    nowhere = Elsewhere({"lambda": Target(endpoint="http://127.0.0.1:1")}, Turns())
    target = {"Id": "1", "Arn": arn("lambda", "function:f")}
    with pytest.raises(NotDelivered, match="cannot be asked"):
        await nowhere.send("lambda", target, EVENT, "{}", "a")
    with pytest.raises(Refused, match="not configured"):
        await service.elsewhere("ecs").send("lambda", target, EVENT, "{}", "a")
    assert service.got == []
