"""How many tokens a prompt probably has, before an engine has counted them: what is reserved of a
quota until the engine's own count settles it.

Four ASCII characters are one token, any other character is one. What is no text has a constant.
"""

import codecs
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

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
from outcrop.prompting.plain import TEXT_FORMATS

IMAGE_TOKENS: Final = 1600
"""What Anthropic's models read of an image that is as large as they take without scaling it."""

VIDEO_TOKENS: Final = 2880
"""What Nova's models read of ten seconds."""

DOCUMENT_TOKENS: Final = 3000
"""Of a document that is no text or not at hand: a page of a PDF, with its picture."""

_ASCII_A_TOKEN: Final = 4


def estimate_tokens(generation: Generation) -> int:
    """Where a longer prompt is cut, no more than is left of it."""
    count = _Count()
    if generation.system is not None:
        count.add(generation.system)
    for tool in generation.tools:
        count.add(tool.name)
        count.add(tool.description)
        count.add_json(tool.schema)
    for turn in generation.turns:
        for part in turn.parts:
            _add_part(count, part)
    limit = generation.max_input_tokens
    if limit is not None and generation.truncate != "none":
        return min(count.tokens, limit)
    return count.tokens


def estimate_texts(texts: Sequence[str]) -> int:
    """Of texts that are read each for itself."""
    total = 0
    for text in texts:
        count = _Count()
        count.add(text)
        total += count.tokens
    return total


class _Count:
    __slots__ = ("_ascii", "_constant", "_others")

    def __init__(self) -> None:
        self._ascii = self._others = self._constant = 0

    @property
    def tokens(self) -> int:
        return -(-self._ascii // _ASCII_A_TOKEN) + self._others + self._constant

    def add(self, text: str) -> None:
        ascii = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
        self._ascii += ascii
        self._others += len(text) - ascii

    def add_json(self, value: Any) -> None:
        """As it is written. However deep it is nested: nothing has looked at that yet."""
        for text, marks in _written(value):
            self.add(text)
            self._ascii += marks

    def add_constant(self, tokens: int) -> None:
        self._constant += tokens


def _written(value: Any) -> Iterator[tuple[str, int]]:
    """The strings in a value of JSON, and how many characters stand around each or for what is no
    string: quotes, colons, commas, brackets, digits."""
    waiting: list[Any] = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value, 3
        elif isinstance(value, Mapping):
            members = cast("Mapping[Any, Any]", value)
            yield "", 1 if members else 2
            for name in members:
                yield str(name), 3
            waiting.extend(members.values())
        elif isinstance(value, list | tuple):
            items = cast("Sequence[Any]", value)
            yield "", 1 if items else 2
            waiting.extend(items)
        elif isinstance(value, int):
            # Not its text: that of a number of thousands of digits takes too long.
            yield "", 2 + int(value.bit_length() * math.log10(2))
        else:
            yield str(value), 1


def _add_part(count: _Count, part: Part) -> None:
    match part:
        case Text():
            # What it was said to rest on is not read again.
            count.add(part.text)
        case Reasoning():
            count.add(part.text)
        case ToolUse():
            count.add(part.name)
            count.add_json(part.input)
        case ToolResult():
            count.add(part.text)
            for medium in part.media:
                _add_medium(count, medium)
        case CachePoint():
            pass
        case Image() | Document() | Video():
            _add_medium(count, part)


def _add_medium(count: _Count, medium: Media) -> None:
    match medium:
        case Image():
            count.add_constant(IMAGE_TOKENS)
        case Video():
            count.add_constant(VIDEO_TOKENS)
        case Document():
            count.add(medium.name)
            count.add(medium.context or "")
            for text in _texts(medium):
                count.add(text)
            if not _is_text(medium):
                count.add_constant(DOCUMENT_TOKENS)


def _is_text(document: Document) -> bool:
    if isinstance(document.data, bytes):
        return document.format in TEXT_FORMATS
    return not isinstance(document.data, S3Location)


def _texts(document: Document) -> Sequence[str]:
    data = document.data
    if isinstance(data, tuple):
        return data
    if isinstance(data, S3Location) or document.format not in TEXT_FORMATS:
        return ()
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return (data.decode("utf-16" if is_wide else "utf-8", "replace"),)
