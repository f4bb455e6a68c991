"""An engine that is any OpenAI-compatible server: vLLM, Ray Serve LLM, Ollama, TGI, llama.cpp.

What a server can do beyond OpenAI's interface is known from its model list (``peers.py``), asked
once.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from outcrop.config import OpenAI
from outcrop.engines.fitting import Fitting
from outcrop.engines.gate import Gate
from outcrop.engines.openai import embeddings, peers, request as rendering
from outcrop.engines.openai.adapter import LoadedAdapter
from outcrop.engines.openai.failures import UnknownModel
from outcrop.engines.openai.honours import HONOURS
from outcrop.engines.openai.http import Client
from outcrop.engines.openai.messages import has_media, messages, only_text
from outcrop.engines.openai.sse import EventParser, EventTooLong
from outcrop.engines.openai.stream import Reader
from outcrop.engines.protocol import EngineFailed, InputTooLong, Unsupported
from outcrop.generation import EmbeddingRequest, Embeddings, Event, Generation


class _Count(msgspec.Struct):
    count: int


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Prompt(msgspec.Struct):
    prompt: str


class OpenAIEngine:
    """``model`` is its name at the server, else ``config.model``, else the server's first one. With
    a ``fitting`` it is the base, and the adapter is what is asked."""

    HONOURS = HONOURS

    def __init__(
        self,
        name: str,
        config: OpenAI,
        model: str | None = None,
        fitting: Fitting | None = None,
    ) -> None:
        self.name = name
        self._model = model or config.model
        self._suffix = f"+{fitting.id}" if fitting else ""
        self.served_by = (f"openai/{self._model}" if self._model else "openai") + self._suffix
        self._config = config
        self._client = Client(name, config)
        self._adapter = (
            LoadedAdapter(name, self._client, fitting, config.lora_dir, self._model)
            if fitting
            else None
        )
        self._gate = Gate(name, running=config.queue, waiting=0)
        self._peer: peers.Peer | None = None
        self._recognizing = asyncio.Lock()

    @property
    def gate(self) -> Gate:
        return self._gate

    async def fit(self) -> None:
        """Returns when its server has the adapter, where it is to answer with one."""
        if self._adapter is not None:
            await self._recognize()
            await self._adapter.load()

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        async with self._gate.admit():
            peer, model = await self._recognize()
            body = await self._render(generation, model, peer)
            try:
                async with aclosing(self._answer(generation, body)) as events:
                    async for event in events:
                        yield event
            except InputTooLong as error:
                # Prompt and answer share the context: a prompt that fits gets what is left of it.
                left = error.limit - error.received
                if left <= 0 or left >= body[peer.max_tokens]:
                    raise
                async for event in self._answer(generation, body | {peer.max_tokens: left}):
                    yield event

    async def count_tokens(self, generation: Generation) -> int:
        peer, model = await self._recognize()
        if not only_text(generation):
            # These requests count a placeholder for an image.
            raise Unsupported("counting tokens", "of media", self.name)
        body: dict[str, Any] = {"messages": messages(generation, peer, self.name)}
        if generation.tools:
            body["tools"] = rendering.tools(generation)
        tokenize = f"{self._client.root}/tokenize"
        if peer.tokenizer == "vllm":
            if generation.turns[-1].role == "assistant":
                body |= peer.prefill or {}
            return (await self._client.ask(tokenize, body | {"model": model}, _Count)).count
        if peer.tokenizer == "llama.cpp":
            url = f"{self._client.root}/apply-template"
            prompt = (await self._client.ask(url, body, _Prompt)).prompt
            body = {"content": prompt, "add_special": True, "parse_special": True}
            return len((await self._client.ask(tokenize, body, _Tokens)).tokens)
        raise Unsupported("counting tokens", peer.name, self.name)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        if self._adapter is not None:
            raise Unsupported("embeddings", "by a custom model", self.name)
        async with self._gate.admit():
            _, model = await self._recognize()
            return await embeddings.embed(self._client, model, request, self.name)

    async def close(self) -> None:
        self._gate.close()
        if self._adapter is not None:
            await self._adapter.unload()
        await self._client.close()

    async def _recognize(self) -> tuple[peers.Peer, str]:
        async with self._recognizing:
            if self._peer is None:
                listed = await self._client.get(f"{self._client.url}/models", peers.ModelList)
                self._peer = peers.recognize(listed, self._config.url)
                self._model = self._model or (listed.data[0].id if listed.data else None)
                self.served_by = f"{self._peer.name}/{self._model}{self._suffix}"
        if self._model is None:
            raise EngineFailed(f"{self._config.url} lists no model, and none is configured")
        return self._peer, self._model

    async def _render(self, generation: Generation, model: str, peer: peers.Peer) -> dict[str, Any]:
        def render() -> dict[str, Any]:
            body = rendering.render(generation, model, peer, self.name)
            return body | self._truncation(generation, peer)

        return await asyncio.to_thread(render) if has_media(generation) else render()

    async def _answer(self, generation: Generation, body: dict[str, Any]) -> AsyncGenerator[Event]:
        """A server that was started anew has forgotten the adapter, and is given it once more."""
        if self._adapter is None:
            async for event in self._stream(generation, body):
                yield event
            return
        loads = await self._adapter.load()
        body = body | {"model": self._adapter.model}
        try:
            async for event in self._stream(generation, body):
                yield event
        except UnknownModel:
            await self._adapter.load(after=loads)
            async for event in self._stream(generation, body):
                yield event

    async def _stream(self, generation: Generation, body: dict[str, Any]) -> AsyncGenerator[Event]:
        reader, parser = Reader(generation), EventParser()
        async with self._client.post(f"{self._client.url}/chat/completions", body) as response:
            async for received in response.content.iter_any():
                for event in _read(reader, parser, received):
                    yield event
                if reader.done:
                    break
        for event in reader.finish():
            yield event

    def _truncation(self, generation: Generation, peer: peers.Peer) -> dict[str, Any]:
        limit = generation.max_input_tokens
        if generation.truncate == "none" or limit is None:
            return {}
        limit = min(limit, self._config.context)
        if generation.truncate == "start" and peer.truncation:
            return {"truncate_prompt_tokens": limit}
        # No text has more tokens than bytes, and a template adds few: what is short fits surely.
        size = len(msgspec.json.encode(messages(generation, peer, self.name)))
        if only_text(generation) and size + 64 <= limit:
            return {}
        raise Unsupported("truncate", generation.truncate, self.name)


def _read(reader: Reader, parser: EventParser, received: bytes) -> Iterator[Event]:
    try:
        for data in parser.feed(received):
            yield from reader.feed(data)
            if reader.done:
                return
    except EventTooLong as error:
        raise EngineFailed(str(error)) from error
