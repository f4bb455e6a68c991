"""The parts of a turn as content blocks of Converse, which has one for each of them."""

from collections.abc import Iterable
from typing import Any

from outcrop.engines.upstream import citations
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

CACHE_POINT = {"cachePoint": {"type": "default"}}


def blocks(parts: Iterable[Part]) -> list[dict[str, Any]]:
    return [_block(part) for part in parts]


def has_media(generation: Generation) -> bool:
    """How many tokens media have, nobody can tell from their bytes."""
    parts = [part for turn in generation.turns for part in turn.parts]
    return any(
        bool(part.media) if isinstance(part, ToolResult) else isinstance(part, Media)
        for part in parts
    )


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text(text, ()):
            return {"text": text}
        case Text():
            return {"citationsContent": citations.block(part)}
        case Image() | Document() | Video():
            return _media(part)
        case Reasoning():
            return {"reasoningContent": _thought(part)}
        case CachePoint():
            return CACHE_POINT
        case ToolUse(identity, name, arguments):
            return {"toolUse": {"toolUseId": identity, "name": name, "input": arguments}}
        case ToolResult():
            return {"toolResult": _result(part)}


def _media(media: Media) -> dict[str, Any]:
    source = _source(media.data)
    match media:
        case Image():
            return {"image": {"format": media.format, "source": source}}
        case Video():
            return {"video": {"format": media.format, "source": source}}
        case Document():
            document = {"format": media.format, "name": media.name, "source": source}
            if media.citations:
                document["citations"] = {"enabled": True}
            if media.context is not None:
                document["context"] = media.context
            return {"document": document}


def _source(data: bytes | S3Location | tuple[str, ...]) -> dict[str, Any]:
    match data:
        case S3Location(uri, None):
            return {"s3Location": {"uri": uri}}
        case S3Location(uri, owner):
            return {"s3Location": {"uri": uri, "bucketOwner": owner}}
        case tuple():
            return {"content": [{"text": piece} for piece in data]}
        case bytes():
            # msgspec writes bytes as base64, which is what Converse wants.
            return {"bytes": data}


def _thought(part: Reasoning) -> dict[str, Any]:
    if part.redacted is not None:
        return {"redactedContent": part.redacted}
    signature = {} if part.signature is None else {"signature": part.signature}
    return {"reasoningText": {"text": part.text} | signature}


def _result(result: ToolResult) -> dict[str, Any]:
    # AWS refuses an empty text beside something else.
    text = [] if result.media and not result.text else [{"text": result.text}]
    content = [*text, *(_media(one) for one in result.media)]
    fields: dict[str, Any] = {"toolUseId": result.tool_use_id, "content": content}
    return fields | ({"status": "error"} if result.is_error else {})
