"""The headers of answers that the scripted engine makes, operation by operation."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from recorded_engine import chunk_of
from replaying_gateway import ENVIRONMENT, Replay, ReplayingGateway, open_gateway, sign

from outcrop.config import Scripted
from outcrop.engines.scripted import ScriptedEngine

_HOST: Final = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
_ID: Final = "x-amzn-requestid"
_LATENCY: Final = "x-amzn-bedrock-invocation-latency"
_READ: Final = "x-amzn-bedrock-input-token-count"
_WRITTEN: Final = "x-amzn-bedrock-output-token-count"
_CACHE: Final = {
    "x-amzn-bedrock-cache-read-input-token-count",
    "x-amzn-bedrock-cache-write-input-token-count",
}
_STREAM_TYPE: Final = "x-amzn-bedrock-content-type"
_CHAT: Final = {"messages": [{"role": "user", "content": [{"text": "one two three"}]}]}
_TITAN: Final = {"inputText": "one two three"}


@pytest.fixture
async def gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[ReplayingGateway]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    async with open_gateway(tmp_path) as opened:
        yield opened


async def _call(gateway: ReplayingGateway, path: str, body: dict[str, Any]) -> Replay:
    request = sign("POST", f"{_HOST}/{path}", msgspec.json.encode(body), {})
    answer = await gateway.send(request, ScriptedEngine("script", Scripted()))
    assert answer.status == 200
    assert str(UUID(answer.headers[_ID], version=4)) == answer.headers[_ID]
    return answer


def _amazon(answer: Replay) -> set[str]:
    return {name for name in answer.headers if name.startswith("x-amz")}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("amazon.titan-text-lite-v1/invoke", _TITAN, {_LATENCY, _READ, _WRITTEN}),
        ("amazon.nova-lite-v1%3A0/invoke", _CHAT, {_LATENCY, _READ, _WRITTEN, *_CACHE}),
        ("amazon.titan-embed-text-v1/invoke", _TITAN, {_LATENCY, _READ}),
        ("amazon.nova-lite-v1%3A0/converse", _CHAT, set[str]()),
        ("amazon.nova-lite-v1%3A0/converse-stream", _CHAT, set[str]()),
        ("amazon.titan-text-lite-v1/invoke-with-response-stream", _TITAN, {_STREAM_TYPE}),
    ],
)
async def test_an_answer_has_the_headers_of_its_operation(
    gateway: ReplayingGateway, path: str, body: dict[str, Any], expected: set[str]
) -> None:
    answer = await _call(gateway, path, body)
    assert _amazon(answer) == {_ID, *expected}
    for name in expected - {_STREAM_TYPE}:
        assert re.fullmatch(r"\d+", answer.headers[name])
    assert answer.headers.get(_STREAM_TYPE, "application/json") == "application/json"


async def test_the_counts_in_the_headers_are_those_of_the_body(gateway: ReplayingGateway) -> None:
    answer = await _call(gateway, "amazon.titan-text-lite-v1/invoke", _TITAN)
    body = msgspec.json.decode(answer.body)
    assert int(answer.headers[_READ]) == body["inputTextTokenCount"] > 0
    assert int(answer.headers[_WRITTEN]) == body["results"][0]["tokenCount"] > 0


async def test_a_stream_tells_its_counts_in_its_last_chunk(gateway: ReplayingGateway) -> None:
    path = "amazon.titan-text-lite-v1/invoke-with-response-stream"
    answer = await _call(gateway, path, _TITAN)
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    *before, last = [chunk_of(frame) for frame in answer.frames]
    metrics = last["amazon-bedrock-invocationMetrics"]
    assert {name: type(value) for name, value in metrics.items()} == dict.fromkeys(
        ("inputTokenCount", "outputTokenCount", "invocationLatency", "firstByteLatency"), int
    )
    assert not any("amazon-bedrock-invocationMetrics" in chunk for chunk in before)


async def test_every_answer_has_an_id_of_its_own(gateway: ReplayingGateway) -> None:
    answers = [await _call(gateway, "amazon.nova-lite-v1%3A0/converse", _CHAT) for _ in range(3)]
    assert len({answer.headers[_ID] for answer in answers}) == 3
