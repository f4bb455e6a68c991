"""A client that takes its stream slowly, or not at all: nothing piles up, nobody waits for it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from raw_http import connected, read_chunk, read_head, render
from serving import opened, preset, scripted, served
from signed_http import Ask, Signer

from outcrop.billing.usage import UsageKey
from outcrop.server.asgi import Bridge, Scope
from outcrop.server.bodies import Message, Receive

TOKENS = 60_000
TIMEOUT_S = 60


def ask_of(*steps: object) -> Ask:
    text = f"script: {json.dumps(steps)}"
    body = {
        "messages": [{"role": "user", "content": [{"text": text}]}],
        "inferenceConfig": {"maxTokens": TOKENS},
    }
    path = "/model/us.anthropic.claude-sonnet-4-20250514-v1:0/converse-stream"
    return Ask("POST", path, body=json.dumps(body).encode())


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    preset(monkeypatch)


async def test_the_engine_waits_for_a_client_that_does_not_read(tmp_path: Path) -> None:
    """Both answers are of the same size (10 MiB) and begin together; the one that is read ends."""
    ask = ask_of({"tokens": TOKENS})
    async with (
        served(tmp_path) as gateway,
        connected(gateway.url) as (_, still),
        connected(gateway.url) as (reader, writer),
    ):
        engine = await gateway.engine()
        still.write(render(gateway.url, ask) + ask.body)
        writer.write(render(gateway.url, ask) + ask.body)
        async with asyncio.timeout(TIMEOUT_S):
            await read_head(reader)
            while await read_chunk(reader):
                pass
        assert engine.started == 2
        assert engine.finished == 1
        still.transport.abort()
        async with asyncio.timeout(TIMEOUT_S):
            # The counter is a plain number: nothing tells when it changes.
            while not engine.cancelled:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert engine.finished == 1


async def test_a_client_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    ask = ask_of({"text": "one two three"})
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.Future()

    async with opened(tmp_path) as (app, deployment):
        bridge = Bridge(app, stall_timeout_s=0.02)
        async with asyncio.timeout(TIMEOUT_S):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(bridge(scope_of(ask), sender([ask.body]), send))
            await bridge.drained()
        assert (await scripted(deployment)).cancelled == 1


async def test_a_client_that_leaves_before_the_head_ends_its_generation(tmp_path: Path) -> None:
    ask = ask_of({"text": "one"}, {"pause": "for ever"})

    async def send(message: Message) -> None:
        raise asyncio.CancelledError

    async with opened(tmp_path) as (app, deployment):
        used: list[int] = []
        deployment.serving = replace(deployment.serving, usage=Counted(used))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(Bridge(app)(scope_of(ask), sender([ask.body]), send))
        assert (await scripted(deployment)).cancelled == 1
        assert len(used) == 1


class Counted:
    """A meter that keeps the output of each call."""

    def __init__(self, calls: list[int]) -> None:
        self._calls = calls

    def add(self, key: UsageKey, *, input_tokens: int, output_tokens: int) -> None:
        self._calls.append(output_tokens)


async def test_a_slow_engine_is_no_stalled_client(tmp_path: Path) -> None:
    ask = ask_of({"text": "one"}, {"sleep_s": 0.2}, {"text": " two"})
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with opened(tmp_path) as (app, deployment):
        await Bridge(app, stall_timeout_s=0.01)(scope_of(ask), sender([ask.body]), send)
        assert (await scripted(deployment)).finished == 1
    assert sent[-1]["more_body"] is False


def sender(pieces: list[bytes]) -> Receive:
    """A client that sends these pieces and stays."""
    remaining = iter(pieces)

    async def receive() -> Message:
        piece = next(remaining, None)
        if piece is None:
            return await asyncio.Future()
        return {"type": "http.request", "body": piece, "more_body": False}

    return receive


def scope_of(ask: Ask) -> Scope:
    headers = Signer().headers(ask, "127.0.0.1")
    return {
        "type": "http",
        "method": ask.method,
        "raw_path": ask.path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
