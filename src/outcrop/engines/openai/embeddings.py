"""Embeddings by ``POST /embeddings``, one request a text."""

from typing import Any

import msgspec
import numpy as np

from outcrop.engines.lift import Vectors, lift
from outcrop.engines.openai.http import Client
from outcrop.engines.protocol import EngineFailed, InputTooLong, TokenCount, Unsupported
from outcrop.engines.texts import embed_each
from outcrop.generation import EmbeddingRequest, Embeddings


class _Vector(msgspec.Struct):
    embedding: list[float]


class _Usage(msgspec.Struct):
    prompt_tokens: TokenCount


class _Embedded(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage


async def embed(client: Client, model: str, request: EmbeddingRequest, engine: str) -> Embeddings:
    return await embed_each(request, lambda text: _embed(client, model, text, request, engine))


async def _embed(
    client: Client, model: str, text: str, request: EmbeddingRequest, engine: str
) -> tuple[Vectors, int]:
    body: dict[str, Any] = {"model": model, "input": text, "encoding_format": "float"}
    vector, received = await _ask(client, body)
    if received > request.max_tokens:
        if request.truncate != "none":
            # The interface has no word for it, and cutting needs the server's own tokenizer.
            raise Unsupported("truncate", request.truncate, engine)
        raise InputTooLong(request.max_tokens, received)
    if vector.shape[1] > request.dimensions:
        # Only the server knows whether its model's vectors may be cut.
        try:
            vector, _ = await _ask(client, body | {"dimensions": request.dimensions})
        except EngineFailed as error:
            raise Unsupported("dimensions", request.dimensions, engine) from error
    return lift(vector, request.dimensions, engine)[0], received


async def _ask(client: Client, body: dict[str, Any]) -> tuple[Vectors, int]:
    embedded = await client.ask(f"{client.url}/embeddings", body, _Embedded)
    if len(embedded.data) != 1 or not embedded.data[0].embedding:
        raise EngineFailed("the server did not answer one vector for one text")
    vector = np.asarray([embedded.data[0].embedding], dtype=np.float32)
    return vector, embedded.usage.prompt_tokens
