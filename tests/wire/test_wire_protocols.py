"""Every operation of the services beside Bedrock, in every protocol they speak, against botocore:
what its serializers write is read back, and its parsers read what we write."""

from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from outcrop.errors import AWSError, ServiceError
from outcrop.wire.http import Request, Response
from outcrop.wire.parse import parse_request
from outcrop.wire.routing import Router
from outcrop.wire.serialize import serialize, serialize_error
from outcrop.wire.shapes import Member, Shape
from outcrop.wire.spec import Operation, load_service

CBOR = "smithy-rpc-v2-cbor"
HERE = "127.0.0.1:4510"
SPOKEN = [
    ("iam", "query"),
    ("sts", "query"),
    ("kms", "json"),
    ("secretsmanager", "json"),
    ("ec2", "ec2"),
    ("s3", "rest-xml"),
    ("health", "smithy-rpc-v2-cbor"),
    ("health", "json"),
    ("logs", "json"),
    ("events", "json"),
    ("sqs", "json"),
    ("sns", "query"),
    ("cloudwatch", "smithy-rpc-v2-cbor"),
    ("cloudwatch", "json"),
    ("cloudwatch", "query"),
    ("cloudtrail", "json"),
    ("service-quotas", "json"),
    ("support", "json"),
    ("lambda", "rest-json"),
]
SERVICES = tuple(dict.fromkeys(name for name, _ in SPOKEN))
BEDROCK = ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime")
XML = ("query", "ec2", "rest-xml")
every_protocol = pytest.mark.parametrize(("name", "protocol"), SPOKEN)


@pytest.fixture(scope="module")
def everything() -> Router:
    return Router([load_service(name) for name in (*BEDROCK, *SERVICES)])


@pytest.fixture(scope="module")
def model_of() -> Any:
    loaded: dict[str, ServiceModel] = {}

    def find(name: str) -> ServiceModel:
        if name not in loaded:
            loaded[name] = ServiceModel(load(name), name)
        return loaded[name]

    return find


def load(name: str) -> Any:
    return Loader().load_service_model(name, "service-2")


def each(name: str, model: ServiceModel) -> Iterator[tuple[Operation, OperationModel]]:
    service = load_service(name)
    for operation_name in model.operation_names:
        operation = service.operations[operation_name]
        if not operation.raw.get("deprecated") and operation_name not in UNREACHED:
            yield operation, model.operation_model(operation_name)


UNREACHED = frozenset(
    # Calls to hosts of their own, and the first of two that the path alone cannot tell apart.
    ("WriteGetObjectResponse", "ListDirectoryBuckets")
)


def written(model: OperationModel, params: dict[str, Any], protocol: str) -> Request:
    serializer: Any = create_serializer(protocol, include_validation=False)
    raw: Any = serializer.serialize_to_request(params, model)
    # Its endpoint rules put the bucket there.
    prepare_request_dict(raw, endpoint_url=f"http://{HERE}")
    prepared: Any = create_request_object(raw).prepare()
    url = urlsplit(str(prepared.url))
    body = prepared.body or b""
    headers = {key.lower(): text(value) for key, value in prepared.headers.items()}
    metadata = model.service_model.metadata
    scope = metadata.get("signingName", metadata["endpointPrefix"])
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential=AKID/20260101/r/{scope}/aws4_request,"
    return Request(
        method=prepared.method,
        raw_path=url.path,
        raw_query=url.query,
        headers=tuple(headers.items()),
        body=body.encode() if isinstance(body, str) else bytes(body),
        host=HERE,
    )


def text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def as_sent(shape: Shape, value: Any, protocol: str, top: bool = True) -> Any:
    """``value`` without what the protocol cannot say."""
    if shape.type == "structure":
        held = {
            name: as_member(shape.members[name], item, protocol, top)
            for name, item in value.items()
        }
        return {
            name: item
            for name, item in held.items()
            # An empty flattened list leaves nothing behind.
            if kept(item, protocol) and (item != [] or not shape.members[name].is_flattened)
        }
    if shape.type == "list":
        items = [as_sent(shape.item.shape, one, protocol, False) for one in value]
        return [item for item in items if kept(item, protocol)]
    if shape.type == "map":
        item = shape.members["value"].shape
        return {key: as_sent(item, one, protocol, False) for key, one in value.items()}
    return value


def kept(item: Any, protocol: str) -> bool:
    return protocol not in ("query", "ec2") or item not in ({}, [])


def as_member(member: Member, item: Any, protocol: str, top: bool) -> Any:
    in_header = top and member.location in ("header", "headers")
    if isinstance(item, datetime) and (in_header or member.timestamp_format == "rfc822"):
        return item.replace(microsecond=0)
    if in_header and member.shape.type == "string" and not member.shape.enum:
        return "plain"
    if in_header and member.shape.type == "map":
        return {"key": "plain"}
    return as_sent(member.shape, item, protocol, False)


@pytest.mark.parametrize("seed", range(5))
@every_protocol
def test_what_botocore_writes_is_read_back(
    name: str, protocol: str, seed: int, everything: Router, model_of: Any, sample: Any
) -> None:
    for operation, model in each(name, model_of(name)):
        params: dict[str, Any] = {}
        if operation.input:
            params = as_sent(operation.input, sample(operation.input, seed), protocol)
        request = written(model, params, protocol)
        match = everything.match(request)
        assert match.operation is operation
        assert match.protocol == protocol
        assert parse_request(operation, request, match.labels, protocol) == params, operation.name


def parsed_by_botocore(
    response: Response, shape: Any, protocol: str, is_stream: bool = False
) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    headers: Any = HeadersDict(response.headers)
    body = BytesIO(response.body) if is_stream else response.body
    raw = {"headers": headers, "status_code": response.status, "body": body}
    parser: Any = create_parser(protocol)
    return parser.parse(raw, shape)


@pytest.mark.parametrize("seed", range(5))
@every_protocol
def test_what_is_written_botocore_reads(
    name: str, protocol: str, seed: int, model_of: Any, sample: Any
) -> None:
    for operation, model in each(name, model_of(name)):
        # The one answer that is its member, which a hook of botocore's reads: see below.
        if operation.event_stream or operation.name == "GetBucketLocation":
            continue
        result: dict[str, Any] = {}
        if operation.output:
            result = as_sent(operation.output, sample(operation.output, seed), protocol)
        for member in operation.output_layout.prefix_headers:
            result[member.name] = {"key": "plain"}
        status = operation.output_layout.status
        if status:
            result[status.name] = 200
        response = serialize(operation, result, "the-id", protocol)
        is_stream = bool(model.has_streaming_output)
        parsed = parsed_by_botocore(response, model.output_shape, protocol, is_stream)
        # botocore's reader of CBOR looks for no metadata where there is no output.
        if operation.output or protocol != CBOR:
            assert parsed["ResponseMetadata"]["RequestId"] == "the-id"
        parsed.pop("ResponseMetadata", None)
        assert as_read(parsed) == result, operation.name


def as_read(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [as_read(item) for item in cast(list[Any], value)]
    return value.read() if hasattr(value, "read") else value


@every_protocol
def test_every_declared_error_is_read_with_code_status_and_members(
    name: str, protocol: str, model_of: Any, sample: Any
) -> None:
    model = model_of(name)
    for operation, _ in each(name, model):
        for code, shape in operation.errors.items():
            members = {
                key: value
                for key, value in sample(shape, 1).items()
                if key.lower() != "message" and shape.members[key].location == "body"
            }
            members = as_sent(shape, members, protocol)
            error = ServiceError(code, 'What is wrong: <&> "é"', **members)
            response = serialize_error(error, operation, None, "the-id", protocol)
            parsed = parsed_by_botocore(response, None, protocol)
            parsed |= parsed_by_botocore(response, model.shape_for(shape.name), protocol)
            assert parsed["Error"]["Message"] == error.message
            assert parsed["Error"]["Code"] in (shape.error_code, shape.name)
            assert response.status == shape.error_status
            assert {key: parsed.get(key) for key in members} == members, (operation.name, code)


@every_protocol
def test_errors_of_the_layer_in_front_are_read(name: str, protocol: str) -> None:
    service = load_service(name)
    for error_class in AWSError.__subclasses__():
        if error_class is not ServiceError:
            response = serialize_error(error_class("Not now."), None, service, "the-id", protocol)
            parsed = parsed_by_botocore(response, None, protocol)
            assert parsed["Error"]["Code"]
            assert parsed["Error"]["Message"]
            assert parsed["ResponseMetadata"]["RequestId"] == "the-id"
            assert 400 <= response.status < 600
