"""A server that plays chat completion streams, and short ways to ask it through the engine."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from outcrop.config import OpenAI
from outcrop.engines.openai import OpenAIEngine
from outcrop.generation import (
    Event,
    Generation,
    Part,
    Text,
    TextDelta,
    Tool,
    ToolChoice,
    Turn,
)

ASK = Generation(turns=(Turn("user", (Text("Hi"),)),), max_tokens=50)
WEATHER = Tool("weather", "Tells the weather", {"type": "object"})
FORCED = replace(ASK, tools=(WEATHER,), tool_choice=ToolChoice("any"))


class Server:
    """Answers every completion with ``pieces``, bytes as written to the socket, and keeps what it
    was asked. ``refusals`` are answered first."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.pieces: list[bytes] = []
        self.refusals: list[tuple[int, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[str | None] = []
        self.cut = False
        self.tokens = 3

    def say(self, *chunks: dict[str, Any], done: bool = True) -> None:
        lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
        self.pieces = [line.encode() for line in lines] + [b"data: [DONE]\n\n"] * done

    async def models(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.get("Authorization"))
        return web.json_response({"data": [{"id": "m", "owned_by": self.owner}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        if self.refusals:
            status, body = self.refusals.pop(0)
            return web.json_response(body, status=status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        if self.cut and request.transport is not None:
            request.transport.abort()
        return response

    async def tokenize(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return web.json_response({"count": 17, "tokens": list(range(17))})

    async def embed(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        usage = {"prompt_tokens": self.tokens}
        return web.json_response({"data": [{"embedding": [3.0, 4.0]}], "usage": usage})


@asynccontextmanager
async def serving(owner: str = "vllm") -> AsyncGenerator[tuple[Server, OpenAIEngine]]:
    server, app = Server(owner), web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_post("/v1/embeddings", server.embed)
    app.router.add_post("/tokenize", server.tokenize)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    engine = OpenAIEngine("remote", OpenAI(url=f"http://127.0.0.1:{site.port}/v1", timeout_s=5))
    try:
        yield server, engine
    finally:
        await engine.close()
        await runner.cleanup()


def delta(finish: str | None = None, usage: int | None = None, **fields: Any) -> dict[str, Any]:
    chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}
    if usage is not None:
        chunk["usage"] = {"prompt_tokens": 9, "completion_tokens": usage}
    return chunk


def total(completion_tokens: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 9, "completion_tokens": completion_tokens}
    return {"choices": [], "usage": usage}


def call(arguments: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": fields.pop("name")} if fields else {})
    return {"index": index, "function": function, **fields}


async def collect(engine: OpenAIEngine, generation: Generation = ASK) -> list[Event]:
    return [event async for event in engine.generate(generation)]


def text(answer: list[Event]) -> str:
    return "".join(event.text for event in answer if isinstance(event, TextDelta))


def asked(*parts: Part) -> Generation:
    return replace(ASK, turns=(Turn("user", parts),))


async def sent(owner: str, generation: Generation) -> dict[str, Any]:
    async with serving(owner) as (server, engine):
        server.say(delta("stop", content="Yes"), total(1))
        await collect(engine, generation)
        return server.asked[0]
