"""What a client may do with HTTP itself: both versions, odd paths, odd bodies, odd framing."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from raw_http import connected, http2, read_head, read_reply, render
from serving import Served, opened, preset, served
from signed_http import Ask, Signer

from outcrop.server.bodies import MAX_BODY_BYTES
from outcrop.wire.http import Request
from outcrop.wire.parse import MAX_BODY_BYTES as MAX_INVOKE_BYTES

LIST = Ask("GET", "/foundation-models")
HEALTH = b"GET /_outcrop/health HTTP/1.1\r\nhost: x\r\n\r\n"
ARN = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
BODY = json.dumps({"prompt": "\n\nHuman: hello\n\nAssistant:", "max_tokens_to_sample": 9}).encode()
INVOKE = Ask("POST", "/model/anthropic.claude-v2/invoke", body=BODY)
HOST = "127.0.0.1:4510"


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Served]:
    preset(monkeypatch)
    async with served(tmp_path) as running:
        yield running


async def test_one_connection_of_http1_serves_many_requests(gateway: Served) -> None:
    async with connected(gateway.url) as (reader, writer):
        for ask in (LIST, INVOKE, LIST, INVOKE):
            writer.write(render(gateway.url, ask) + ask.body)
            assert (await read_reply(reader)).status == 200


async def test_requests_sent_at_once_are_answered_in_order(gateway: Served) -> None:
    async with connected(gateway.url) as (reader, writer):
        writer.write(render(gateway.url, INVOKE) + INVOKE.body + HEALTH)
        assert "completion" in (await read_reply(reader)).json
        assert (await read_reply(reader)).json["status"] == "ok"


async def test_one_connection_of_http2_serves_many_requests_at_once(gateway: Served) -> None:
    async with http2(gateway.url) as client:
        numbers = [await client.send(ask) for ask in (LIST, INVOKE) * 20]
        replies = [await client.reply(number) for number in numbers]
    assert {reply.status for reply in replies} == {200}
    assert all(len(reply.headers["x-amzn-requestid"]) == 36 for reply in replies)


async def test_health_needs_no_signature(gateway: Served) -> None:
    async with connected(gateway.url) as (reader, writer):
        writer.write(HEALTH)
        reply = await read_reply(reader)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["status"] == "ok"


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE", "PATCH", "QUERY"])
async def test_an_unknown_path_is_an_unknown_operation(gateway: Served, method: str) -> None:
    for path in ("/", "/nothing/here", "//", "/model", "/foundation-models/a/b/c", "*"):
        async with connected(gateway.url) as (reader, writer):
            writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            status, headers = await read_head(reader)
        # "*" is no target of these methods, which the HTTP server itself may say.
        assert status == 404 or (path == "*" and status == 400)
        if status == 404:
            assert headers["x-amzn-errortype"].startswith("UnknownOperationException:")


async def test_head_answers_without_a_body(gateway: Served) -> None:
    async with connected(gateway.url) as (reader, writer):
        writer.write(b"HEAD /nothing HTTP/1.1\r\nhost: x\r\n\r\n" + HEALTH)
        assert (await read_head(reader))[0] == 404
        assert (await read_reply(reader)).json["status"] == "ok"


async def test_a_chunked_body_is_read_whole(gateway: Served) -> None:
    async with connected(gateway.url) as (reader, writer):
        writer.write(render(gateway.url, INVOKE, "transfer-encoding: chunked"))
        for at in range(0, len(BODY), 10):
            piece = BODY[at : at + 10]
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert "completion" in (await read_reply(reader)).json


async def test_a_client_may_wait_for_100_continue(gateway: Served) -> None:
    async with connected(gateway.url) as (reader, writer):
        writer.write(render(gateway.url, INVOKE, "expect: 100-continue"))
        assert (await read_head(reader))[0] == 100
        writer.write(BODY)
        assert (await read_reply(reader)).status == 200


async def test_a_body_beyond_the_models_limit_is_a_validation_error(gateway: Served) -> None:
    ask = Ask("POST", INVOKE.path, body=b" " * (MAX_INVOKE_BYTES + 1))
    async with connected(gateway.url) as (reader, writer):
        writer.write(render(gateway.url, ask) + ask.body)
        reply = await read_reply(reader)
    assert (reply.status, reply.error) == (400, "ValidationException")
    assert "less than or equal to 25000000" in reply.message


@pytest.mark.parametrize("declared", ["content-length", "chunked"])
async def test_a_body_beyond_everything_is_refused_and_the_server_lives(
    gateway: Served, declared: str
) -> None:
    async with connected(gateway.url) as (reader, writer):
        size = MAX_BODY_BYTES + 1024
        is_chunked = declared == "chunked"
        framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {size}"
        writer.write(f"POST {INVOKE.path} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n".encode())
        if is_chunked:
            writer.write(f"{size:x}\r\n".encode())
        writer.write(bytes(size))
        status, headers = await read_head(reader)
    assert status == 413
    assert headers["x-amzn-errortype"] == "RequestEntityTooLargeException"
    async with connected(gateway.url) as (reader, writer):
        writer.write(HEALTH)
        assert (await read_reply(reader)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        f"/model/{ARN}/invoke",
        f"/model/{ARN.replace(':', '%3A').replace('/', '%2F')}/invoke",
        f"/model/{ARN.replace('/', '%2f')}/invoke",
        f"/model/{ARN.replace(':', '%3A')}/invoke",
        "/model/anthropic.claude-v2/invoke",
        "/model/anthropic%2Eclaude-v2/invoke",
    ],
)
async def test_a_model_is_found_however_its_id_is_written(gateway: Served, path: str) -> None:
    async with connected(gateway.url) as (reader, writer):
        writer.write(render(gateway.url, Ask("POST", path, body=BODY)) + BODY)
        first = await read_reply(reader)
    async with http2(gateway.url) as client:
        second = await client.reply(await client.send(Ask("POST", path, body=BODY)))
    assert (first.status, second.status) == (200, 200)
    assert first.json["completion"] == second.json["completion"] == " hello"


async def test_a_trailing_slash_is_another_operation(gateway: Served) -> None:
    async with connected(gateway.url) as (reader, writer):
        for path, name in (
            ("/agents/ABCDEFGHIJ/", "PrepareAgent of bedrock-agent."),
            ("/agents/ABCDEFGHIJ", "InvokeInlineAgent of bedrock-agent-runtime."),
        ):
            ask = Ask(
                "POST", path, body=b'{"foundationModel":"m","instruction":"' + b"i" * 50 + b'"}'
            )
            writer.write(render(gateway.url, ask) + ask.body)
            reply = await read_reply(reader)
            assert (reply.status, reply.error) == (501, "NotImplementedException")
            assert reply.message == f"Outcrop does not have the operation {name}"


async def test_a_large_hostile_body_does_not_stop_other_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset(monkeypatch)
    tiny: list[dict[str, str]] = [{} for _ in range(300_000)]
    body = msgspec.json.encode({"messages": [{"role": "user", "content": tiny}]})
    hostile = Ask("POST", "/model/anthropic.claude-v2/converse", body=body)
    order: list[str] = []
    async with opened(tmp_path) as (app, _):

        async def run(name: str, ask: Ask) -> int:
            headers = tuple(Signer().headers(ask, HOST).items())
            request = Request(ask.method, ask.path, ask.query, headers, ask.body, HOST)
            status = (await app.handle(request)).status
            order.append(name)
            return status

        slow = asyncio.create_task(run("hostile", hostile))
        await asyncio.sleep(0)
        assert await run("other", INVOKE) == 200
        assert await slow == 400
    assert order == ["other", "hostile"]
