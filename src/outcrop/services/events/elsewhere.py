"""Targets of services that Outcrop does not have: asked by the AWS SDK, where the configuration
says, beside the event loop."""

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final, cast

import botocore.exceptions
from botocore.config import Config as BotoConfig
from botocore.session import Session

from outcrop.config import Target, TargetService
from outcrop.events.inputs import MISSING, find_path
from outcrop.events.json_text import InvalidJson, read_json, write_json
from outcrop.jobs.delivery import NotDelivered
from outcrop.services.events.failures import Refused, failure_of
from outcrop.services.events.turns import Turns

_THREADS: Final = 8
_CONFIG: Final = BotoConfig(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})

ACTIONS: Final[Mapping[TargetService, str]] = {
    "kinesis": "kinesis:PutRecord",
    "firehose": "firehose:PutRecord",
    "states": "states:StartExecution",
    "ecs": "ecs:RunTask",
    "sagemaker": "sagemaker:StartPipelineExecution",
    "batch": "batch:SubmitJob",
}
"""What the role of a target must be allowed on it."""


_ONCE: Final[Mapping[str, str]] = {
    "states": "name",
    "ecs": "clientToken",
    "sagemaker": "ClientRequestToken",
}
"""By which of its parameters a service knows that it was asked the same before."""


class Elsewhere:
    """Each service has threads of its own: one that hangs keeps nobody else waiting."""

    def __init__(self, targets: Mapping[TargetService, Target], turns: Turns) -> None:
        self._targets = targets
        self._turns = turns
        self._threads = {
            service: ThreadPoolExecutor(_THREADS, f"outcrop-{service}") for service in targets
        }
        self._clients: dict[TargetService, Any] = {}
        self._lock = Lock()

    async def send(
        self,
        service: TargetService,
        target: Mapping[str, Any],
        event: Mapping[str, Any],
        body: str,
        delivery: str,
    ) -> None:
        """``delivery`` is the same whenever it is tried again."""
        if service not in self._targets:
            raise Refused("NOT_CONFIGURED", f"[services.targets.{service}] is not configured.")
        loop = asyncio.get_running_loop()
        with self._turns.turn(service, delivery, math.inf):
            operation, params = _REQUESTS[service](target, event, body)
            if service in _ONCE:
                mark = hashlib.sha256(delivery.encode()).hexdigest()[:24]
                params[_ONCE[service]] = f"{event['id']}_{mark}"
            request = (operation, params)
            await loop.run_in_executor(self._threads[service], self._send, service, request)

    def _send(self, service: TargetService, request: "_Request") -> None:
        operation, params = request
        try:
            # Botocore makes the method as it reads the service's model.
            getattr(self._client(service), operation)(**params)
        except botocore.exceptions.ClientError as error:
            answer = cast(Any, error.response)
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            told = answer.get("Error", {})
            if told.get("Code") == "ExecutionAlreadyExists":
                # An earlier try made it, which ended before its answer came.
                return
            raise failure_of(told.get("Code", ""), status, told.get("Message", "")) from error
        except botocore.exceptions.ParamValidationError as error:
            raise Refused("INVALID_PARAMETER", str(error)) from error
        except botocore.exceptions.BotoCoreError as error:
            raise NotDelivered(f"{service} cannot be asked: {error}") from error

    def _client(self, service: TargetService) -> Any:
        with self._lock:
            if service not in self._clients:
                target = self._targets[service]
                name = "stepfunctions" if service == "states" else service
                self._clients[service] = cast(Any, Session(profile=target.profile)).create_client(
                    name,
                    region_name=target.region,
                    endpoint_url=target.endpoint,
                    config=_CONFIG,
                )
            return self._clients[service]


_Request = tuple[str, dict[str, Any]]


def _lambda(target: Mapping[str, Any], event: Mapping[str, Any], body: str) -> _Request:
    return "invoke", {
        "FunctionName": target["Arn"],
        "InvocationType": "Event",
        "Payload": body.encode(),
    }


def _kinesis(target: Mapping[str, Any], event: Mapping[str, Any], body: str) -> _Request:
    path = target.get("KinesisParameters", {}).get("PartitionKeyPath")
    found = find_path(path, event) if path else event["id"]
    if found is MISSING:
        raise Refused("INVALID_PARAMETER", f"The event has no partition key at {path}.")
    key = found if isinstance(found, str) else write_json(found)
    return "put_record", {
        "StreamARN": target["Arn"],
        "Data": body.encode(),
        "PartitionKey": key[:256],
    }


def _firehose(target: Mapping[str, Any], event: Mapping[str, Any], body: str) -> _Request:
    return "put_record", {
        "DeliveryStreamName": target["Arn"].rpartition("/")[2],
        "Record": {"Data": body.encode()},
    }


def _states(target: Mapping[str, Any], event: Mapping[str, Any], body: str) -> _Request:
    return "start_execution", {
        "stateMachineArn": target["Arn"],
        "input": body,
    }


def _ecs(target: Mapping[str, Any], event: Mapping[str, Any], body: str) -> _Request:
    parameters = dict(target["EcsParameters"])
    reference = parameters.pop("TaskDefinitionArn")
    params: dict[str, Any] = _lower(
        {
            "TaskDefinition": reference,
            "Count": parameters.pop("TaskCount", 1),
            **{name: value for name, value in parameters.items() if name not in _ECS_AS_IS},
        }
    )
    for name, own in _ECS_AS_IS.items():
        if name in parameters:
            params[own] = parameters[name]
    if _has_input(target):
        params["overrides"] = _object(body)
    return "run_task", {**params, "cluster": target["Arn"]}


_ECS_AS_IS: Final = {
    "EnableECSManagedTags": "enableECSManagedTags",
    "EnableExecuteCommand": "enableExecuteCommand",
}


def _sagemaker(target: Mapping[str, Any], event: Mapping[str, Any], body: str) -> _Request:
    parameters = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    return "start_pipeline_execution", {
        "PipelineName": target["Arn"],
        "PipelineParameters": parameters,
    }


def _batch(target: Mapping[str, Any], event: Mapping[str, Any], body: str) -> _Request:
    parameters = target["BatchParameters"]
    params: dict[str, Any] = {
        "jobQueue": target["Arn"],
        "jobName": parameters["JobName"],
        "jobDefinition": parameters["JobDefinition"],
    }
    if "ArrayProperties" in parameters:
        params["arrayProperties"] = _lower(parameters["ArrayProperties"])
    if "RetryStrategy" in parameters:
        params["retryStrategy"] = _lower(parameters["RetryStrategy"])
    if _has_input(target):
        params["parameters"] = _object(body).get("Parameters", {})
    return "submit_job", params


_REQUESTS: Final[
    Mapping[TargetService, Callable[[Mapping[str, Any], Mapping[str, Any], str], _Request]]
] = {
    "lambda": _lambda,
    "kinesis": _kinesis,
    "firehose": _firehose,
    "states": _states,
    "ecs": _ecs,
    "sagemaker": _sagemaker,
    "batch": _batch,
}


def _has_input(target: Mapping[str, Any]) -> bool:
    return any(name in target for name in ("Input", "InputPath", "InputTransformer"))


def _object(body: str) -> dict[str, Any]:
    try:
        read = read_json(body)
    except InvalidJson as error:
        raise Refused("INVALID_PARAMETER", f"The target's input is no JSON: {error}") from error
    if not isinstance(read, dict):
        raise Refused("INVALID_PARAMETER", "The target's input is no JSON object.")
    return cast("dict[str, Any]", read)


def _lower(value: Any) -> Any:
    """EventBridge and these services spell the same members with and without capitals."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name[:1].lower() + name[1:]: _lower(each) for name, each in members.items()}
    if isinstance(value, list | tuple):
        return [_lower(each) for each in cast("list[Any]", value)]
    return value
