"""What the scripted engine reads of a request: its tokens, and what of them it has read before.

Tokens are words, cut to eight characters. Media and earlier thoughts are words that name them,
whatever they hold.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from outcrop.engines.protocol import Unsupported
from outcrop.generation import (
    CachePoint,
    Document,
    Generation,
    Image,
    Media,
    Part,
    Reasoning,
    S3Location,
    Text,
    ToolResult,
    ToolUse,
    Video,
)
from outcrop.prompting.cachepoints import has_cache_points

_PIECE = re.compile(r"\s*\S{1,8}|\s+")
_REMEMBERED = 1024


def pieces(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return _PIECE.findall(text)


def prompt(generation: Generation) -> list[str]:
    """The tokens of everything the model would read, before truncation."""
    texts = [generation.system or ""]
    texts += [readable(part) for turn in generation.turns for part in turn.parts]
    texts += [_json(tool) for tool in generation.tools]
    return [piece for text in texts for piece in pieces(text)]


def check(generation: Generation, engine: str) -> None:
    """Refuses what this engine does not even pretend to do."""
    parts = [part for turn in generation.turns for part in turn.parts]
    attached = [one for part in parts if isinstance(part, ToolResult) for one in part.media]
    for part in (*parts, *attached):
        if isinstance(part, Document) and part.citations:
            raise Unsupported("citations", "enabled", engine)
        if isinstance(part, Media) and isinstance(part.data, S3Location):
            raise Unsupported("s3Location", part.data.uri, engine)


def readable(part: Part) -> str:
    match part:
        case Text(text):
            return text
        case ToolResult(_, text, _, media):
            return " ".join([text, *(readable(one) for one in media)])
        case Image() | Video():
            return f"[{type(part).__name__.lower()} {part.format}]"
        case Document():
            return f"[document {part.format}]"
        case Reasoning():
            return "[thought]"
        case CachePoint():
            return ""
        case ToolUse():
            return _json(part)


@dataclass(frozen=True, slots=True)
class CacheUse:
    read_tokens: int = 0
    write_tokens: int = 0


class PromptCache:
    """Remembers the prompts that ended in a cache point; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def use(self, generation: Generation) -> CacheUse:
        """Reads the longest prompt known, and from now on knows all of this generation's."""
        read = last = 0
        if not has_cache_points(generation):
            return CacheUse()
        for last, key in _cache_points(generation):
            if key in self._known:
                read = last
                self._known.move_to_end(key)
            self._known[key] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return CacheUse(read, last - read)


def _cache_points(generation: Generation) -> Iterator[tuple[int, bytes]]:
    """How many tokens come before each cache point, and a key of all that does. Tools come first,
    then the system text, as AWS has them."""
    count, key = 0, hashlib.sha256()
    for item in _items(generation):
        if isinstance(item, CachePoint):
            yield count, key.digest()
            continue
        text = item if isinstance(item, str) else readable(item)
        count += len(pieces(text))
        content = msgspec.json.encode(item)
        key.update(len(content).to_bytes(8) + content)


def _items(generation: Generation) -> Iterator[Part | str]:
    yield from map(_json, generation.tools)
    if "tools" in generation.cached:
        yield CachePoint()
    if generation.system is not None:
        yield generation.system
        if "system" in generation.cached:
            yield CachePoint()
    for turn in generation.turns:
        yield from turn.parts


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
