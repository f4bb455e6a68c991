"""Anthropic Claude's messages format on InvokeModel: the request. ``anthropic_answers`` renders.

Generations differ in how they refuse: before Claude 4 AWS checks the outer members by JSON Schema,
since then the provider's own texts pass through. A member that would change the answer and that
Outcrop does not have is refused as on a model without that feature.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NoReturn, cast

from outcrop.catalog.model import Model
from outcrop.dialects import anthropic_thinking, settings
from outcrop.dialects.anthropic_content import parse_messages, parse_system
from outcrop.dialects.anthropic_fields import refuse
from outcrop.dialects.anthropic_tools import parse_tool_choice, parse_tools
from outcrop.dialects.media import check_cache_points
from outcrop.dialects.schema import Violation, limits, malformed, per_model, type_name
from outcrop.errors import ValidationException
from outcrop.generation import CachePoint, Generation, ToolResult, ToolUse, Turn

_TABLE: Final[settings.Table] = {
    "temperature": settings.number("temperature", 0, 1, 1.0),
    "top_p": settings.number("top_p", 0, 1, None, settings.off_at_one),
    "top_k": settings.integer("top_k", 0, 500, None, settings.off_at_zero),
    "stop_sequences": settings.Setting("stop_sequences", {"type": "array"}, (), tuple),
}
_REQUIRED: Final = ("anthropic_version", "max_tokens", "messages")
# Accepted because they only permit or label: a beta unlocks members that are checked by
# themselves, and metadata names the end user.
_INERT: Final = frozenset({"anthropic_version", "anthropic_beta", "metadata"})
_TOOLS: Final = frozenset({"tools", "tool_choice"})
_MEMBERS: Final = (
    _INERT
    | _TOOLS
    | _TABLE.keys()
    | anthropic_thinking.MEMBERS
    | {"max_tokens", "messages", "system"}
)
_MOST_STOP_SEQUENCES: Final = 8_191
_VERSION: Final = re.compile(r"claude-(?:instant-|[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")


@per_model
def version(model: Model) -> tuple[int, int]:
    """The generation in the provider's name of the model, as (3, 7); (0, 0) when it has none."""
    found = _VERSION.search(model.provider_model or model.id)
    return (0, 0) if found is None else (int(found[1]), int(found[2] or 0))


def parse(body: Any, model: Model) -> Generation:
    members = _members(body, model)
    turns = parse_messages(members["messages"], model, must_alternate=version(model) < (3, 0))
    tools, tool_marks = parse_tools(members.get("tools"), model)
    if not tools and any(isinstance(part, ToolUse | ToolResult) for t in turns for part in t.parts):
        raise ValidationException(
            "Requests which include `tool_use` or `tool_result` blocks must define tools"
        )
    system, system_marks = parse_system(members.get("system"), model)
    check_cache_points(_count_points(turns) + tool_marks + system_marks)
    asked = Generation(
        turns=turns,
        max_tokens=_max_tokens(members["max_tokens"], model),
        system=system,
        tools=tools,
        tool_choice=parse_tool_choice(members.get("tool_choice"), tools),
        cached=_cached(system_marks, tool_marks),
    )
    generation = settings.settled(asked, _TABLE, model, _settings(members, model))
    return anthropic_thinking.with_thinking(generation, members, model, version(model))


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    """Converse's additional fields: what the messages body has and Converse has not. There
    ``thinking`` may be spelt ``reasoning_config`` (recorded)."""
    if "reasoning_config" in fields and "thinking" not in fields:
        fields = {
            "thinking" if name == "reasoning_config" else name: value
            for name, value in fields.items()
        }
    close_root(fields, _INERT | _TABLE.keys() | anthropic_thinking.MEMBERS, model)
    _check_inert(fields)
    changed = settings.applied(generation, _TABLE, _settings(fields, model))
    return anthropic_thinking.with_thinking(changed, fields, model, version(model))


def _count_points(turns: Sequence[Turn]) -> int:
    return sum(isinstance(part, CachePoint) for turn in turns for part in turn.parts)


def _cached(system_marks: int, tool_marks: int) -> frozenset[Literal["system", "tools"]]:
    """A mark in the middle of the system text or the tools counts as one at their end."""
    cached: set[Literal["system", "tools"]] = set()
    if system_marks:
        cached.add("system")
    if tool_marks:
        cached.add("tools")
    return frozenset(cached)


def close_root(members: Mapping[str, Any], allowed: frozenset[str], model: Model) -> None:
    """Refuses members outside ``allowed`` as this generation of Claude does."""
    extraneous = [name for name in members if name not in allowed]
    if extraneous and version(model) >= (4, 0):
        refuse(extraneous[0][:200], "Extra inputs are not permitted")
    if extraneous:
        _malformed([f"extraneous key [{name[:200]}] is not permitted" for name in extraneous[:64]])


def _members(body: Any, model: Model) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        found = type_name(body)
        raise malformed([("#", f"expected type: JSONObject, found: {found}")])
    members = cast("dict[str, Any]", body)
    missing = [name for name in _REQUIRED if name not in members]
    if missing and version(model) >= (4, 0):
        refuse(missing[0], "Field required")
    if missing:
        _malformed([f"required key [{name}] not found" for name in missing])
    close_root(members, _MEMBERS if "tools" in model.supports else _MEMBERS - _TOOLS, model)
    _check_inert(members)
    return members


def _malformed(texts: list[str]) -> NoReturn:
    # The schema of these generations tries text completions first, which a body with messages
    # is not, and tells that as well.
    first: list[Violation] = [
        ("#", 'subject must not be valid against schema {"required":["messages"]}')
    ]
    is_missing_messages = "required key [messages] not found" in texts
    raise malformed(([] if is_missing_messages else first) + [("#", text) for text in texts])


def _check_inert(members: Mapping[str, Any]) -> None:
    if not isinstance(members.get("anthropic_version", ""), str):
        refuse("anthropic_version", "Input should be a valid string")
    betas: Any = members.get("anthropic_beta")
    if betas is not None and not (
        isinstance(betas, list) and all(isinstance(each, str) for each in cast("list[Any]", betas))
    ):
        refuse("anthropic_beta", "Input should be a valid list")
    if not isinstance(members.get("metadata"), dict | None):
        refuse("metadata", "Input should be an object")


def _settings(members: Mapping[str, Any], model: Model) -> dict[str, Any]:
    given = {name: members[name] for name in _TABLE if members.get(name) is not None}
    for name in ("temperature", "top_p", "top_k"):
        if name in given:
            _check_number(name, given[name], model)
    if "stop_sequences" in given:
        _check_stops(given["stop_sequences"])
    return given


def _check_number(name: str, value: Any, model: Model) -> None:
    rule = limits(model, name, **_TABLE[name].schema)
    kinds = (int,) if rule["type"] == "integer" else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        refuse(name, f"Input should be a valid {rule['type']}")
    for key, is_broken, told in (
        ("minimum", value < rule["minimum"], "greater than or equal to"),
        ("maximum", value > rule["maximum"], "less than or equal to"),
    ):
        if is_broken:
            refuse(name, f"Input should be {told} {rule[key]:g}")


def _check_stops(value: Any) -> None:
    if not isinstance(value, list):
        refuse("stop_sequences", "Input should be a valid list")
    stops = cast("list[Any]", value)
    if len(stops) > _MOST_STOP_SEQUENCES:
        refuse(
            "stop_sequences",
            f"List should have at most {_MOST_STOP_SEQUENCES} items after validation, "
            f"not {len(stops)}",
        )
    for index, stop in enumerate(stops):
        if not isinstance(stop, str):
            refuse(f"stop_sequences.{index}", "Input should be a valid string")
        if not stop.strip():
            refuse("stop_sequences", "each stop sequence must contain non-whitespace")


def _max_tokens(value: Any, model: Model) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        refuse("max_tokens", "Input should be a valid integer")
    if value < 1:
        refuse("max_tokens", "Input should be greater than or equal to 1")
    most = int(limits(model, "max_tokens", maximum=model.max_output_tokens)["maximum"])
    if value > most:
        raise ValidationException(
            f"The maximum tokens you requested exceeds the model limit of {most}. "
            f"Try again with a maximum tokens value that is lower than {most}."
        )
    return value
