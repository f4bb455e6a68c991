"""An engine that is AWS Bedrock itself, or another Outcrop: one signed ConverseStream an answer."""

from collections.abc import AsyncGenerator

import msgspec

from outcrop.config import ConfigError, Upstream
from outcrop.engines.gate import Gate
from outcrop.engines.honours import PARAMETERS, honours
from outcrop.engines.protocol import EngineFailed
from outcrop.engines.upstream import embeddings, request as rendering
from outcrop.engines.upstream.http import Client
from outcrop.engines.upstream.stream import Reader
from outcrop.generation import EmbeddingRequest, Embeddings, Event, Generation
from outcrop.wire.eventstream import Decoder, EventStreamError


class _Count(msgspec.Struct, rename="camel"):
    input_tokens: int


class UpstreamEngine:
    """``model`` is the upstream's model ID, inference profile or ARN; else ``config.model``."""

    HONOURS = honours(
        PARAMETERS,
        without=rendering.REFUSED,
        where={
            "top_k": "models of Anthropic, Cohere, Mistral, and Nova",
            "tools, none": "before the first call",
            "image": "as its model does",
            "document, text": "as its model does",
            "document, pdf": "as its model does",
            "document, office": "as its model does",
            "video": "as its model does",
            "s3Location": "Nova, with the upstream account's rights",
            "citations": "Claude, through Converse",
            "reasoning, budget": "Claude",
            "reasoning, effort": "Claude, Nova 2 (low, medium), gpt-oss, Kimi K2, DeepSeek V3",
            "cached": "as its model does",
            "truncate": "only a prompt that surely fits uncut",
            "embeddings": "Titan Text Embeddings, Cohere Embed",
            "dimensions": "its own or more",
            "embedding truncate": "Cohere Embed",
            "input_type": "Cohere Embed",
        },
    )

    def __init__(self, name: str, config: Upstream, model: str | None = None) -> None:
        found = model or config.model
        if found is None:
            raise ConfigError(f"engines.{name}.model: the upstream's model ID is missing")
        self.name = name
        self.served_by = f"bedrock/{found}"
        self._model = found
        self._client = Client(config)
        self._gate = Gate(name, running=config.queue, waiting=0)

    @property
    def gate(self) -> Gate:
        return self._gate

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        async with self._gate.admit():
            body = rendering.render(generation, self._model, self.name)
            reader, decoder = Reader(generation), Decoder()
            try:
                async with self._client.post(self._model, "converse-stream", body) as response:
                    async for received in response.content.iter_any():
                        for frame in decoder.feed(received):
                            for event in reader.feed(frame):
                                yield event
            except EventStreamError as error:
                raise EngineFailed(f"Bedrock's stream is broken: {error}") from error
            for event in reader.finish():
                yield event

    async def count_tokens(self, generation: Generation) -> int:
        async with self._gate.admit():
            body = {"input": {"converse": rendering.conversation(generation, self.name)}}
            async with self._client.post(self._model, "count-tokens", body) as response:
                try:
                    counted = msgspec.json.decode(await response.read(), type=_Count)
                except msgspec.DecodeError as error:
                    raise EngineFailed(f"Bedrock's count cannot be read: {error}") from error
                return counted.input_tokens

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        async with self._gate.admit():
            return await embeddings.embed(self._client, self._model, request, self.name)

    async def close(self) -> None:
        self._gate.close()
        await self._client.close()
