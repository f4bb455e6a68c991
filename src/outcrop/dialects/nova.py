"""Amazon Nova on InvokeModel: the body. ``nova_answers`` renders.

Members may be spelt as the guide does or as recorded clients do (``max_new_tokens``, ``top_p``).
Images, documents, videos and cache points are refused until Outcrop has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from outcrop.catalog.model import Model
from outcrop.dialects import nova_answers, settings
from outcrop.dialects.protocol import Rendering
from outcrop.dialects.schema import check, default, limits, malformed, per_model
from outcrop.errors import ValidationException
from outcrop.generation import (
    Completion,
    Generation,
    Part,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

# Every Nova answer since February 2025 tells how much of a prompt cache it used.
COUNTS_CACHE: Final = True
_NOT_SERVED: Final = ("image", "document", "video", "audio", "cachePoint", "reasoningContent")
_TABLE: Final[settings.Table] = {
    "temperature": settings.number("temperature", 0, 1, 0.7),
    "topP": settings.number("top_p", 0, 1, 0.9, settings.off_at_one),
    "topK": settings.integer("top_k", 0, 128, None, settings.off_at_zero),
    "maxTokens": settings.tokens(1),
    "stopSequences": settings.stops(),
}
_ALIASES: Final = {"max_new_tokens": "maxTokens", "top_p": "topP", "top_k": "topK"}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_STRING: Final[dict[str, Any]] = {"type": "string"}
_TOOL_USE: Final = settings.closed(
    {"toolUseId": _STRING, "name": _STRING, "input": _OBJECT}, "toolUseId", "name", "input"
)
_RESULT_PART: Final = settings.closed({"text": _STRING, "json": {}, "image": {}, "document": {}})
_TOOL_RESULT: Final = settings.closed(
    {
        "toolUseId": _STRING,
        "content": {"type": "array", "items": _RESULT_PART},
        "status": {"type": "string", "enum": ["success", "error"]},
    },
    "toolUseId",
    "content",
)
_BLOCK: Final = settings.closed(
    {
        "text": _STRING,
        "toolUse": _TOOL_USE,
        "toolResult": _TOOL_RESULT,
        **{name: {} for name in _NOT_SERVED},
    }
)
_MESSAGE: Final = settings.closed(
    {
        "role": {"type": "string", "enum": ["user", "assistant"]},
        "content": {"type": "array", "minItems": 1, "items": _BLOCK},
    },
    "role",
    "content",
)
_TOOL_SPEC: Final = settings.closed(
    {
        "name": {"type": "string", "pattern": r"^[a-zA-Z0-9_-]{1,64}$"},
        "description": _STRING,
        "inputSchema": settings.closed({"json": _OBJECT}, "json"),
    },
    "name",
    "inputSchema",
)
_TOOL_CONFIG: Final = settings.closed(
    {
        "tools": {
            "type": "array",
            "minItems": 1,
            "items": settings.closed({"toolSpec": _TOOL_SPEC}, "toolSpec"),
        },
        "toolChoice": settings.closed(
            {"auto": _OBJECT, "any": _OBJECT, "tool": settings.closed({"name": _STRING}, "name")}
        ),
    },
    "tools",
)


def parse(body: Any, model: Model) -> Generation:
    check(_schema(model), body)
    config: Mapping[str, Any] = body.get("toolConfig", {})
    tools = tuple(_tool(each["toolSpec"]) for each in config.get("tools", ()))
    system = "\n\n".join(each["text"] for each in body.get("system", ()))
    asked = Generation(
        turns=_turns(body["messages"]),
        max_tokens=default(model, "maxTokens", model.max_output_tokens),
        system=system or None,
        tools=tools,
        tool_choice=_tool_choice(config.get("toolChoice", {}), tools),
    )
    if not tools and any(isinstance(p, ToolUse | ToolResult) for t in asked.turns for p in t.parts):
        raise ValidationException(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    return settings.settled(asked, _TABLE, model, _canonical(body.get("inferenceConfig", {})))


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    return nova_answers.render(answers)


def chunks(rendering: Rendering) -> "nova_answers.NovaEvents":
    return nova_answers.NovaEvents()


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    """Converse callers give ``inferenceConfig.topK`` this way."""
    check(_extension(model), dict(fields))
    return settings.applied(generation, _TABLE, _canonical(fields.get("inferenceConfig", {})))


def _canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """The members under their own names; one given under two names is ambiguous."""
    given: dict[str, Any] = {}
    for name, value in config.items():
        canonical = _ALIASES.get(name, name)
        if canonical in given:
            raise malformed([("#/inferenceConfig", f"extraneous key [{name}] is not permitted")])
        given[canonical] = value
    return given


def _turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        parts = tuple(
            _part(block, f"#/messages/{index}/content/{place}")
            for place, block in enumerate(message["content"])
        )
        if turns and turns[-1].role == message["role"]:
            turns[-1] = Turn(turns[-1].role, turns[-1].parts + parts)
        else:
            turns.append(Turn(message["role"], parts))
    if turns[0].role != "user":
        raise ValidationException(
            "A conversation must start with a user message. Try again with a conversation that "
            "starts with a user message."
        )
    return tuple(turns)


def _part(block: Mapping[str, Any], pointer: str) -> Part:
    _require_one(block, pointer)
    match next(iter(block.items())):
        case "text", text:
            return Text(text)
        case "toolUse", call:
            return ToolUse(call["toolUseId"], call["name"], call["input"])
        case "toolResult", result:
            texts = [
                _result_text(part, f"{pointer}/toolResult/content/{place}")
                for place, part in enumerate(result["content"])
            ]
            is_error = result.get("status") == "error"
            return ToolResult(result["toolUseId"], "\n".join(texts), is_error)
        case kind, _:
            raise _not_served(kind)


def _result_text(part: Mapping[str, Any], pointer: str) -> str:
    _require_one(part, pointer)
    match next(iter(part.items())):
        case "text", text:
            return cast("str", text)
        case "json", value:
            try:
                return msgspec.json.encode(value).decode()
            except RecursionError as error:
                raise malformed([(f"{pointer}/json", "nested too deeply")]) from error
        case kind, _:
            raise _not_served(kind)


def _require_one(union: Mapping[str, Any], pointer: str) -> None:
    if len(union) != 1:
        told = f"expected exactly one content member, found: {len(union)}"
        raise malformed([(pointer, told)])


def _not_served(kind: str) -> ValidationException:
    return ValidationException(
        f"This model doesn't support the {kind} content block that you provided. Update the "
        "content block and try again."
    )


def _tool(spec: Mapping[str, Any]) -> Tool:
    return Tool(spec["name"], spec.get("description", ""), spec["inputSchema"]["json"])


def _tool_choice(choice: Mapping[str, Any], tools: Sequence[Tool]) -> ToolChoice:
    if len(choice) > 1:
        _require_one(choice, "#/toolConfig/toolChoice")
    if "tool" in choice:
        name: str = choice["tool"]["name"]
        if name not in {tool.name for tool in tools}:
            raise malformed([("#/toolConfig/toolChoice/tool/name", f"no tool is named {name!r}")])
        return ToolChoice("tool", name)
    return ToolChoice("any" if "any" in choice else "auto")


@per_model
def _schema(model: Model) -> dict[str, Any]:
    return settings.closed(
        {
            "schemaVersion": _STRING,
            "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
            "system": {"type": "array", "items": settings.closed({"text": _STRING}, "text")},
            "toolConfig": _TOOL_CONFIG,
            **_extension(model)["properties"],
        },
        "messages",
    )


@per_model
def _extension(model: Model) -> dict[str, Any]:
    members = settings.properties(_TABLE, model)
    spelt = {alias: limits(model, alias, **members[name]) for alias, name in _ALIASES.items()}
    return settings.closed({"inferenceConfig": settings.closed({**members, **spelt})})
