"""Messages and tools in OpenAI's form, which several families share, to and from neutral types.

Images, audio and other parts that are not text are refused: no engine here sees them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from outcrop.dialects import schema, settings
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Part,
    Started,
    Stop,
    Text,
    TextDelta,
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
    {"type": {"type": "string", "enum": ["text"]}, "text": {"type": "string"}}, "type", "text"
)
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
}


def conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[str | None, tuple[Turn, ...]]:
    """System text and turns; results that follow each other are one turn."""
    system: list[str] = []
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        if message["role"] in ("system", "developer"):
            system.append(_text(message))
        elif message["role"] == "tool":
            _add_result(turns, _result(message, index))
        else:
            turns.append(Turn(message["role"], _parts(message, index)))
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
    return ToolResult(message["tool_call_id"], _text(message))


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _parts(message: Mapping[str, Any], index: int) -> tuple[Part, ...]:
    text = _text(message)
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
    return (Text(text), *uses) if text or not uses else tuple(uses)


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


class Deltas:
    """The ``delta`` objects of one streamed answer; a finish has none."""

    def __init__(self) -> None:
        self._calls = -1

    def feed(self, event: Event) -> dict[str, Any] | None:
        match event:
            case Started():
                return {"role": "assistant", "content": ""}
            case TextDelta(text=text) if text:
                return {"content": text}
            case ToolUseStarted():
                self._calls += 1
                function = {"name": event.name, "arguments": ""}
                return self._call({"id": event.id, "type": "function", "function": function})
            case ToolUseDelta():
                return self._call({"function": {"arguments": event.json}})
            case TextDelta() | Finished():
                return None

    def _call(self, members: dict[str, Any]) -> dict[str, Any]:
        return {"tool_calls": [{"index": self._calls, **members}]}


def stops(wanted: str | Sequence[str]) -> tuple[str, ...]:
    """Stop sequences, where a single one may stand without a list."""
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def usage(answers: Sequence[Completion | Finished]) -> dict[str, int]:
    """The prompt is counted once, the tokens of all answers are added."""
    read = answers[0].input_tokens
    written = sum(answer.output_tokens for answer in answers)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
