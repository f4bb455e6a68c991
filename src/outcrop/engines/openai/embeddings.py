"""Embeddings by ``POST /embeddings``: one request a text, since only so are the tokens of each text
known; several are under way at once."""

import asyncio
from typing import Any

import msgspec
import numpy as np

from outcrop.engines.lift import Vectors, lift
from outcrop.engines.openai.http import Client
from outcrop.engines.protocol import EngineFailed, InputTooLong, Unsupported
from outcrop.generation import EmbeddingRequest, Embeddings

_AT_ONCE = 8


class _Vector(msgspec.Struct):
    embedding: list[float]


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _Embedded(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage


async def embed(client: Client, model: str, request: EmbeddingRequest, engine: str) -> Embeddings:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(text: str) -> tuple[Vectors, int]:
        async with limit:
            return await _embed(client, model, text, request, engine)

    tasks = [asyncio.create_task(one(text)) for text in request.texts]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    vectors = np.concatenate([vector for vector, _ in answers])
    if request.normalize:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(lengths == 0, 1, lengths)
    return Embeddings(tuple(vectors.tolist()), tuple(tokens for _, tokens in answers))


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
    return lift(vector, request.dimensions, engine), received


async def _ask(client: Client, body: dict[str, Any]) -> tuple[Vectors, int]:
    embedded = await client.ask(f"{client.url}/embeddings", body, _Embedded)
    if len(embedded.data) != 1 or not embedded.data[0].embedding:
        raise EngineFailed("the server did not answer one vector for one text")
    vector = np.asarray([embedded.data[0].embedding], dtype=np.float32)
    return vector, embedded.usage.prompt_tokens
