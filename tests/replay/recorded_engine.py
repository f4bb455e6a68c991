"""An engine that answers what the service answered in one recorded exchange, and knows no more."""

import base64
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from recorded_answers import (
    Counts,
    completion,
    completion_events,
    converse_completion,
    converse_events,
    stream_events,
)
from recorded_exchanges import Exchange

from outcrop.generation import EmbeddingRequest, Embeddings, Event, Generation
from outcrop.wire.eventstream import Frame


class RecordedEngine:
    """Raises LookupError, which no caller expects, where the service's own model did not answer."""

    name = "recorded"
    served_by = "recorded/service"

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        for event in recorded_events(self._exchange):
            yield event

    async def count_tokens(self, generation: Generation) -> int:
        return self._exchange.answer["inputTokens"]

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        vectors = _vectors(self._exchange.answer)
        total = _counts(self._exchange)[0] or self._exchange.answer.get("inputTextTokenCount", 0)
        # The service tells one sum; how the texts share it is not told.
        return Embeddings(tuple(vectors), (total, *[0] * (len(vectors) - 1)))

    async def close(self) -> None:
        pass


def recorded_events(exchange: Exchange) -> list[Event]:
    if exchange.model is None or exchange.status != 200:
        raise LookupError(f"no model answered {exchange.id}")
    dialect = exchange.model.dialect
    match exchange.operation:
        case "Converse":
            return list(completion_events(converse_completion(exchange.answer)))
        case "ConverseStream":
            return converse_events([{_kind(f): payload_of(f)} for f in exchange.frames])
        case "InvokeModel":
            return list(completion_events(completion(dialect, exchange.answer, _counts(exchange))))
        case _:
            return stream_events(dialect, [chunk_of(frame) for frame in exchange.frames])


def _kind(frame: Frame) -> str:
    return str(frame.headers[":event-type"])


def payload_of(frame: Frame) -> dict[str, Any]:
    """Without the pad of random length."""
    payload: dict[str, Any] = msgspec.json.decode(frame.payload)
    return {name: value for name, value in payload.items() if name != "p"}


def chunk_of(frame: Frame) -> dict[str, Any]:
    return msgspec.json.decode(base64.b64decode(payload_of(frame)["bytes"]))


def _counts(exchange: Exchange) -> Counts:
    read, written = (
        int(exchange.headers.get(f"x-amzn-bedrock-{kind}-token-count", 0))
        for kind in ("input", "output")
    )
    return read, written


def _vectors(answer: dict[str, Any]) -> list[list[float]]:
    if "embedding" in answer:
        return [answer["embedding"]]
    by_type: dict[str, Any] = {"embeddings_floats": {"float": answer["embeddings"]}}
    return by_type.get(answer["response_type"], answer["embeddings"])["float"]
