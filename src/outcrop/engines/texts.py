"""Embeddings by servers that are asked one text a request, since only so are the tokens of each
text known; several are under way at once."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from outcrop.engines.lift import Vectors, unit
from outcrop.generation import EmbeddingRequest, Embeddings

_AT_ONCE = 8


async def embed_each(
    request: EmbeddingRequest, embed: Callable[[str], Awaitable[tuple[Vectors, int]]]
) -> Embeddings:
    """``embed`` gives a text's vector and its tokens. The first failure ends the others."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(text: str) -> tuple[Vectors, int]:
        async with limit:
            return await embed(text)

    tasks = [asyncio.create_task(one(text)) for text in request.texts]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    vectors = np.stack([vector for vector, _ in answers])
    if request.normalize:
        vectors = unit(vectors)
    return Embeddings(tuple(vectors.tolist()), tuple(tokens for _, tokens in answers))
