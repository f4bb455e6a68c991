"""The ``tools`` and ``tool_choice`` of a Claude messages body: functions the caller defines.

Tools that the provider defines (bash, computer, web search, …) are refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

from outcrop.catalog.model import Model
from outcrop.dialects.anthropic_blocks import is_cached
from outcrop.dialects.anthropic_fields import close, field, refuse
from outcrop.errors import ValidationException
from outcrop.generation import Tool, ToolChoice

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_TOOL: Final = frozenset({"type", "name", "description", "input_schema", "cache_control"})
_CHOICE: Final = frozenset({"type", "name", "disable_parallel_tool_use"})


def parse_tools(tools: Any, model: Model) -> tuple[tuple[Tool, ...], int]:
    """The tools, and how many of them are marked to be cached."""
    if tools is None:
        return (), 0
    if not isinstance(tools, list):
        refuse("tools", "Input should be a valid list")
    elements = cast("list[Any]", tools)
    parsed = tuple(_parse_tool(tool, f"tools.{index}") for index, tool in enumerate(elements))
    if len({tool.name for tool in parsed}) < len(parsed):
        refuse("tools", "Tool names must be unique.")
    marks = sum(
        is_cached(tool, f"tools.{index}.custom", model) for index, tool in enumerate(elements)
    )
    return parsed, marks


def parse_tool_choice(choice: Any, tools: Sequence[Tool]) -> ToolChoice:
    if choice is None:
        return ToolChoice()
    if not isinstance(choice, dict):
        refuse("tool_choice", "Input should be an object")
    members = cast("dict[str, Any]", choice)
    mode = _mode(field(members, "type", str, "tool_choice"))
    close(members, _CHOICE, f"tool_choice.{mode}")
    if members.get("disable_parallel_tool_use"):
        # No engine can be told to stop after one call.
        refuse(f"tool_choice.{mode}.disable_parallel_tool_use", "Extra inputs are not permitted")
    if not tools:
        refuse("tool_choice", "may only be specified while providing tools.")
    if mode != "tool":
        return ToolChoice(mode)
    name: str = field(members, "name", str, "tool_choice.tool")
    if name not in {tool.name for tool in tools}:
        raise ValidationException(f"Tool '{name[:200]}' not found in provided tools")
    return ToolChoice(mode, name)


def _mode(kind: str) -> Literal["auto", "any", "tool", "none"]:
    if kind not in ("auto", "any", "tool", "none"):
        refuse(
            "tool_choice",
            f"Input tag '{kind[:200]}' found using 'type' does not match any of the expected "
            "tags: 'auto', 'any', 'tool', 'none'",
        )
    return kind


def _parse_tool(tool: Any, path: str) -> Tool:
    if not isinstance(tool, dict):
        refuse(path, "Input should be an object")
    members = cast("dict[str, Any]", tool)
    kind: Any = members.get("type") or "custom"
    if kind != "custom":
        refuse(
            path,
            f"Input tag '{str(kind)[:200]}' found using 'type' does not match any of the expected "
            "tags: 'custom'",
        )
    path = f"{path}.custom"
    close(members, _TOOL, path)
    name: str = field(members, "name", str, path)
    if not _NAME.fullmatch(name):
        refuse(f"{path}.name", f"String should match pattern '^{_NAME.pattern}$'")
    description = field(members, "description", str, path) if members.get("description") else ""
    return Tool(name, description, _schema(field(members, "input_schema", dict, path), path))


def _schema(schema: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    if "type" not in schema:
        refuse(f"{path}.input_schema.type", "Field required")
    if schema["type"] != "object":
        refuse(f"{path}.input_schema.type", "Input should be 'object'")
    return schema
