"""Cohere's form of tools: parameters typed by Python's type names, calls without identifiers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from outcrop.dialects import schema, settings
from outcrop.generation import Tool, ToolUse

_NAME: Final = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}
CALL: Final = settings.closed({"name": _NAME, "parameters": {"type": "object"}}, "name")
TOOLS: Final = {
    "type": "array",
    "items": settings.closed(
        {
            "name": _NAME,
            "description": {"type": "string"},
            "parameter_definitions": {"type": "object"},
        },
        "name",
    ),
}
RESULTS: Final = {
    "type": "array",
    "items": settings.closed(
        {"call": CALL, "outputs": {"type": "array", "items": {"type": "object"}}},
        "call",
        "outputs",
    ),
}
_PARAMETER: Final = settings.closed(
    {
        "description": {"type": "string"},
        "type": {"type": "string"},
        "required": {"type": "boolean"},
    },
    "type",
)
_TYPES: Final[Mapping[str, str]] = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "list": "array",
    "array": "array",
    "dict": "object",
    "object": "object",
}
_LIST_OF: Final = re.compile(r"list\[(.+)\]")
_DICT_OF: Final = re.compile(r"dict\[.*\]")
_DEEPEST: Final = 8


def tools(wanted: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    return tuple(
        Tool(each["name"], each.get("description", ""), _arguments(each, f"#/tools/{index}"))
        for index, each in enumerate(wanted)
    )


def _arguments(tool: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, definition in tool.get("parameter_definitions", {}).items():
        schema.check(_PARAMETER, definition)
        at = f"{pointer}/parameter_definitions/{name}/type"
        properties[name] = _parameter(definition, at)
        if definition.get("required", False):
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _parameter(definition: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    typed = _typed(definition["type"], pointer)
    described = definition.get("description")
    return {**typed, "description": described} if described else typed


def _typed(name: str, pointer: str, depth: int = 0) -> dict[str, Any]:
    plain = name.strip().lower()
    if plain in _TYPES:
        return {"type": _TYPES[plain]}
    if _DICT_OF.fullmatch(plain):
        return {"type": "object"}
    inner = _LIST_OF.fullmatch(plain)
    if inner is None or depth == _DEEPEST:
        raise schema.malformed([(pointer, f"{name[:100]} is not a valid enum value")])
    return {"type": "array", "items": _typed(inner[1], pointer, depth + 1)}


def use(call: Mapping[str, Any], mark: str) -> ToolUse:
    """A call of the body; ``mark`` tells it apart, since Cohere's calls bear no identifier."""
    return ToolUse(f"call_{mark}", call["name"], call.get("parameters", {}))


def render_call(made: ToolUse) -> dict[str, Any]:
    return {"name": made.name, "parameters": dict(made.input)}


def as_json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError as error:
        raise schema.malformed([("#", "the body is nested too deeply")]) from error
