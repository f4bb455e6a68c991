"""Embeddings by InvokeModel, in the bodies of Titan and Cohere, one request a text."""

from typing import Any, TypeVar

import msgspec
import numpy as np

from outcrop.engines.lift import Vectors, lift
from outcrop.engines.protocol import EngineFailed, InputTooLong, TokenCount, Unsupported
from outcrop.engines.texts import embed_each
from outcrop.engines.upstream.http import Client
from outcrop.generation import EmbeddingRequest, Embeddings

_COHERE_TRUNCATE = {"none": "NONE", "start": "START", "end": "END"}


Answer = TypeVar("Answer")


class _Titan(msgspec.Struct, rename="camel"):
    embedding: list[float]
    input_text_token_count: TokenCount


class _Cohere(msgspec.Struct):
    embeddings: list[list[float]]


async def embed(client: Client, model: str, request: EmbeddingRequest, engine: str) -> Embeddings:
    if "titan-embed-text" not in model and "cohere.embed" not in model:
        raise Unsupported("embeddings", model, engine)

    async def one(text: str) -> tuple[Vectors, int]:
        answer = _cohere if "cohere" in model else _titan
        vector, tokens = await answer(client, model, text, request, engine)
        return lift(vector[np.newaxis], request.dimensions, engine)[0], tokens

    return await embed_each(request, one)


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
    client: Client, model: str, text: str, request: EmbeddingRequest, _engine: str
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
