"""The content blocks of a Nova body: their schema, and the parts they are."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outcrop.catalog.model import Model
from outcrop.dialects import settings
from outcrop.dialects.media import (
    IMAGE_FORMATS,
    WORDS,
    find_bytes,
    require,
    require_cache,
    unsupported_block,
)
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
    ToolResult,
    ToolUse,
    Video,
)

Block = Mapping[str, Any]

_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_STRING: Final[dict[str, Any]] = {"type": "string"}
_DOCUMENT_FORMATS: Final = ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
_VIDEO_FORMATS: Final = ("mkv", "mov", "mp4", "webm", "three_gp", "flv", "mpeg", "mpg", "wmv")
_PLACE: Final = settings.closed({"uri": _STRING, "bucketOwner": _STRING}, "uri")
_SOURCE: Final = settings.closed({"bytes": _STRING, "s3Location": _PLACE})


def _media(formats: tuple[str, ...], **others: Any) -> dict[str, Any]:
    rule = {"type": "string", "enum": formats}
    members = {"format": rule, "source": _SOURCE, **others}
    return settings.closed(members, *members)


_IMAGE: Final = _media(IMAGE_FORMATS)
_DOCUMENT: Final = _media(_DOCUMENT_FORMATS, name={"type": "string", "minLength": 1})
CACHE_POINT: Final = settings.closed({"type": {"type": "string", "enum": ["default"]}}, "type")
_TOOL_USE: Final = settings.closed(
    {"toolUseId": _STRING, "name": _STRING, "input": _OBJECT}, "toolUseId", "name", "input"
)
_RESULT_PART: Final = settings.closed(
    {"text": _STRING, "json": {}, "image": _IMAGE, "document": _DOCUMENT}
)
_TOOL_RESULT: Final = settings.closed(
    {
        "toolUseId": _STRING,
        "content": {"type": "array", "items": _RESULT_PART},
        "status": {"type": "string", "enum": ["success", "error"]},
    },
    "toolUseId",
    "content",
)
BLOCK: Final = settings.closed(
    {
        "text": _STRING,
        "toolUse": _TOOL_USE,
        "toolResult": _TOOL_RESULT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "video": _media(_VIDEO_FORMATS),
        "audio": {},
        "cachePoint": CACHE_POINT,
        "reasoningContent": settings.closed(
            {"reasoningText": settings.closed({"text": _STRING}, "text")}, "reasoningText"
        ),
    }
)


def parse_part(block: Block, role: Role, pointer: str, model: Model) -> Part:
    require_one(block, pointer)
    match next(iter(block.items())):
        case "text", text:
            return Text(text)
        case "toolUse", call:
            return ToolUse(call["toolUseId"], call["name"], call["input"])
        case "toolResult", result:
            return _tool_result(result, pointer, model)
        case "cachePoint", _:
            require_cache(model)
            return CachePoint()
        case "reasoningContent", thought:
            return _reasoning(thought, role, pointer, model)
        case kind, media:
            return _parse_media(kind, media, role, pointer, model)


def _tool_result(result: Block, pointer: str, model: Model) -> ToolResult:
    told = [
        _result_part(part, f"{pointer}/toolResult/content/{place}", model)
        for place, part in enumerate(result["content"])
    ]
    texts = [each for each in told if isinstance(each, str)]
    media = tuple(each for each in told if not isinstance(each, str))
    is_error = result.get("status") == "error"
    return ToolResult(result["toolUseId"], "\n".join(texts), is_error, media)


def _result_part(part: Block, pointer: str, model: Model) -> str | Media:
    require_one(part, pointer)
    match next(iter(part.items())):
        case "text", str(text):
            return text
        case "json", value:
            try:
                return msgspec.json.encode(value).decode()
            except RecursionError as error:
                raise malformed([(f"{pointer}/json", "nested too deeply")]) from error
        case kind, media:
            return _parse_media(kind, media, "user", pointer, model)


def _reasoning(thought: Block, role: Role, pointer: str, model: Model) -> Reasoning:
    if "reasoning" not in model.supports:
        raise malformed([(pointer, "extraneous key [reasoningContent] is not permitted")])
    if role != "assistant":
        raise ValidationException(
            "User messages cannot contain reasoning content. "
            "Please remove the reasoning content and try again."
        )
    return Reasoning(thought["reasoningText"]["text"])


def _parse_media(kind: str, media: Block, role: Role, pointer: str, model: Model) -> Media:
    if kind not in WORDS:
        raise unsupported_block(kind)
    require(kind, model)
    if role != "user":
        raise malformed([(pointer, f"extraneous key [{kind}] is not permitted")])
    data = _data(media["source"], f"{pointer}/{kind}/source")
    match kind:
        case "image":
            return Image(media["format"], data)
        case "document":
            return Document(media["format"], media["name"], data)
        case _:
            return Video(media["format"], data)


def _data(source: Block, pointer: str) -> bytes | S3Location:
    if "s3Location" in source:
        place = source["s3Location"]
        return S3Location(place["uri"], place.get("bucketOwner"))
    if "bytes" not in source:
        raise malformed([(pointer, "required key [bytes] not found")])
    data = find_bytes(source["bytes"])
    if not data:
        raise malformed([(f"{pointer}/bytes", "expected base64")])
    return data


def require_one(union: Block, pointer: str) -> None:
    if len(union) != 1:
        told = f"expected exactly one content member, found: {len(union)}"
        raise malformed([(pointer, told)])
