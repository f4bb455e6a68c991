"""Converse's content blocks of media, cached prompts and reasoning, as parts of a turn.

Limits are those of botocore's documentation of Message; what lies in S3 is refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects.media import require, require_cache
from outcrop.errors import ValidationException
from outcrop.generation import (
    CachePoint,
    Document,
    Image,
    Media,
    Part,
    Reasoning,
    Role,
    Text,
    Video,
)

Block = Mapping[str, Any]

_FROM_S3: Final = "This model doesn't support the s3Uri field. Remove s3Uri and try again."
_MOST_IMAGES: Final = 20
_MOST_DOCUMENTS: Final = 5
_MOST_IMAGE_BYTES: Final = 3_932_160
_MOST_DOCUMENT_BYTES: Final = 4_718_592
# The underscore is not in the documentation; the service took it (recorded, December 2025).
_NAME: Final = re.compile(r"[\w()\[\]-]+(?:\s[\w()\[\]-]+)*", re.ASCII)


def unsupported_field(name: str) -> ValidationException:
    return ValidationException(
        f"This model doesn't support the {name} field. Remove {name} and try again."
    )


def read_media(kind: str, block: Block, path: str, role: Role, model: Model) -> Media:
    """``kind`` is ``image``, ``document`` or ``video``."""
    require(kind, model)
    if role != "user":
        raise ValidationException(
            f"The {kind} block at {path} is in a message of the role {role}. "
            "Move it to the other role and try again."
        )
    source: Block = block["source"]
    if "s3Location" in source:
        raise _from_s3(kind, path, model)
    match kind:
        case "image":
            return Image(block["format"], _bytes_within(source, _MOST_IMAGE_BYTES, path))
        case "document":
            return _read_document(block, path)
        case _:
            return Video(block["format"], source.get("bytes", b""))


def _from_s3(kind: str, path: str, model: Model) -> ValidationException:
    """Claude's own check finds the fault of a message's document first (both recorded)."""
    if kind == "document" and "messages" in model.supports and "toolResult" not in path:
        return ValidationException(
            f"The model returned the following errors: {path}.document.source.type: Field required"
        )
    return ValidationException(_FROM_S3)


def _read_document(block: Block, path: str) -> Document:
    if block.get("citations", {}).get("enabled"):
        raise unsupported_field("document.citations")
    if block.get("context"):
        raise unsupported_field("document.context")
    name: str = block["name"]
    if not _NAME.fullmatch(name):
        raise ValidationException(
            "The document file name contains invalid characters. Only alphanumeric characters, "
            "whitespace characters, hyphens, parentheses, and square brackets are allowed. "
            "Also, the name can't contain more than one consecutive whitespace character."
        )
    source: Block = block["source"]
    if "content" in source:
        raise unsupported_field("document.source.content")
    if "text" in source:
        data = source["text"].encode(errors="replace")
        _check_size(data, _MOST_DOCUMENT_BYTES, path)
        return Document(block.get("format", "txt"), name, data)
    if "format" not in block:
        raise ValidationException(
            f"The format field in the document block at {path} is missing. "
            "Add the format of the document and try again."
        )
    return Document(block["format"], name, _bytes_within(source, _MOST_DOCUMENT_BYTES, path))


def _bytes_within(source: Block, most: int, path: str) -> bytes:
    data: bytes = source.get("bytes", b"")
    _check_size(data, most, path)
    return data


def _check_size(data: bytes, most: int, path: str) -> None:
    if len(data) > most:
        raise ValidationException(
            f"The content block at {path} has {len(data)} bytes, which exceeds the limit of "
            f"{most} bytes. Provide a smaller file and try again."
        )


def check_message(parts: Sequence[Part], path: str) -> None:
    """What holds for the blocks of one message together."""
    documents = sum(isinstance(part, Document) for part in parts)
    if documents and not any(isinstance(part, Text) for part in parts):
        raise ValidationException("A text block must be included when using documents.")
    images = sum(isinstance(part, Image) for part in parts)
    for kind, count, most in (
        ("image", images, _MOST_IMAGES),
        ("document", documents, _MOST_DOCUMENTS),
    ):
        if count > most:
            raise ValidationException(
                f"The message at {path} has {count} {kind} blocks, which exceeds the limit of "
                f"{most}. Remove {kind} blocks and try again."
            )


def read_cache_point(block: Block, model: Model) -> CachePoint:
    """No engine promises to keep anything for an hour."""
    require_cache(model)
    if block.get("ttl", "5m") != "5m":
        raise unsupported_field("cachePoint.ttl")
    return CachePoint()


def read_reasoning(block: Block, role: Role, model: Model) -> Reasoning:
    if role != "assistant":
        raise ValidationException(
            "User messages cannot contain reasoning content. "
            "Please remove the reasoning content and try again."
        )
    if "reasoning" not in model.supports:
        raise unsupported_field("reasoningContent")
    is_signed = "signed_reasoning" in model.supports
    if "redactedContent" in block:
        if not is_signed:
            raise unsupported_field("reasoningContent.redactedContent")
        return Reasoning("", redacted=block["redactedContent"])
    text: Block = block.get("reasoningText", {})
    if "signature" in text and not is_signed:
        raise unsupported_field("reasoningContent.reasoningText.signature")
    return Reasoning(text.get("text", ""), text.get("signature"))
