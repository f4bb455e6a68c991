"""Claude's content blocks of pictures, documents and thoughts, and the marks of prompt caching.

A mark becomes a cache point behind its block. What a URL names is never fetched.
"""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects.anthropic_fields import as_object, close, field, refuse, tag
from outcrop.dialects.media import find_bytes, require, unsupported_block
from outcrop.generation import Document, Image, Reasoning, Role

Members = Mapping[str, Any]

_MEDIA_TYPES: Final = {
    "image/jpeg": "jpeg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
}
# Of the base64, as the provider counts.
_MOST_IMAGE_CHARS: Final = 5 * 1024 * 1024


def is_cached(members: Members, path: str, model: Model) -> bool:
    """Whether the block carries a mark; a model without prompt caching knows no such member."""
    mark: Any = members.get("cache_control")
    if mark is None:
        return False
    path = f"{path}.cache_control"
    if "cache" not in model.supports:
        refuse(path, "Extra inputs are not permitted")
    asked = as_object(mark, path)
    tag(field(asked, "type", str, path), ("ephemeral",), path)
    close(asked, ("type", "ttl"), f"{path}.ephemeral")
    if asked.get("ttl") not in (None, "5m"):
        # No engine promises to keep anything for an hour.
        refuse(f"{path}.ephemeral.ttl", "Input should be '5m'")
    return True


def parse_image(members: Members, path: str, role: Role, model: Model) -> Image:
    require("image", model)
    if role != "user":
        refuse(path, "`image` blocks can only be in `user` messages")
    close(members, ("type", "source", "cache_control"), path)
    source = as_object(field(members, "source", dict, path), f"{path}.source")
    path = f"{path}.source"
    if field(source, "type", str, path) != "base64":
        refuse(f"{path}.base64.data", "URL sources are not supported")
    path = f"{path}.base64"
    close(source, ("type", "media_type", "data"), path)
    media_type: str = field(source, "media_type", str, path)
    if media_type not in _MEDIA_TYPES:
        refuse(
            f"{path}.media_type",
            "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
        )
    size = len(field(source, "data", str, path))
    if size > _MOST_IMAGE_CHARS:
        told = f"image exceeds 5 MB maximum: {size} bytes > {_MOST_IMAGE_CHARS} bytes"
        refuse(path, told)
    return Image(_MEDIA_TYPES[media_type], _data(source, path))


def parse_document(members: Members, path: str, role: Role, model: Model) -> Document:
    require("document", model)
    if role != "user":
        refuse(path, "`document` blocks can only be in `user` messages")
    close(members, ("type", "source", "title", "context", "citations", "cache_control"), path)
    citations: Any = members.get("citations")
    if citations is not None and as_object(citations, f"{path}.citations").get("enabled"):
        refuse(f"{path}.citations", "Extra inputs are not permitted")
    if members.get("context"):
        refuse(f"{path}.context", "Extra inputs are not permitted")
    name = field(members, "title", str, path) if members.get("title") is not None else ""
    source = as_object(field(members, "source", dict, path), f"{path}.source")
    return _document(source, name, f"{path}.source")


def _document(source: Members, name: str, path: str) -> Document:
    kind = field(source, "type", str, path)
    if kind == "url":
        refuse(f"{path}.base64.data", "URL sources are not supported")
    kind = tag(kind, ("base64", "text"), path)
    path = f"{path}.{kind}"
    close(source, ("type", "media_type", "data"), path)
    wanted = "application/pdf" if kind == "base64" else "text/plain"
    if field(source, "media_type", str, path) != wanted:
        refuse(f"{path}.media_type", f"Input should be '{wanted}'")
    if kind == "base64":
        return Document("pdf", name, _data(source, path))
    return Document("txt", name, field(source, "data", str, path).encode(errors="replace"))


def _data(source: Members, path: str) -> bytes:
    data = find_bytes(field(source, "data", str, path))
    if not data:
        refuse(f"{path}.data", "Invalid base64 data")
    return data


def parse_thought(kind: str, members: Members, path: str, role: Role, model: Model) -> Reasoning:
    """``kind`` is ``thinking`` or ``redacted_thinking``; the latter's data goes back unread."""
    if "reasoning" not in model.supports:
        raise unsupported_block(kind)
    if role != "assistant":
        refuse(path, f"`{kind}` blocks can only be in `assistant` messages")
    if kind == "redacted_thinking":
        close(members, ("type", "data"), path)
        return Reasoning("", redacted=field(members, "data", str, path).encode(errors="replace"))
    close(members, ("type", "thinking", "signature"), path)
    return Reasoning(field(members, "thinking", str, path), field(members, "signature", str, path))
