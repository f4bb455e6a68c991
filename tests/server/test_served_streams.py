"""Streams over real sockets: they arrive while the engine works, and end when the client goes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from raw_http import connected, http2, read_chunk, read_head, render
from serving import opened, preset, served
from signed_http import Ask, Signer

from outcrop.engines.scripted import ScriptedEngine
from outcrop.server.app import App
from outcrop.wire.eventstream import Decoder
from outcrop.wire.http import Request

HOST = "127.0.0.1:4510"
TIMEOUT_S = 20


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    preset(monkeypatch)


def ask_of(*steps: dict[str, Any], action: str = "invoke-with-response-stream") -> Ask:
    text = f"script: {json.dumps(steps)}"
    prompt = f"\n\nHuman: {text}\n\nAssistant:"
    body = json.dumps({"prompt": prompt, "max_tokens_to_sample": 4000})
    path = f"/model/anthropic.claude-v2/{action}"
    return Ask("POST", path, body=body.encode())


PAUSED = ({"text": "first"}, {"pause": "p"}, {"text": " last"})


async def pieces_of(app: App, ask: Ask) -> AsyncIterator[bytes]:
    headers = tuple(Signer().headers(ask, HOST).items())
    request = Request(ask.method, ask.path, ask.query, headers, ask.body, HOST)
    response = await app.handle(request)
    assert response.status == 200
    return cast("AsyncIterator[bytes]", response.body)


def kinds(data: bytes) -> list[str]:
    """The event types, or exception types, of a stream's frames."""
    found: list[str] = []
    for frame in Decoder().feed(data):
        headers = dict(frame.headers)
        found.append(str(headers.get(":exception-type", headers.get(":event-type"))))
    return found


async def until(engine: ScriptedEngine, **counters: int) -> None:
    """Returns when the engine's own counters have these values."""
    async with asyncio.timeout(TIMEOUT_S):
        # The counters are plain numbers: nothing tells when they change.
        while any(getattr(engine, name) != value for name, value in counters.items()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_first_chunk_comes_while_the_engine_still_generates(tmp_path: Path) -> None:
    async with served(tmp_path) as gateway, connected(gateway.url) as (reader, writer):
        engine = await gateway.engine()
        ask = ask_of(*PAUSED)
        writer.write(render(gateway.url, ask) + ask.body)
        status, headers = await read_head(reader)
        assert (status, headers["content-type"]) == (200, "application/vnd.amazon.eventstream")
        assert headers["x-amzn-bedrock-content-type"] == "application/json"
        first = await read_chunk(reader)
        assert kinds(first) == ["chunk"]
        await engine.reached("p")
        assert (engine.started, engine.finished) == (1, 0)
        engine.release("p")
        rest = b""
        while piece := await read_chunk(reader):
            rest += piece
        assert set(kinds(rest)) == {"chunk"}
        assert engine.finished == 1


async def test_http2_delivers_chunks_while_the_engine_still_generates(tmp_path: Path) -> None:
    async with served(tmp_path) as gateway, http2(gateway.url) as client:
        engine = await gateway.engine()
        slow = await client.send(ask_of(*PAUSED))
        assert kinds(await client.first_piece(slow)) == ["chunk"]
        await engine.reached("p")
        other = await client.send(ask_of({"text": "quick"}, action="invoke"))
        assert json.loads((await client.reply(other)).body)["completion"] == " quick"
        assert (engine.started, engine.finished) == (2, 1)
        engine.release("p")
        assert (await client.reply(slow)).status == 200
        assert engine.finished == 2


@pytest.mark.parametrize("action", ["invoke-with-response-stream", "invoke"])
async def test_a_client_that_goes_away_stops_the_generation(tmp_path: Path, action: str) -> None:
    async with served(tmp_path) as gateway:
        engine = await gateway.engine()
        async with connected(gateway.url) as (_, writer):
            ask = ask_of(*PAUSED, action=action)
            writer.write(render(gateway.url, ask) + ask.body)
            await engine.reached("p")
            assert engine.cancelled == 0
        await until(engine, cancelled=1, finished=0)


@pytest.mark.parametrize("action", ["invoke-with-response-stream", "invoke"])
async def test_a_reset_of_http2_stops_that_generation_alone(tmp_path: Path, action: str) -> None:
    async with served(tmp_path) as gateway, http2(gateway.url) as client:
        engine = await gateway.engine()
        stays = await client.send(ask_of({"text": "a"}, {"pause": "q"}, {"text": " b"}))
        goes = await client.send(ask_of(*PAUSED, action=action))
        await engine.reached("p")
        await engine.reached("q")
        client.reset(goes)
        await until(engine, cancelled=1)
        engine.release("q")
        assert kinds((await client.reply(stays)).body)[-1] == "chunk"
        assert (engine.finished, engine.cancelled) == (1, 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("gone", "modelStreamErrorException"),
        ("failed", "modelStreamErrorException"),
        ("timeout", "modelTimeoutException"),
        ("busy", "throttlingException"),
    ],
)
async def test_an_engine_that_fails_midway_ends_the_stream_with_its_exception(
    tmp_path: Path, error: str, kind: str
) -> None:
    async with opened(tmp_path) as (app, _):
        pieces = await pieces_of(app, ask_of({"text": "a b"}, {"error": error}))
        whole = b"".join([piece async for piece in pieces])
    assert kinds(whole) == ["chunk", "chunk", kind]


async def test_a_bug_midway_ends_the_stream_with_an_internal_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as (app, deployment):
        engine = await deployment.engines.get("script", None)
        pieces = await pieces_of(app, ask_of({"text": "a"}, {"sleep_s": 10**400}, {"text": "b"}))
        whole = b"".join([piece async for piece in pieces])
    assert isinstance(engine, ScriptedEngine)
    assert kinds(whole) == ["chunk", "internalServerException"]
    assert b"Traceback" not in whole
    assert "the stream of request" in caplog.text


async def test_closing_the_body_stops_the_generation_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, deployment):
        engine = await deployment.engines.get("script", None)
        assert isinstance(engine, ScriptedEngine)
        pieces = cast(Any, await pieces_of(app, ask_of({"tokens": 1000})))
        async with aclosing(pieces):
            assert kinds(await anext(pieces)) == ["chunk"]
        assert (engine.cancelled, engine.finished) == (1, 0)
