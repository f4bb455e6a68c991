"""The messages of Converse: content blocks as parts of turns, tool results matched to their calls.

Turns of one role may follow each other and the assistant may speak first: the real service took
both in 2025 (recorded), after having refused them in 2024.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec

from outcrop.catalog.model import Model
from outcrop.dialects.anthropic_messages import version
from outcrop.dialects.converse_blocks import (
    check_message,
    read_cache_point,
    read_media,
    read_reasoning,
    unsupported_field,
)
from outcrop.dialects.converse_citations import read_cited_text
from outcrop.dialects.media import WORDS, unsupported_block
from outcrop.errors import ValidationException
from outcrop.generation import Media, Part, Role, Text, ToolResult, ToolUse, Turn

Message = Mapping[str, Any]

# A block of these kinds is named in AWS's text as a content block; others as a field.
_MEDIA: Final = {*WORDS, "audio"}


def read_turns(messages: Sequence[Message], model: Model, *, has_tools: bool) -> tuple[Turn, ...]:
    if not messages or (messages[0]["role"] == "assistant" and _must_be_asked_first(model)):
        raise ValidationException(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    turns = tuple(_read_turn(index, message, model) for index, message in enumerate(messages))
    parts = [part for turn in turns for part in turn.parts]
    if not has_tools and any(isinstance(part, ToolUse | ToolResult) for part in parts):
        raise ValidationException(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    _match_results(turns)
    return turns


def _must_be_asked_first(model: Model) -> bool:
    """Claude 4.5 takes a conversation that the assistant opens (recorded); refusals are reported of
    Nova and of Claude 3.5."""
    return model.dialect == "nova" or (model.dialect == "anthropic" and version(model) < (4, 0))


def _read_turn(index: int, message: Message, model: Model) -> Turn:
    role = _read_role(index, message["role"])
    blocks: Sequence[Mapping[str, Any]] = message["content"]
    if not blocks:
        raise ValidationException(
            f"The content field in the Message object at messages.{index} is empty. "
            "Add a ContentBlock object to the content field and try again."
        )
    parts = tuple(
        _read_block(f"messages.{index}.content.{place}", block, role, model)
        for place, block in enumerate(blocks)
    )
    check_message(parts, f"messages.{index}")
    return Turn(role, parts)


def _read_role(index: int, role: str) -> Role:
    if role == "user" or role == "assistant":
        return role
    raise ValidationException(
        f"This model doesn't support the {role} role at messages.{index}. "
        "Update the role and try again."
    )


def _read_block(path: str, block: Mapping[str, Any], role: Role, model: Model) -> Part:
    kind = next(iter(block), "text")
    match kind:
        case "text":
            return _read_text(path, block.get("text", ""))
        case "citationsContent" if role == "assistant" and "citations" in model.supports:
            return read_cited_text(block[kind], path)
        case "toolUse" if role == "assistant":
            return _read_tool_use(path, block["toolUse"])
        case "toolResult" if role == "user":
            return _read_tool_result(path, block["toolResult"], model)
        case "toolUse" | "toolResult":
            raise ValidationException(
                f"The {kind} block at {path} is in a message of the role {role}. "
                "Move it to the other role and try again."
            )
        case "image" | "document" | "video":
            return read_media(kind, block[kind], path, role, model)
        case "cachePoint":
            return read_cache_point(block[kind], model)
        case "reasoningContent":
            return read_reasoning(block[kind], role, model)
        case _:
            raise _unsupported(kind)


def _read_text(path: str, text: str) -> Text:
    if not text.strip():
        raise ValidationException(
            f"The text field in the ContentBlock object at {path} is blank. "
            "Add text to the text field, and try again."
        )
    return Text(text)


def _read_tool_use(path: str, block: Mapping[str, Any]) -> ToolUse:
    if block.get("type") == "server_tool_use":
        raise unsupported_field("server_tool_use")
    arguments = block["input"]
    if not isinstance(arguments, Mapping):
        raise ValidationException(
            f"The format of the value at {path}.toolUse.input is invalid. "
            "Provide a json object for the field and try again."
        )
    return ToolUse(block["toolUseId"], block["name"], cast("Mapping[str, Any]", arguments))


def _read_tool_result(path: str, block: Mapping[str, Any], model: Model) -> ToolResult:
    is_error = block.get("status") == "error"
    if is_error and not block["content"]:
        raise ValidationException(
            f"The content field at {path}.toolResult cannot be empty when status value is error."
        )
    if "type" in block:
        raise unsupported_field("server_tool_result")
    told = [
        _read_result(f"{path}.toolResult.content.{place}", entry, model)
        for place, entry in enumerate(block["content"])
    ]
    texts = [each for each in told if isinstance(each, str)]
    media = tuple(each for each in told if not isinstance(each, str))
    return ToolResult(block["toolUseId"], "\n".join(texts), is_error, media)


def _read_result(path: str, entry: Mapping[str, Any], model: Model) -> str | Media:
    kind = next(iter(entry), "text")
    match kind:
        case "text":
            return entry.get("text", "")
        case "json":
            return msgspec.json.encode(entry["json"]).decode()
        case "image" | "document" | "video":
            return read_media(kind, entry[kind], path, "user", model)
        case _:
            raise _unsupported(kind)


def _unsupported(kind: str) -> ValidationException:
    return unsupported_block(kind) if kind in _MEDIA else unsupported_field(kind)


def _match_results(turns: Sequence[Turn]) -> None:
    """Every call is answered in the turns of the user right behind it, and nothing else is."""
    open_calls: list[str] = []
    index = 0
    for _, group in groupby(turns, key=lambda turn: turn.role):
        run = list(group)
        parts = [part for turn in run for part in turn.parts]
        results = [part.tool_use_id for part in parts if isinstance(part, ToolResult)]
        if len(results) > len(open_calls):
            raise ValidationException(
                f"The number of toolResult blocks at messages.{index}.content exceeds "
                "the number of toolUse blocks of previous turn."
            )
        _require_results(open_calls, results, index)
        open_calls = [part.id for part in parts if isinstance(part, ToolUse)]
        index += len(run)
    _require_results(open_calls, (), index)


def _require_results(calls: Sequence[str], results: Sequence[str], index: int) -> None:
    missing = [call for call in calls if call not in results]
    if missing:
        raise ValidationException(
            f"Expected toolResult blocks at messages.{index}.content "
            f"for the following Ids: {', '.join(missing)}"
        )
