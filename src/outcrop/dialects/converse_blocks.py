"""Converse's content blocks of media, cached prompts and reasoning, as parts of a turn.

Limits are those of botocore's documentation of Message. What lies in S3 is left there: only the
models that AWS lets read it take its place.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects.media import require, require_cache
from outcrop.dialects.schema import malformed
from outcrop.errors import ValidationException
from outcrop.generation import (
    CachePoint,
    Document,
    Image,
    Media,
    Part,
    Reasoning,
    Role,
    S3Location,
    Text,
    Video,
)

Block = Mapping[str, Any]

_MOST_IMAGES: Final = 20
_MOST_DOCUMENTS: Final = 5
_IMAGE_BYTES: Final = 3_932_160
_DOCUMENT_BYTES: Final = 4_718_592
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
        _require_s3(kind, path, model)
    match kind:
        case "image":
            return Image(block["format"], _find_place(source) or _bytes(source, path, _IMAGE_BYTES))
        case "document":
            return _read_document(block, path, model)
        case _:
            return Video(block["format"], _find_place(source) or source.get("bytes", b""))


def _require_s3(kind: str, path: str, model: Model) -> None:
    """Claude's own check finds the fault of a message's document first, and Nova's finds a tool's
    document (all recorded)."""
    if "s3" in model.supports:
        if kind == "document" and "toolResult" in path:
            pointer = "/".join(["#", *path.split(".")[:4]])
            told = malformed([(pointer, "extraneous key [toolResult] is not permitted")])
            raise _by_the_model(told.message)
        return
    if kind == "document" and "messages" in model.supports and "toolResult" not in path:
        raise _by_the_model(f"{path}.document.source.type: Field required")
    raise unsupported_field("s3Uri")


def _by_the_model(reason: str) -> ValidationException:
    return ValidationException(f"The model returned the following errors: {reason}")


def _find_place(source: Block) -> S3Location | None:
    place: Block | None = source.get("s3Location")
    return None if place is None else S3Location(place["uri"], place.get("bucketOwner"))


def _read_document(block: Block, path: str, model: Model) -> Document:
    cites = bool(block.get("citations", {}).get("enabled"))
    _check_cited(block, cites, path, model)
    name: str = block["name"]
    if not _NAME.fullmatch(name):
        raise ValidationException(
            "The document file name contains invalid characters. Only alphanumeric characters, "
            "whitespace characters, hyphens, parentheses, and square brackets are allowed. "
            "Also, the name can't contain more than one consecutive whitespace character."
        )
    return Document(
        _document_format(block, path),
        name,
        _document_data(block["source"], path),
        cites,
        block.get("context") or None,
    )


def _check_cited(block: Block, cites: bool, path: str, model: Model) -> None:
    """The members that came with citations are refused by the models that came before."""
    if cites and "toolResult" in path:
        # Public issue boto/boto3#4648.
        raise ValidationException("Citations are not supported in tool result documents.")
    if "citations" in model.supports:
        return
    if cites:
        raise unsupported_field("document.citations")
    if block.get("context"):
        raise unsupported_field("document.context")
    if "content" in block["source"]:
        raise unsupported_field("document.source.content")


def _document_format(block: Block, path: str) -> str:
    if "format" in block:
        return block["format"]
    if block["source"].keys() & {"text", "content"}:
        return "txt"
    raise ValidationException(
        f"The format field in the document block at {path} is missing. "
        "Add the format of the document and try again."
    )


def _document_data(source: Block, path: str) -> bytes | S3Location | tuple[str, ...]:
    if "content" in source:
        pieces = [piece.get("text", "").encode(errors="replace") for piece in source["content"]]
        _check_size(sum(map(len, pieces)), _DOCUMENT_BYTES, path)
        return tuple(piece.decode() for piece in pieces)
    if "text" in source:
        source = {"bytes": source["text"].encode(errors="replace")}
    return _find_place(source) or _bytes(source, path, _DOCUMENT_BYTES)


def _bytes(source: Block, path: str, most: int) -> bytes:
    data: bytes = source.get("bytes", b"")
    _check_size(len(data), most, path)
    return data


def _check_size(size_bytes: int, most: int, path: str) -> None:
    if size_bytes > most:
        raise ValidationException(
            f"The content block at {path} has {size_bytes} bytes, which exceeds the limit of "
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
