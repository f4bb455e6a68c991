"""Amazon Nova on InvokeModel: the body. ``nova_answers`` renders.

Members may be spelt as the guide does or as recorded clients do (``max_new_tokens``, ``top_p``).
``nova_blocks`` reads the content blocks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from outcrop.catalog.model import Model
from outcrop.dialects import nova_answers, nova_blocks, settings
from outcrop.dialects.media import check_cache_points, require_cache
from outcrop.dialects.protocol import Rendering
from outcrop.dialects.schema import check, default, limits, malformed, per_model
from outcrop.errors import ValidationException
from outcrop.generation import (
    CachePoint,
    Completion,
    Generation,
    ReasoningRequest,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

# Every Nova answer since February 2025 tells how much of a prompt cache it used.
COUNTS_CACHE: Final = True
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
_MESSAGE: Final = settings.closed(
    {
        "role": {"type": "string", "enum": ["user", "assistant"]},
        "content": {"type": "array", "minItems": 1, "items": nova_blocks.BLOCK},
    },
    "role",
    "content",
)
_SYSTEM: Final = settings.closed({"text": _STRING, "cachePoint": nova_blocks.CACHE_POINT})
_REASONING: Final = settings.closed(
    {
        "type": {"type": "string", "enum": ["enabled", "disabled"]},
        "maxReasoningEffort": {"type": "string", "enum": settings.EFFORTS},
    },
    "type",
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
    blocks: Sequence[Mapping[str, Any]] = body.get("system", ())
    system = "\n\n".join(each["text"] for each in blocks if "text" in each)
    is_cached = any("cachePoint" in each for each in blocks)
    if is_cached:
        require_cache(model)
    asked = Generation(
        turns=_turns(body["messages"], model),
        max_tokens=default(model, "maxTokens", model.max_output_tokens),
        system=system or None,
        tools=tools,
        tool_choice=_tool_choice(config.get("toolChoice", {}), tools),
        cached=frozenset({"system"} if is_cached else ()),
    )
    parts = [part for turn in asked.turns for part in turn.parts]
    check_cache_points(sum(isinstance(part, CachePoint) for part in parts) + is_cached)
    if not tools and any(isinstance(part, ToolUse | ToolResult) for part in parts):
        raise ValidationException(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    given = _canonical(body.get("inferenceConfig", {}))
    return _with_reasoning(settings.settled(asked, _TABLE, model, given), body)


def _with_reasoning(generation: Generation, body: Mapping[str, Any]) -> Generation:
    """``reasoningConfig`` stands in the body, or in its inferenceConfig, as the guide has both."""
    config = body.get("reasoningConfig") or body.get("inferenceConfig", {}).get("reasoningConfig")
    if not config or config["type"] == "disabled":
        return generation
    asked = ReasoningRequest(effort=config.get("maxReasoningEffort"))
    return replace(generation, reasoning=asked)


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    return nova_answers.render(answers)


def chunks(rendering: Rendering) -> "nova_answers.NovaEvents":
    return nova_answers.NovaEvents()


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    """Converse callers give ``inferenceConfig.topK`` and ``reasoningConfig`` this way."""
    check(_extension(model), dict(fields))
    given = _canonical(fields.get("inferenceConfig", {}))
    return _with_reasoning(settings.applied(generation, _TABLE, given), fields)


def _canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """The members under their own names; one given under two names is ambiguous."""
    given: dict[str, Any] = {}
    for name, value in config.items():
        if name == "reasoningConfig":
            continue
        canonical = _ALIASES.get(name, name)
        if canonical in given:
            raise malformed([("#/inferenceConfig", f"extraneous key [{name}] is not permitted")])
        given[canonical] = value
    return given


def _turns(messages: Sequence[Mapping[str, Any]], model: Model) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        parts = tuple(
            nova_blocks.parse_part(
                block, message["role"], f"#/messages/{index}/content/{place}", model
            )
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


def _tool(spec: Mapping[str, Any]) -> Tool:
    return Tool(spec["name"], spec.get("description", ""), spec["inputSchema"]["json"])


def _tool_choice(choice: Mapping[str, Any], tools: Sequence[Tool]) -> ToolChoice:
    if len(choice) > 1:
        nova_blocks.require_one(choice, "#/toolConfig/toolChoice")
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
            "system": {"type": "array", "items": _SYSTEM},
            "toolConfig": _TOOL_CONFIG,
            **_extension(model)["properties"],
        },
        "messages",
    )


@per_model
def _extension(model: Model) -> dict[str, Any]:
    members = settings.properties(_TABLE, model)
    spelt = {alias: limits(model, alias, **members[name]) for alias, name in _ALIASES.items()}
    reasoning = {"reasoningConfig": _REASONING} if "reasoning" in model.supports else {}
    config = settings.closed({**members, **spelt, **reasoning})
    return settings.closed({"inferenceConfig": config, **reasoning})
