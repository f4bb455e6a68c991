"""Embeddings by InvokeModel, in the bodies of Titan and Cohere: one request a text, since only so
are the tokens of each text known."""

import asyncio
from typing import Any, TypeVar

import msgspec
import numpy as np

from outcrop.engines.lift import Vectors, lift
from outcrop.engines.protocol import EngineFailed, InputTooLong, Unsupported
from outcrop.engines.upstream.http import Client
from outcrop.generation import EmbeddingRequest, Embeddings

_AT_ONCE = 8
_COHERE_TRUNCATE = {"none": "NONE", "start": "START", "end": "END"}


Answer = TypeVar("Answer")


class _Titan(msgspec.Struct, rename="camel"):
    embedding: list[float]
    input_text_token_count: int


class _Cohere(msgspec.Struct):
    embeddings: list[list[float]]


async def embed(client: Client, model: str, request: EmbeddingRequest, engine: str) -> Embeddings:
    if "titan-embed-text" not in model and "cohere.embed" not in model:
        raise Unsupported("embeddings", model, engine)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(text: str) -> tuple[Vectors, int]:
        async with limit:
            if "cohere" in model:
                return await _cohere(client, model, text, request)
            return await _titan(client, model, text, request, engine)

    tasks = [asyncio.create_task(one(text)) for text in request.texts]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    vectors = np.stack([vector for vector, _ in answers])
    lifted = lift(vectors, request.dimensions, engine)
    if request.normalize:
        lengths = np.linalg.norm(lifted, axis=1, keepdims=True)
        lifted = lifted / np.where(lengths == 0, 1, lengths)
    return Embeddings(tuple(lifted.tolist()), tuple(tokens for _, tokens in answers))


async def _titan(
    client: Client, model: str, text: str, request: EmbeddingRequest, engine: str
) -> tuple[Vectors, int]:
    body: dict[str, Any] = {"inputText": text}
    if "v2" in model:
        body |= {"dimensions": request.dimensions, "normalize": request.normalize}
    async with client.post(model, "invoke", body) as response:
        titan = _decode(await response.read(), _Titan)
    if titan.input_text_token_count > request.max_tokens:
        if request.truncate != "none":
            raise Unsupported("truncate", request.truncate, engine)
        raise InputTooLong(request.max_tokens, titan.input_text_token_count)
    return np.asarray(titan.embedding, np.float32), titan.input_text_token_count


async def _cohere(
    client: Client, model: str, text: str, request: EmbeddingRequest
) -> tuple[Vectors, int]:
    body = {
        "texts": [text],
        "input_type": request.input_type or "search_document",
        "truncate": _COHERE_TRUNCATE[request.truncate],
    }
    async with client.post(model, "invoke", body) as response:
        counted = response.headers.get("x-amzn-bedrock-input-token-count", "")
        cohere = _decode(await response.read(), _Cohere)
    if len(cohere.embeddings) != 1 or not counted.isdecimal():
        raise EngineFailed("Bedrock did not answer one vector and one count for one text")
    return np.asarray(cohere.embeddings[0], np.float32), int(counted)


def _decode(body: bytes, answer: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=answer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EngineFailed(f"Bedrock's answer cannot be read: {error}") from error
