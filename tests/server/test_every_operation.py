"""All operations of the four services, as botocore itself serializes and signs them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from running_gateways import Gateway
from signed_http import Ask, send

from outcrop.server.app import STREAM_METHODS
from outcrop.services import handlers
from outcrop.services.operation import handled_operations
from outcrop.wire.spec import load_service

ACCOUNT = "123456789012"
TAGGED = {
    "bedrock": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:guardrail/abcdefghijkl",
    "bedrock-agent": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:agent/ABCDEFGHIJ",
    "bedrock-agent-runtime": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:session/"
    "01234567-89ab-cdef-0123-456789abcdef",
}
ABSENT = "Outcrop does not have the operation {} of {}."


def labels(operation: OperationModel, service: str) -> dict[str, Any]:
    """What the path needs, and no more: botocore is told not to validate."""
    members: dict[str, Any] = operation.input_shape.members if operation.input_shape else {}
    path = [name for name, shape in members.items() if shape.serialization.get("location") == "uri"]
    if operation.http["requestUri"].startswith("/tags/"):
        tags = {"tagKeys": ["k"]} if "tagKeys" in members else {}
        return dict.fromkeys(path, TAGGED[service]) | tags
    return {name: 1 if members[name].type_name == "integer" else "ABCDEFGHIJ" for name in path}


def answer(client: Any, method: str, params: dict[str, Any]) -> tuple[str, str]:
    """The error that boto3 raises: its code and message."""
    with pytest.raises(ClientError) as caught:
        getattr(client, method)(**params)
    answer: Any = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.mark.parametrize("service", handlers.SERVICES)
def test_every_handler_is_named_after_an_operation(service: str) -> None:
    modules = handlers.load(service)
    names = {name for owner, name in handled_operations() if owner == service}
    operations = {each.handler_name for each in load_service(service).operations.values()}
    assert modules
    assert names <= operations


def test_bodies_are_taken_while_they_arrive_by_the_methods_of_such_operations() -> None:
    handlers.load_all()
    methods = {
        operation.method
        for service in handlers.SERVICES
        for operation in load_service(service).operations.values()
        if operation.takes_stream and (service, operation.handler_name) in handled_operations()
    }
    assert methods == STREAM_METHODS


CONSOLE_ONLY = {"put_foundation_model_entitlement", "delete_foundation_model_entitlement"}
"""Of the service models that are patched, and so of no SDK."""

COUNTS = {"bedrock": 108, "bedrock-runtime": 11, "bedrock-agent": 86, "bedrock-agent-runtime": 35}


@pytest.mark.parametrize(("service", "count"), COUNTS.items(), ids=COUNTS)
def test_every_operation_is_reached_and_names_itself_where_it_is_absent(
    scripted_gateway: Gateway, service: str, count: int
) -> None:
    client = scripted_gateway.client(service, parameter_validation=False)
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    methods: dict[str, str] = client.meta.method_to_api_mapping
    handlers.load(service)
    present = {name for owner, name in handled_operations() if owner == service}
    wrong: list[tuple[str, str, str]] = []
    for method, name in methods.items():
        # boto3 lists the one bidirectional stream and has no method for it.
        if method in present or not hasattr(client, method):
            continue
        code, message = answer(client, method, labels(model.operation_model(name), service))
        if (code, message) != ("NotImplementedException", ABSENT.format(name, service)):
            wrong.append((name, code, message))
    assert wrong == []
    assert len(methods) == count
    assert present - CONSOLE_ONLY <= methods.keys()
    assert len(handled_operations()) >= len(handlers.load_all())


def test_the_bidirectional_stream_is_absent_too(scripted_gateway: Gateway) -> None:
    path = "/model/amazon.nova-sonic-v1%3A0/invoke-with-bidirectional-stream"
    reply = send(scripted_gateway.url, Ask("POST", path, body=b"{}"))
    assert (reply.status, reply.error) == (501, "NotImplementedException")
    assert reply.message == ABSENT.format("InvokeModelWithBidirectionalStream", "bedrock-runtime")


@pytest.mark.parametrize(("service", "arn"), TAGGED.items())
def test_tags_go_to_the_service_of_their_arn(
    scripted_gateway: Gateway, service: str, arn: str
) -> None:
    for path in (f"/tags/{arn}", f"/tags/{arn.replace(':', '%3A').replace('/', '%2F')}"):
        reply = send(scripted_gateway.url, Ask("GET", path))
        # bedrock itself posts its tags; by GET they are those of agents and sessions.
        if service != "bedrock":
            assert reply.message == ABSENT.format("ListTagsForResource", service)
