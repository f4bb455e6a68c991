"""Log-probabilities that llama.cpp's server does not report by itself.

A prompt is scored by making each of its tokens follow those before it: one request a token, each
of which computes one token, since the prompt so far is cached. The server reports nothing for a
token that leaves a character incomplete (most of Japanese for a small vocabulary): there the whole
vocabulary's probabilities are asked for, some megabytes of JSON a token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outcrop.engines.llama.client import LlamaClient
from outcrop.engines.llama.messages import Alternative, Chunk
from outcrop.engines.llama.prompt import PromptToken, texts
from outcrop.engines.llama.sampling import forced_body
from outcrop.engines.protocol import EngineFailed
from outcrop.generation import Token

_LIKELIEST = 64
_MAX_SPLITS = 16


@dataclass(frozen=True, slots=True)
class _Split:
    """One way to cut the bytes of unreported tokens, with the log-probability of each."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Scorer:
    """``filler`` is any control token: it can be forced where the real one goes unreported."""

    def __init__(self, client: LlamaClient, vocabulary_size: int, filler: int) -> None:
        self._client = client
        self._vocabulary_size = vocabulary_size
        self._filler = filler
        self._by_bytes: dict[bytes, list[int]] = {}
        self._pieces: dict[int, bytes] = {}

    async def prompt(self, tokens: Sequence[PromptToken]) -> tuple[Token, ...]:
        """The first has no log-probability: nothing comes before it. Of the rest, those are scored
        that hold a caller's words: nobody asks for the template's."""
        words = texts([token.piece for token in tokens])
        ids = [token.id for token in tokens]
        scored: list[Token] = []
        for index, token in enumerate(tokens):
            logprob = None
            if index and token.by_caller:
                logprob = await self._logprob(ids[:index], token)
            scored.append(Token(words[index], token.id, logprob, token.by_caller))
        return tuple(scored)

    async def answer(self, chunk: Chunk, before: Sequence[int], unreported: int) -> list[Token]:
        """The tokens of one event that follows the tokens ``before``. Of the ways to cut its bytes
        into that many tokens, the likeliest is taken (nearly always there is only one)."""
        if not chunk.tokens or not chunk.completion_probabilities:
            return []
        last = chunk.completion_probabilities[0]
        if not unreported:
            return [Token(chunk.content, last.id, last.logprob)]
        if not self._pieces:
            await self._load_vocabulary()
        text = bytes(last.bytes)
        hidden = text.removesuffix(self._pieces.get(last.id, b""))
        splits = [
            await self._score(before, ids)
            for ids in _take(self._splits(hidden, unreported), _MAX_SPLITS)
        ]
        if not splits:
            raise EngineFailed(f"the tokens that make {chunk.content!r} cannot be told")
        best = max(splits, key=lambda split: sum(split.logprobs))
        parts = texts([*(self._pieces[one] for one in best.ids), self._pieces[last.id]])
        ids, logprobs = [*best.ids, last.id], [*best.logprobs, last.logprob]
        return [Token(*one) for one in zip(parts, ids, logprobs, strict=True)]

    async def _logprob(self, before: Sequence[int], token: PromptToken) -> float:
        if not _is_whole(token.piece):
            return await self._listed(before, token.id)
        chunk = await self._client.complete(forced_body(before, token.id))
        for probability in chunk.completion_probabilities:
            if probability.id == token.id:
                return probability.logprob
        return await self._listed(before, token.id)

    async def _listed(self, before: Sequence[int], token: int) -> float:
        """From the list of the likeliest tokens, or from that of all."""
        for count in (_LIKELIEST, self._vocabulary_size):
            for alternative in await self._list(before, count):
                if alternative.id == token:
                    return alternative.logprob
        raise EngineFailed(f"the engine reports no probability for the token {token}")

    async def _list(self, before: Sequence[int], count: int) -> list[Alternative]:
        chunk = await self._client.complete(forced_body(before, self._filler, count))
        if not chunk.completion_probabilities:
            raise EngineFailed("the engine reports no probabilities")
        return chunk.completion_probabilities[0].top_logprobs

    async def _score(self, before: Sequence[int], ids: Sequence[int]) -> _Split:
        logprobs = [
            await self._listed([*before, *ids[:index]], token) for index, token in enumerate(ids)
        ]
        return _Split(tuple(ids), tuple(logprobs))

    async def _load_vocabulary(self) -> None:
        """The bytes of every token, as the engine itself writes them."""
        for one in await self._list([self._filler], self._vocabulary_size):
            piece = bytes(one.bytes)
            self._pieces[one.id] = piece
            self._by_bytes.setdefault(piece, []).append(one.id)

    def _splits(self, text: bytes, count: int) -> Iterator[tuple[int, ...]]:
        if count == 1:
            yield from ((token,) for token in self._by_bytes.get(text, ()))
            return
        for size in range(1, len(text) - count + 2):
            for token in self._by_bytes.get(text[:size], ()):
                for rest in self._splits(text[size:], count - 1):
                    yield (token, *rest)


def _take(splits: Iterator[tuple[int, ...]], limit: int) -> list[tuple[int, ...]]:
    return [split for split, _ in zip(splits, range(limit), strict=False)]


def _is_whole(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True
