"""Messages and tools in OpenAI's form, which several families share, to and from neutral types.

A picture comes as a data URI, to models that take pictures; nothing is fetched from elsewhere.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from outcrop.catalog.model import Model
from outcrop.dialects import schema, settings
from outcrop.dialects.media import IMAGE_FORMATS, find_bytes, require
from outcrop.generation import (
    CitationDelta,
    Completion,
    Event,
    Finished,
    Image,
    Part,
    Reasoning,
    ReasoningDelta,
    Started,
    Stop,
    Text,
    TextDelta,
    TextStarted,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
    Turn,
)

_NAME: Final = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}
_PART: Final = settings.closed(
    {
        "type": {"type": "string", "enum": ["text", "image_url"]},
        "text": {"type": "string"},
        "image_url": settings.closed(
            {"url": {"type": "string"}, "detail": {"type": "string", "enum": ["auto"]}}, "url"
        ),
    },
    "type",
)
_OPEN, _CLOSE = "<reasoning>", "</reasoning>"
_DATA_URI: Final = re.compile(r"data:image/(?P<format>[a-z]+);base64,(?P<data>[A-Za-z0-9+/=]*)")
_CALL: Final = settings.closed(
    {
        "id": {"type": "string", "minLength": 1},
        "type": {"type": "string", "enum": ["function"]},
        "index": {"type": "integer"},
        "function": settings.closed(
            {"name": _NAME, "arguments": {"type": "string"}}, "name", "arguments"
        ),
    },
    "id",
    "function",
)
_TOOL: Final = settings.closed(
    {
        "type": {"type": "string", "enum": ["function"]},
        "function": settings.closed(
            {"name": _NAME, "description": {"type": "string"}, "parameters": {"type": "object"}},
            "name",
        ),
    },
    "type",
    "function",
)
MESSAGES: Final = {
    "type": "array",
    "minItems": 1,
    "items": settings.closed(
        {
            "role": {
                "type": "string",
                "enum": ["system", "developer", "user", "assistant", "tool"],
            },
            "content": {"anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": _PART}]},
            "name": {"type": "string"},
            # Answers carry these two as null, and clients send answers back.
            "refusal": {"type": "null"},
            "tool_calls": {"anyOf": [{"type": "null"}, {"type": "array", "items": _CALL}]},
            "tool_call_id": {"type": "string"},
        },
        "role",
    ),
}
TOOLS: Final = {"type": "array", "items": _TOOL}
TOOL_CHOICE: Final = {
    "anyOf": [
        {"type": "string", "enum": ["auto", "any", "required", "none"]},
        settings.closed(
            {
                "type": {"type": "string", "enum": ["function"]},
                "function": settings.closed({"name": _NAME}, "name"),
            },
            "type",
            "function",
        ),
    ]
}
REASONS: Final[Mapping[Stop, str]] = {
    "end": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_use": "tool_calls",
    "filtered": "content_filter",
}


def conversation(
    messages: Sequence[Mapping[str, Any]], model: Model
) -> tuple[str | None, tuple[Turn, ...]]:
    """System text and turns; results that follow each other are one turn."""
    system: list[str] = []
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        if message["role"] in ("system", "developer"):
            system.append(_text(message, index))
        elif message["role"] == "tool":
            _add_result(turns, _result(message, index))
        else:
            turns.append(Turn(message["role"], _parts(message, index, model)))
    if not turns:
        raise schema.malformed([("#/messages", "expected a message of the role user")])
    return "\n\n".join(system) or None, tuple(turns)


def _add_result(turns: list[Turn], result: ToolResult) -> None:
    if turns and turns[-1].role == "user" and isinstance(turns[-1].parts[-1], ToolResult):
        turns[-1] = Turn("user", (*turns[-1].parts, result))
    else:
        turns.append(Turn("user", (result,)))


def _result(message: Mapping[str, Any], index: int) -> ToolResult:
    if "tool_call_id" not in message:
        raise schema.malformed([(f"#/messages/{index}", "required key [tool_call_id] not found")])
    return ToolResult(message["tool_call_id"], _text(message, index))


def _text(message: Mapping[str, Any], index: int) -> str:
    said = _said(message, index)
    for place, part in enumerate(said):
        if not isinstance(part, Text):
            pointer = f"#/messages/{index}/content/{place}/type"
            raise schema.malformed([(pointer, "image_url is not a valid enum value")])
    return "".join(part.text for part in said if isinstance(part, Text))


def _said(message: Mapping[str, Any], index: int) -> list[Text | Image]:
    content = message.get("content") or ""
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: Sequence[Mapping[str, Any]] = content
    return [_part(part, f"#/messages/{index}/content/{place}") for place, part in enumerate(parts)]


def _part(part: Mapping[str, Any], pointer: str) -> Text | Image:
    kind = part["type"]
    if kind not in part:
        raise schema.malformed([(pointer, f"required key [{kind}] not found")])
    if kind == "text":
        return Text(part["text"])
    return _image(part["image_url"]["url"], f"{pointer}/image_url/url")


def _image(url: str, pointer: str) -> Image:
    found = _DATA_URI.fullmatch(url)
    if found is None:
        raise schema.malformed([(pointer, "expected a data URI of an image in base64")])
    format = "jpeg" if found["format"] == "jpg" else found["format"]
    data = find_bytes(found["data"])
    if format not in IMAGE_FORMATS or not data:
        raise schema.malformed([(pointer, "expected a data URI of an image in base64")])
    return Image(format, data)


def _parts(message: Mapping[str, Any], index: int, model: Model) -> tuple[Part, ...]:
    said: list[Part] = [*_merged(_said(message, index))]
    if any(isinstance(part, Image) for part in said):
        require("image", model)
        if message["role"] != "user":
            raise schema.malformed([(f"#/messages/{index}/content", "images are the user's")])
    calls = message.get("tool_calls") or ()
    if calls and message["role"] == "user":
        raise schema.malformed(
            [(f"#/messages/{index}", "extraneous key [tool_calls] is not permitted")]
        )
    uses = [
        ToolUse(
            call["id"],
            call["function"]["name"],
            _arguments(
                call["function"]["arguments"],
                f"#/messages/{index}/tool_calls/{each}/function/arguments",
            ),
        )
        for each, call in enumerate(calls)
    ]
    return (*said, *uses) if said or uses else (Text(""),)


def _merged(said: Sequence[Text | Image]) -> list[Text | Image]:
    """Texts in a row are one text, as this form has always joined them; none is empty."""
    merged: list[Text | Image] = []
    for part in said:
        if isinstance(part, Text) and not part.text:
            continue
        if merged and isinstance(part, Text) and isinstance(last := merged[-1], Text):
            merged[-1] = Text(last.text + part.text)
        else:
            merged.append(part)
    return merged


def _arguments(text: str, pointer: str) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise schema.malformed([(pointer, "expected a JSON object")]) from error
    if not isinstance(arguments, dict):
        found = schema.type_name(arguments)
        raise schema.malformed([(pointer, f"expected type: JSONObject, found: {found}")])
    return cast("dict[str, Any]", arguments)


def tools(wanted: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    return tuple(
        Tool(
            each["function"]["name"],
            each["function"].get("description", ""),
            each["function"].get("parameters", {"type": "object", "properties": {}}),
        )
        for each in wanted
    )


def tool_choice(body: Mapping[str, Any]) -> ToolChoice:
    """What the body's ``tool_choice`` asks for; a call can only be asked for where tools are."""
    wanted = body.get("tool_choice", "auto")
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    if isinstance(wanted, str):
        mode = "any" if wanted == "required" else wanted
        if mode == "any" and not names:
            raise schema.malformed([("#", "required key [tools] not found")])
        return ToolChoice(cast("Any", mode))
    name = wanted["function"]["name"]
    if name not in names:
        raise schema.malformed(
            [("#/tool_choice/function/name", f"{name} is not a valid enum value")]
        )
    return ToolChoice("tool", name)


def render_calls(answer: Completion) -> list[dict[str, Any]]:
    return [
        {
            "id": use.id,
            "type": "function",
            "function": {"name": use.name, "arguments": msgspec.json.encode(use.input).decode()},
        }
        for use in answer.tool_uses
    ]


def content(answer: Completion, model: Model) -> str:
    """The text, behind the thoughts of a model that reasons: InvokeModel tells them between tags,
    as clients of gpt-oss report."""
    if "reasoning" not in model.supports:
        return answer.text
    told: list[str] = []
    is_thinking = False
    for part in answer.parts:
        if isinstance(part, Text | Reasoning) and part.text:
            told += [_tag(is_thinking, isinstance(part, Reasoning)), part.text]
            is_thinking = isinstance(part, Reasoning)
    # A thought that the token limit cut is not closed; a call behind a thought closes it.
    return "".join(told) + (_CLOSE if is_thinking and answer.tool_uses else "")


def _tag(was_thinking: bool, is_thinking: bool) -> str:
    if was_thinking == is_thinking:
        return ""
    return _OPEN if is_thinking else _CLOSE


class Deltas:
    """The ``delta`` objects of one streamed answer; a finish has none."""

    def __init__(self, model: Model) -> None:
        self._calls = -1
        self._shows_thoughts = "reasoning" in model.supports
        self._is_thinking = False

    def feed(self, event: Event) -> dict[str, Any] | None:
        match event:
            case Started():
                return {"role": "assistant", "content": ""}
            case ReasoningDelta(text=text) if text and self._shows_thoughts:
                return {"content": self._turn(True) + text}
            case TextDelta(text=text) if text:
                return {"content": self._turn(False) + text}
            case ToolUseStarted():
                self._calls += 1
                function = {"name": event.name, "arguments": ""}
                end = self._turn(False)
                return {
                    **({"content": end} if end else {}),
                    **self._call({"id": event.id, "type": "function", "function": function}),
                }
            case ToolUseDelta():
                return self._call({"function": {"arguments": event.json}})
            case TextDelta() | ReasoningDelta() | TextStarted() | CitationDelta() | Finished():
                return None

    def _turn(self, is_thinking: bool) -> str:
        tag = _tag(self._is_thinking, is_thinking)
        self._is_thinking = is_thinking
        return tag

    def _call(self, members: dict[str, Any]) -> dict[str, Any]:
        return {"tool_calls": [{"index": self._calls, **members}]}


def stops(wanted: str | Sequence[str]) -> tuple[str, ...]:
    """Stop sequences, where a single one may stand without a list."""
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def usage(answers: Sequence[Completion | Finished]) -> dict[str, int]:
    """The prompt is counted once, the tokens of all answers are added."""
    first = answers[0]
    read = first.input_tokens + first.cache_read_tokens + first.cache_write_tokens
    written = sum(answer.output_tokens for answer in answers)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
