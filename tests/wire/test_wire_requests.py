"""Requests as botocore writes them must reach their operation and come back as what was asked."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.model import OperationModel, ServiceModel
from botocore.serialize import create_serializer

from outcrop.errors import AWSError, SerializationException, UnknownOperationException
from outcrop.wire.http import Request
from outcrop.wire.parse import MAX_BODY_BYTES, parse_request
from outcrop.wire.routing import MAX_QUERY_FIELDS, Router
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation, Service, load_service

Sampler = Callable[[Shape, int], Any]
HERE = "127.0.0.1:4510"


def written_by_botocore(model: OperationModel, params: dict[str, Any]) -> Request:
    serializer: Any = create_serializer("rest-json", include_validation=False)
    raw: Any = serializer.serialize_to_request(params, model)
    prepare_request_dict(raw, endpoint_url=f"http://{HERE}")
    prepared: Any = create_request_object(raw).prepare()
    url = urlsplit(str(prepared.url))
    body = prepared.body or b""
    return Request(
        method=prepared.method,
        raw_path=url.path,
        raw_query=url.query,
        headers=tuple((key.lower(), _text(value)) for key, value in prepared.headers.items()),
        body=body.encode() if isinstance(body, str) else bytes(body),
        host=HERE,
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def line(method: str, raw_path: str, raw_query: str = "", host: str = HERE) -> Request:
    return Request(method, raw_path, raw_query, (), b"", host)


def host_of(service: Service) -> str:
    return f"{service.endpoint_prefix}.us-east-1.amazonaws.com"


def each(
    services: list[Service], models: dict[str, ServiceModel]
) -> Iterator[tuple[Operation, OperationModel]]:
    for service in services:
        for name in models[service.name].operation_names:
            yield service.operations[name], models[service.name].operation_model(name)


def params_of(operation: Operation, sample: Sampler, seed: int) -> dict[str, Any]:
    if operation.input is None:
        return {}
    params = sample(operation.input, seed)
    for member in operation.input_layout.headers:
        # A header takes no line breaks and only Latin letters.
        if not member.shape.enum:
            params[member.name] = "application/json"
    return params


def test_all_240_operations_and_the_two_patched_ones_are_there(
    services: list[Service], models: dict[str, ServiceModel]
) -> None:
    assert [len(service.operations) for service in services] == [110, 11, 86, 35]
    assert len(list(each(services, models))) == 240


def test_every_operation_is_reached_when_the_host_names_its_service(
    services: list[Service], models: dict[str, ServiceModel], router: Router, sample: Sampler
) -> None:
    wrong: list[str] = []
    for operation, model in each(services, models):
        request = written_by_botocore(model, params_of(operation, sample, 0))
        match = router.match(replace(request, host=host_of(operation.service)))
        if match.operation is not operation:
            wrong.append(f"{operation.service.name}.{operation.name} → {match.operation.name}")
    assert wrong == []


def test_without_a_host_only_the_tags_of_sessions_need_their_arn(
    services: list[Service], models: dict[str, ServiceModel], router: Router, sample: Sampler
) -> None:
    wrong: set[str] = set()
    for operation, model in each(services, models):
        request = written_by_botocore(model, params_of(operation, sample, 0))
        match = router.match(request)
        if match.operation is not operation:
            wrong.add(f"{operation.service.name}.{operation.name}")
    assert wrong == {
        "bedrock-agent-runtime.TagResource",
        "bedrock-agent-runtime.UntagResource",
        "bedrock-agent-runtime.ListTagsForResource",
    }


@pytest.mark.parametrize("seed", range(5))
def test_what_botocore_writes_parses_back_to_the_same_parameters(
    seed: int,
    services: list[Service],
    models: dict[str, ServiceModel],
    router: Router,
    sample: Sampler,
) -> None:
    for operation, model in each(services, models):
        params = params_of(operation, sample, seed)
        request = written_by_botocore(model, params)
        match = router.match(replace(request, host=host_of(operation.service)))
        assert parse_request(operation, request, match.labels) == params, operation.name


ARN = "arn:aws:bedrock:us-east-1"
LABELS = [
    ("POST", "/model/{}/invoke", "InvokeModel", "anthropic.claude-v2"),
    ("POST", "/model/{}/invoke", "InvokeModel", "anthropic.claude-v2:1"),
    ("POST", "/model/{}/invoke", "InvokeModel", f"{ARN}::foundation-model/amazon.titan-tg1-large"),
    ("POST", "/model/{}/converse-stream", "ConverseStream", f"{ARN}:123456789012:prompt/ABC:1"),
    ("GET", "/foundation-models/{}", "GetFoundationModel", f"{ARN}::foundation-model/ai21.j2"),
    ("GET", "/custom-models/{}", "GetCustomModel", f"{ARN}:123456789012:custom-model/a.b/abc123"),
    ("DELETE", "/custom-models/{}", "DeleteCustomModel", f"{ARN}:1:custom-model/a.b:1:2/abc123"),
    ("GET", "/async-invoke/{}", "GetAsyncInvoke", f"{ARN}:123456789012:async-invoke/abc"),
    (
        "POST",
        "/automated-reasoning-policies/{}/build-workflows/FIDELITY/start",
        "StartAutomatedReasoningPolicyBuildWorkflow",
        f"{ARN}:123456789012:automated-reasoning-policy/abc",
    ),
    (
        "DELETE",
        "/marketplace-model/endpoints/{}/registration",
        "DeregisterMarketplaceModelEndpoint",
        "arn:aws:sagemaker:us-east-1:123456789012:endpoint/registration",
    ),
    (
        "DELETE",
        "/marketplace-model/endpoints/{}",
        "DeleteMarketplaceModelEndpoint",
        "arn:aws:sagemaker:us-east-1:123456789012:endpoint/registration",
    ),
    ("GET", "/tags/{}", "ListTagsForResource", f"{ARN}:123456789012:agent-alias/ABCDE/FGHIJ"),
    ("PUT", "/prompts/{}/", "UpdatePrompt", f"{ARN}:123456789012:prompt/ABCDEFGHIJ:1"),
]


@pytest.mark.parametrize(("method", "template", "name", "value"), LABELS)
@pytest.mark.parametrize("safe", ["", ":", "/", ":/"], ids=["encoded", "colons", "slashes", "raw"])
def test_a_label_may_come_encoded_or_raw(
    method: str, template: str, name: str, value: str, safe: str, router: Router
) -> None:
    match = router.match(line(method, template.format(quote(value, safe=safe)), "", HERE))
    assert match.operation.name == name
    assert next(iter(match.labels.values())) == value


def test_percent_escapes_are_decoded_once(router: Router) -> None:
    match = router.match(line("POST", "/model/a%252Fb/invoke", "", HERE))
    assert match.labels == {"modelId": "a%2Fb"}


@pytest.mark.parametrize(
    ("path", "name"),
    [("/agents/ABCDEFGHIJ/", "PrepareAgent"), ("/agents/ABCDEFGHIJ", "InvokeInlineAgent")],
)
def test_a_trailing_slash_is_significant(path: str, name: str, router: Router) -> None:
    assert router.match(line("POST", path, "", HERE)).operation.name == name


@pytest.mark.parametrize(
    ("resource", "service"),
    [
        ("session/0a1b2c3d-0000-0000-0000-0123456789ab", "bedrock-agent-runtime"),
        ("agent/ABCDEFGHIJ", "bedrock-agent"),
        ("something/else", "bedrock-agent"),
    ],
)
@pytest.mark.parametrize("safe", ["", ":/"])
def test_tags_go_by_the_arn(resource: str, service: str, safe: str, router: Router) -> None:
    path = "/tags/" + quote(f"{ARN}:123456789012:{resource}", safe=safe)
    assert router.match(line("GET", path, "", HERE)).operation.service.name == service


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("bedrock.us-east-1.amazonaws.com", "bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "bedrock-runtime"),
        ("BEDROCK-agent.eu-west-1.amazonaws.com:443", "bedrock-agent"),
        ("bedrock-agent-runtime.eu-west-1.localhost:4510", "bedrock-agent-runtime"),
        ("localhost:4510", None),
        ("bedrock", None),
        ("s3.us-east-1.amazonaws.com", None),
        ("", None),
    ],
)
def test_the_host_names_the_service(host: str, service: str | None, router: Router) -> None:
    asked = router.audience(line("GET", "/", "", host)).service
    assert (asked.name if asked else None) == service


def test_a_host_of_one_service_does_not_reach_another(router: Router) -> None:
    with pytest.raises(UnknownOperationException):
        router.match(line("POST", "/model/m/invoke", "", "bedrock.us-east-1.amazonaws.com"))


UNKNOWN_PATHS = {
    "root": "/",
    "no slash": "model/m/invoke",
    "empty": "",
    "asterisk": "*",
    "empty label": "/model//invoke",
    "dot segments": "/model/../invoke/x",
    "dot segments in an ARN": "/model/arn:aws:bedrock:us-east-1::foundation-model/../m/invoke",
    "a dot for a label": "/model/./invoke",
    "a dot at the end": "/model/m/invoke/.",
    "an empty segment in an ARN": "/model/arn:aws:bedrock:us-east-1::foundation-model//m/invoke",
    "double slash": "//model/m/invoke",
    "trailing slash too many": "/model/m/invoke/",
    "slash after an ARN": "/custom-models/arn:aws:bedrock:us-east-1:1:custom-model/a/b/",
    "escape cut off": "/model/m%2/invoke",
    "escape of no digits": "/model/%zz/invoke",
    "broken UTF-8": "/model/%ff/invoke",
    "encoded surrogate": "/model/%ed%a0%80/invoke",
    "literal encoded": "/m%6fdel/m/invoke",
    "very long": "/model/" + "a" * 100_000 + "/invoke",
    "many slashes": "/" * 16_000,
    "many ARNs": "/model/" + "arn:/" * 3_000,
    "one ARN of many parts": "/model/arn:" + "/a" * 8_000,
}


@pytest.mark.parametrize("path", UNKNOWN_PATHS.values(), ids=UNKNOWN_PATHS.keys())
def test_other_paths_are_unknown_operations(path: str, router: Router) -> None:
    with pytest.raises(UnknownOperationException):
        router.match(line("POST", path, "", HERE))


def test_a_query_of_very_many_fields_is_refused_and_none_is_left_out(router: Router) -> None:
    fields = "a=b&" * (MAX_QUERY_FIELDS - 1)
    assert router.match(line("GET", "/custom-models", f"{fields}c=d", HERE))
    with pytest.raises(SerializationException, match="at most 1000 fields"):
        router.match(line("GET", "/custom-models", f"{fields}c=d&e=f", HERE))


def converse_request(body: bytes) -> Request:
    return Request("POST", "/model/m/converse", "", (), body, HERE)


MALFORMED_BODIES = {
    "not JSON": b"{",
    "an array": b"[]",
    "a string": b'"x"',
    "two documents": b"{}{}",
    "not UTF-8": b'{"messages":"\xff"}',
    "a lone surrogate": b'{"messages":[{"role":"\\ud800"}]}',
    "a surrogate in a key": b'{"\\udc00":1}',
    "NaN": b'{"inferenceConfig":{"temperature":NaN}}',
    "a number out of range": b'{"inferenceConfig":{"temperature":1e999}}',
    "an integer of 5,000 digits": b'{"inferenceConfig":{"maxTokens":' + b"9" * 5000 + b"}}",
    "an integer of 40 bits": b'{"inferenceConfig":{"maxTokens":1099511627776}}',
    "nesting without end": b'{"messages":' + b"[" * 100_000,
    "nesting in a document": b'{"additionalModelRequestFields":' + b'{"a":' * 50_000,
}


@pytest.mark.parametrize("body", MALFORMED_BODIES.values(), ids=MALFORMED_BODIES.keys())
def test_malformed_bodies_are_serialization_errors(body: bytes, converse: Operation) -> None:
    with pytest.raises(SerializationException):
        parse_request(converse, converse_request(body), {"modelId": "m"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"messages":"hi"}', "STRING_VALUE can not be converted to a List"),
        ('{"messages":{}}', "Start of structure or map found where not expected"),
        ('{"messages":[[]]}', "Start of list found where not expected"),
        ('{"messages":[{"role":1}]}', "NUMBER_VALUE can not be converted to a String"),
        ('{"messages":[{"role":1.5}]}', "DECIMAL_VALUE can not be converted to a String"),
        ('{"messages":[{"role":true}]}', "TRUE_VALUE can not be converted to a String"),
        (
            '{"inferenceConfig":{"maxTokens":"1"}}',
            "STRING_VALUE can not be converted to an Integer",
        ),
        (
            '{"inferenceConfig":{"maxTokens":1.5}}',
            "DECIMAL_VALUE can not be converted to an Integer",
        ),
        ('{"inferenceConfig":{"topP":false}}', "FALSE_VALUE can not be converted to a Float"),
        (
            '{"messages":[{"content":[{"image":{"source":{"bytes":"*"}}}]}]}',
            "A blob is not valid base64.",
        ),
    ],
)
def test_a_wrong_type_is_named_as_aws_names_it(
    body: str, message: str, converse: Operation
) -> None:
    with pytest.raises(SerializationException) as caught:
        parse_request(converse, converse_request(body.encode()), {"modelId": "m"})
    assert caught.value.message == message


def test_unknown_members_and_nulls_are_as_if_not_sent(converse: Operation) -> None:
    body = (
        b'{"nonsense":1,"system":null,"messages":[{"role":"user","role":"assistant","x":[]},null]}'
    )
    assert parse_request(converse, converse_request(body), {"modelId": "m"}) == {
        "modelId": "m",
        "messages": [{"role": "assistant"}, None],
    }


def test_a_body_above_25_million_bytes_is_refused() -> None:
    operation = load_service("bedrock-runtime").operations["InvokeModel"]
    request = Request("POST", "/model/m/invoke", "", (), b" " * (MAX_BODY_BYTES + 1), HERE)
    with pytest.raises(AWSError) as caught:
        parse_request(operation, request, {"modelId": "m"})
    assert caught.value.code == "ValidationException"
    assert "less than or equal to 25000000" in caught.value.message


@pytest.mark.parametrize(
    "query",
    [
        "maxResults=x",
        "maxResults=1_0",
        "maxResults=%D9%A1",
        "maxResults=",
        "maxResults=99999999999",
        "maxResults=" + "9" * 5000,
        "creationTimeAfter=yesterday",
        "creationTimeAfter=0000-01-01T00:00:00Z",
        "creationTimeAfter=2026-02-30T00:00:00Z",
        "creationTimeAfter=2026-01-01T00:00:00%2B99:99",
        "creationTimeAfter=9999-12-31T23:59:59-23:59",
        "isOwned=maybe",
        "nextToken=%ff",
    ],
)
def test_malformed_query_values_are_serialization_errors(query: str) -> None:
    operation = load_service("bedrock").operations["ListCustomModels"]
    with pytest.raises(SerializationException):
        parse_request(operation, Request("GET", "/custom-models", query, (), b"", HERE), {})
