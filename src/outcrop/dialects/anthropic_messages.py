"""Anthropic Claude's messages format on InvokeModel: the request. ``anthropic_answers`` renders.

Generations differ in how they refuse: before Claude 4 AWS checks the outer members by JSON Schema,
since then the provider's own texts pass through. A member that would change the answer and that
Outcrop does not have (thinking, cache_control, …) is refused as on a model without that feature.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

from outcrop.catalog.model import Model
from outcrop.dialects import settings
from outcrop.dialects.anthropic_content import (
    parse_messages,
    parse_system,
    refuse,
)
from outcrop.dialects.anthropic_tools import parse_tool_choice, parse_tools
from outcrop.dialects.schema import Violation, limits, malformed, per_model, type_name
from outcrop.errors import ValidationException
from outcrop.generation import Generation, ToolResult, ToolUse

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
_MEMBERS: Final = _INERT | _TOOLS | _TABLE.keys() | {"max_tokens", "messages", "system", "thinking"}
_MOST_STOP_SEQUENCES: Final = 8_191
_VERSION: Final = re.compile(r"claude-(?:instant-|[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")


@per_model
def version(model: Model) -> tuple[int, int]:
    """The generation in the provider's name of the model, as (3, 7); (0, 0) when it has none."""
    found = _VERSION.search(model.provider_model or model.id)
    return (0, 0) if found is None else (int(found[1]), int(found[2] or 0))


def parse(body: Any, model: Model) -> Generation:
    members = _members(body, model)
    turns = parse_messages(members["messages"], must_alternate=version(model) < (3, 0))
    tools = parse_tools(members.get("tools"))
    if not tools and any(isinstance(part, ToolUse | ToolResult) for t in turns for part in t.parts):
        raise ValidationException(
            "Requests which include `tool_use` or `tool_result` blocks must define tools"
        )
    asked = Generation(
        turns=turns,
        max_tokens=_max_tokens(members["max_tokens"], model),
        system=parse_system(members.get("system")),
        tools=tools,
        tool_choice=parse_tool_choice(members.get("tool_choice"), tools),
    )
    return settings.settled(asked, _TABLE, model, _settings(members, model))


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    """Converse's additional fields: what the messages body has and Converse has not."""
    close_root(fields, _INERT | _TABLE.keys() | {"thinking"}, model)
    _check_inert(fields)
    return settings.applied(generation, _TABLE, _settings(fields, model))


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
    thinking: Any = members.get("thinking")
    if thinking is not None and thinking != {"type": "disabled"}:
        refuse("thinking", "Extra inputs are not permitted")


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
