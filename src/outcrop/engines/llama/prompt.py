"""From segments to token IDs, and how a prompt that is too long is cut.

Only a caller's words are cut: control tokens and the template's own words around them stay.
"""

import asyncio
import codecs
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from outcrop.engines.llama.client import LlamaClient
from outcrop.engines.protocol import InputTooLong
from outcrop.generation import Text, Truncate, Turn
from outcrop.prompting.templates import Segment


@dataclass(frozen=True, slots=True)
class PromptToken:
    """``cuttable`` says that it is made of a caller's words alone, ``by_caller`` that it holds some
    of them."""

    id: int
    piece: bytes
    cuttable: bool
    by_caller: bool = False


async def token_ids(client: LlamaClient, segments: Sequence[Segment]) -> tuple[int, ...]:
    parts = await asyncio.gather(
        *(client.tokenize(segment.text, special=segment.special) for segment in segments)
    )
    return tuple(token for part in parts for token in part)


async def cacheable(client: LlamaClient, cached: Sequence[Segment], prompt: Sequence[int]) -> int:
    """How many tokens of ``prompt`` belong to its segments ``cached`` alone: one that reaches over
    their end does not."""
    if not cached:
        return 0
    pairs = zip(await token_ids(client, cached), prompt, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


async def prompt_tokens(
    client: LlamaClient, segments: Sequence[Segment], turns: Sequence[Turn]
) -> list[PromptToken]:
    """As ``token_ids``, with each token's bytes and whether it may be cut."""
    parts = await asyncio.gather(
        *(client.pieces(segment.text, special=segment.special) for segment in segments)
    )
    words = deque(_words(turns))
    tokens: list[PromptToken] = []
    for segment, pieces in zip(segments, parts, strict=True):
        tokens += _marked(pieces, _find(words, segment))
    return tokens


def _find(words: deque[str], segment: Segment) -> list[range]:
    """The bytes of the segment that hold the next of ``words``; those found are taken away."""
    found: list[range] = []
    for start, end in segment.said:
        while words and (at := segment.text.find(words[0], start, end)) >= 0:
            word = words.popleft()
            before = len(segment.text[:at].encode())
            found.append(range(before, before + len(word.encode())))
            start = at + len(word)
    return found


def cut(
    tokens: Sequence[PromptToken], limit: int, side: Truncate, received: int
) -> list[PromptToken]:
    """Exactly ``limit`` tokens; InputTooLong when even without the caller's words it is more."""
    surplus = len(tokens) - limit
    cuttable = [index for index, token in enumerate(tokens) if token.cuttable]
    if surplus > len(cuttable):
        raise InputTooLong(limit, received)
    gone = set(cuttable[:surplus] if side == "start" else cuttable[len(cuttable) - surplus :])
    return [token for index, token in enumerate(tokens) if index not in gone]


def texts(pieces: Sequence[bytes]) -> list[str]:
    """The text each piece adds: a character in several pieces counts to its last one."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    last = len(pieces) - 1
    return [decoder.decode(piece, final=index == last) for index, piece in enumerate(pieces)]


def _words(turns: Sequence[Turn]) -> Iterator[str]:
    """What the caller wrote. Tool calls and results are never cut: half a JSON misleads."""
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, Text) and part.text:
                yield part.text


def _marked(pieces: Sequence[tuple[int, bytes]], ranges: Sequence[range]) -> list[PromptToken]:
    marked: list[PromptToken] = []
    start = 0
    for token, piece in pieces:
        end = start + len(piece)
        inside = any(one.start <= start and end <= one.stop for one in ranges)
        touched = any(start < one.stop and one.start < end for one in ranges)
        marked.append(PromptToken(token, piece, inside, touched))
        start = end
    return marked
