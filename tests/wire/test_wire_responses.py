"""Responses as botocore reads them must be what was given; streams frame by frame; errors too."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from outcrop import errors
from outcrop.wire.eventstream import Decoder, Frame
from outcrop.wire.http import Response
from outcrop.wire.mismatch import ResultMismatch
from outcrop.wire.serialize import (
    encode_event,
    serialize,
    serialize_error,
    serialize_stream,
)
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation, Service, load_service

SHARED = Path(__file__).resolve().parents[2] / "../shared"
RUNTIME = load_service("bedrock-runtime")
Sampler = Callable[[Shape, int], Any]


class Headers(dict[str, str]):
    """What botocore's parsers expect of headers: names without case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({key.lower(): value for key, value in headers.items()})

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key.lower(), default)

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key.lower())

    def __contains__(self, key: object) -> bool:
        return super().__contains__(str(key).lower())


def read_by_botocore(response: Response, shape: Any) -> dict[str, Any]:
    parser: Any = create_parser("rest-json")
    raw = {
        "status_code": response.status,
        "headers": Headers(response.headers),
        "body": response.body,
    }
    return parser.parse(raw, shape)


@pytest.mark.parametrize("seed", range(4))
def test_botocore_reads_back_what_a_handler_gave(
    seed: int, services: list[Service], models: dict[str, ServiceModel], sample: Sampler
) -> None:
    for service in services:
        for name in models[service.name].operation_names:
            operation = service.operations[name]
            if operation.event_stream or operation.output is None:
                continue
            result = result_of(operation, sample, seed)
            response = serialize(operation, result, "the-id")
            model = cast(Any, models[service.name].operation_model(name))
            if model.has_streaming_output:
                # botocore hands such a body on unread.
                assert response.body == result[model.output_shape.serialization["payload"]]
                continue
            parsed = read_by_botocore(response, model.output_shape)
            facts = parsed.pop("ResponseMetadata")
            assert known(operation, parsed) == known(operation, result), name
            assert (facts["RequestId"], facts["HTTPStatusCode"]) == (
                "the-id",
                operation.success_status,
            )


def result_of(operation: Operation, sample: Sampler, seed: int) -> dict[str, Any]:
    if operation.output is None or operation.success_status == 204:
        return {}
    result = sample(operation.output, seed)
    for member in operation.output_layout.headers:
        if not member.shape.enum:
            result[member.name] = "application/json"
    return result


def known(operation: Operation, value: dict[str, Any]) -> dict[str, Any]:
    """Without the members of patches, which botocore's own model cannot read."""
    usage = value.get("usage")
    if operation.service is RUNTIME and isinstance(usage, dict):
        kept = {k: v for k, v in cast(dict[str, Any], usage).items() if k not in PATCHED}
        return {**value, "usage": kept}
    return value


PATCHED = ("serverToolUsage", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")


def test_members_leave_in_the_recorded_order_and_absent_ones_not_at_all(
    converse: Operation,
) -> None:
    usage = {"totalTokens": 3, "outputTokens": 2, "inputTokens": 1, "cacheReadInputTokens": None}
    message = {"role": "assistant", "content": [{"text": "hi"}]}
    result = {"usage": usage, "output": {"message": message}, "stopReason": "end_turn"}
    assert serialize(converse, result, "id").body == (
        b'{"output":{"message":{"content":[{"text":"hi"}],"role":"assistant"}},'
        b'"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}'
    )


def test_header_members_become_headers() -> None:
    result = {"body": b"{}", "contentType": "text/plain", "performanceConfigLatency": "optimized"}
    response = serialize(RUNTIME.operations["InvokeModel"], result, "id")
    assert response == Response(
        200,
        {
            "x-amzn-RequestId": "id",
            "Content-Type": "text/plain",
            "X-Amzn-Bedrock-PerformanceConfig-Latency": "optimized",
        },
        b"{}",
    )


def test_timestamps_are_iso_8601_in_utc() -> None:
    operation = load_service("bedrock").operations["GetCustomModel"]
    moment = datetime(2026, 7, 13, 14, 0, 42, 680622, tzinfo=UTC)
    response = serialize(operation, {"creationTime": moment}, "id")
    assert response.body == b'{"creationTime":"2026-07-13T14:00:42.680622Z"}'


@pytest.mark.parametrize(
    "result",
    [
        {"nonsense": 1},
        {"usage": {"nonsense": 1}},
        {"usage": {"inputTokens": "1"}},
        {"usage": {"inputTokens": True}},
        {"stopReason": 1},
        {"output": []},
        {"output": {"message": {"content": {}}}},
        {"output": {"message": {"content": [{"image": {"source": {"bytes": "text"}}}]}}},
    ],
    ids=str,
)
def test_a_result_that_does_not_fit_is_refused(result: Any, converse: Operation) -> None:
    with pytest.raises(ResultMismatch):
        serialize(converse, result, "id")


def test_no_header_takes_a_line_break() -> None:
    with pytest.raises(ResultMismatch):
        serialize(RUNTIME.operations["InvokeModel"], {"contentType": "a\r\nb: c"}, "id")


def test_an_operation_without_a_body_answers_none() -> None:
    operation = load_service("bedrock-agent").operations["DeleteAgentActionGroup"]
    response = serialize(operation, {}, "id")
    assert response == Response(204, {"x-amzn-RequestId": "id"}, b"")


@pytest.mark.parametrize(
    ("service", "name", "error", "status", "namespace", "body"),
    [
        (
            "bedrock-agent",
            "GetAgent",
            errors.ConflictException("c"),
            409,
            "com.amazon.bedrock",
            {"message": "c"},
        ),
        (
            "bedrock",
            "GetGuardrail",
            errors.ConflictException("c"),
            400,
            "com.amazon.bedrock",
            {"message": "c"},
        ),
        (
            "bedrock-runtime",
            "InvokeModel",
            errors.ModelErrorException("m", originalStatusCode=500, resourceName="r", other=1),
            424,
            "com.amazon.bedrock",
            {"message": "m", "originalStatusCode": 500, "resourceName": "r"},
        ),
        (
            "bedrock-runtime",
            "Converse",
            errors.AuthorizationDenied("no"),
            403,
            "com.amazon.bedrock",
            {"Message": "no"},
        ),
        (
            "bedrock-agent-runtime",
            "Retrieve",
            errors.ModelNotReadyException("n"),
            424,
            "com.amazon.bedrock",
            {"message": "n"},
        ),
        (
            "bedrock",
            "GetGuardrail",
            errors.ExpiredTokenException("e"),
            403,
            "com.amazon.coral.service",
            {"message": "e"},
        ),
    ],
)
def test_errors_have_their_service_s_status_and_name(
    service: str, name: str, error: errors.AWSError, status: int, namespace: str, body: Any
) -> None:
    operation = load_service(service).operations[name]
    response = serialize_error(error, operation, None, "id")
    assert response.status == status
    assert msgspec.json.decode(cast(bytes, response.body)) == body
    assert response.headers == {
        "x-amzn-RequestId": "id",
        "x-amzn-ErrorType": f"{error.code}:http://internal.amazon.com/coral/{namespace}/",
        "Content-Type": "application/json",
    }
    parsed = read_by_botocore(response, None)
    assert parsed["Error"] == {"Code": error.code, "Message": error.message}


def test_an_error_before_any_operation_needs_none() -> None:
    error = errors.UnknownOperationException("u")
    assert serialize_error(error, None, None, "id").status == 404
    service = load_service("bedrock-agent")
    assert serialize_error(errors.ConflictException("c"), None, service, "id").status == 409


async def collect(response: Response) -> list[Frame]:
    decoder, frames = Decoder(), list[Frame]()
    async for piece in cast(AsyncIterator[bytes], response.body):
        frames += decoder.feed(piece)
    decoder.finish()
    return frames


async def given(
    *events: dict[str, Any], error: errors.AWSError | None = None
) -> AsyncIterator[Mapping[str, Any]]:
    for event in events:
        yield event
    if error:
        raise error


CONVERSE_STREAM = RUNTIME.operations["ConverseStream"]
INVOKE_STREAM = RUNTIME.operations["InvokeModelWithResponseStream"]


async def test_events_become_frames_of_their_own_name() -> None:
    events = given({"messageStart": {"role": "assistant"}}, {"messageStop": {"stopReason": "x"}})
    response = serialize_stream(CONVERSE_STREAM, {}, events, "id")
    assert response.headers == {
        "x-amzn-RequestId": "id",
        "Content-Type": "application/vnd.amazon.eventstream",
    }
    frames = await collect(response)
    assert [frame.headers for frame in frames] == [
        {
            ":event-type": name,
            ":content-type": "application/json",
            ":message-type": "event",
        }
        for name in ("messageStart", "messageStop")
    ]


async def test_header_members_of_a_stream_become_headers() -> None:
    result = {"contentType": "application/json"}
    response = serialize_stream(INVOKE_STREAM, result, given(), "id")
    assert response.headers["X-Amzn-Bedrock-Content-Type"] == "application/json"
    assert response.headers["Content-Type"] == "application/vnd.amazon.eventstream"
    assert await collect(response) == []


async def test_each_event_leaves_before_the_next_is_made() -> None:
    made: list[int] = []

    async def events() -> AsyncIterator[Mapping[str, Any]]:
        for number in range(3):
            made.append(number)
            yield {"chunk": {"bytes": b"x"}}

    body = cast(Any, serialize_stream(INVOKE_STREAM, {}, events(), "id").body)
    await anext(body)
    assert made == [0]
    await body.aclose()


async def test_closing_the_body_closes_the_events() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncIterator[Mapping[str, Any]]:
        try:
            while True:
                yield {"chunk": {"bytes": b"x"}}
        finally:
            closed.set()

    body = cast(Any, serialize_stream(INVOKE_STREAM, {}, events(), "id").body)
    await anext(body)
    await body.aclose()
    assert closed.is_set()


@pytest.mark.parametrize(
    ("error", "member", "payload"),
    [
        (errors.ThrottlingException("t"), "throttlingException", {"message": "t"}),
        (
            errors.ModelStreamErrorException("m", originalStatusCode=500, originalMessage="o"),
            "modelStreamErrorException",
            {"message": "m", "originalMessage": "o", "originalStatusCode": 500},
        ),
        (errors.ConflictException("c"), "internalServerException", {"message": "c"}),
    ],
)
async def test_an_error_midway_is_the_stream_s_own_exception_and_its_end(
    error: errors.AWSError, member: str, payload: Any
) -> None:
    events = given({"chunk": {"bytes": b"x"}}, error=error)
    frames = await collect(serialize_stream(INVOKE_STREAM, {}, events, "id"))
    assert len(frames) == 2
    assert frames[1].headers == {
        ":exception-type": member,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    assert msgspec.json.decode(frames[1].payload) == payload


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"nonsense": {}},
        {"chunk": {"bytes": "text"}},
        {"chunk": {"nonsense": 1}},
        {"validationException": {"message": "m"}},
        {"chunk": {}, "other": {}},
    ],
    ids=str,
)
def test_an_event_that_does_not_fit_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ResultMismatch):
        encode_event(INVOKE_STREAM, event)


def payload_of(operation: Operation, event: dict[str, Any]) -> bytes:
    (frame,) = Decoder().feed(encode_event(operation, event))
    return frame.payload


ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def test_runtime_events_carry_a_pad_of_random_length_in_its_place() -> None:
    pads: set[str] = set()
    for _ in range(2000):
        event = msgspec.json.decode(payload_of(INVOKE_STREAM, {"chunk": {"bytes": b"x"}}))
        assert list(event) == ["bytes", "p"]
        pads.add(event["p"])
    assert all(ALPHABET.startswith(pad) for pad in pads)
    assert {len(pad) for pad in pads} == set(range(2, 62))
    first = payload_of(CONVERSE_STREAM, {"messageStart": {"role": "assistant"}})
    assert list(msgspec.json.decode(first)) == ["p", "role"]


def test_agent_events_carry_no_pad() -> None:
    operation = load_service("bedrock-agent-runtime").operations["InvokeAgent"]
    assert payload_of(operation, {"chunk": {"bytes": b"x"}}) == b'{"bytes":"eA=="}'


def test_recorded_streams_are_written_again_byte_for_byte_but_for_the_pad() -> None:
    count = 0
    for line in (SHARED / "real-responses.jsonl").read_bytes().splitlines():
        recorded = msgspec.json.decode(line)
        if recorded["op"] not in ("ConverseStream", "InvokeModelWithResponseStream"):
            continue
        for frame in Decoder().feed(base64.b64decode(recorded.get("response_body_b64", ""))):
            value = msgspec.json.decode(frame.payload)
            pad = value.pop("p", None)
            if pad is None:
                continue
            with_bytes = value.get("delta", {}).get("reasoningContent", value)
            for key in ("bytes", "redactedContent"):
                if key in with_bytes:
                    with_bytes[key] = base64.b64decode(with_bytes[key])
            event = {str(frame.headers[":event-type"]): value}
            written = payload_of(RUNTIME.operations[recorded["op"]], event)
            ours = msgspec.json.decode(written)
            assert without_pad(written, ours["p"]) == without_pad(frame.payload, pad)
            count += 1
    assert count > 2500


def without_pad(payload: bytes, pad: str) -> bytes:
    return payload.replace(f'"p":"{pad}"'.encode(), b'"p":""')
