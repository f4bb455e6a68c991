"""The messages of Converse: content blocks as parts of turns, tool results matched to their calls.

Turns of one role may follow each other and the assistant may speak first: the real service took
both in 2025 (recorded), after having refused them in 2024.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ValidationException
from outcrop.generation import Part, Role, Text, ToolResult, ToolUse, Turn

Message = Mapping[str, Any]

# A block of these kinds is named in AWS's text as a content block; others as a field.
_MEDIA: Final = {"image", "document", "video", "audio"}
_FROM_S3: Final = "This model doesn't support the s3Uri field. Remove s3Uri and try again."


def read_turns(messages: Sequence[Message], has_tools: bool) -> tuple[Turn, ...]:
    if not messages:
        raise ValidationException(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    turns = tuple(_read_turn(index, message) for index, message in enumerate(messages))
    parts = [part for turn in turns for part in turn.parts]
    if not has_tools and any(isinstance(part, ToolUse | ToolResult) for part in parts):
        raise ValidationException(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    _match_results(turns)
    return turns


def _read_turn(index: int, message: Message) -> Turn:
    role = _read_role(index, message["role"])
    blocks: Sequence[Mapping[str, Any]] = message["content"]
    if not blocks:
        raise ValidationException(
            f"The content field in the Message object at messages.{index} is empty. "
            "Add a ContentBlock object to the content field and try again."
        )
    return Turn(
        role,
        tuple(
            _read_block(f"messages.{index}.content.{place}", block, role)
            for place, block in enumerate(blocks)
        ),
    )


def _read_role(index: int, role: str) -> Role:
    if role == "user" or role == "assistant":
        return role
    raise ValidationException(
        f"This model doesn't support the {role} role at messages.{index}. "
        "Update the role and try again."
    )


def _read_block(path: str, block: Mapping[str, Any], role: Role) -> Part:
    kind = next(iter(block), "text")
    match kind:
        case "text":
            return _read_text(path, block.get("text", ""))
        case "toolUse" if role == "assistant":
            return _read_tool_use(path, block["toolUse"])
        case "toolResult" if role == "user":
            return _read_tool_result(path, block["toolResult"])
        case "toolUse" | "toolResult":
            raise ValidationException(
                f"The {kind} block at {path} is in a message of the role {role}. "
                "Move it to the other role and try again."
            )
        case _:
            raise _unsupported_block(kind, block[kind])


def _read_text(path: str, text: str) -> Text:
    if not text.strip():
        raise ValidationException(
            f"The text field in the ContentBlock object at {path} is blank. "
            "Add text to the text field, and try again."
        )
    return Text(text)


def _read_tool_use(path: str, block: Mapping[str, Any]) -> ToolUse:
    if block.get("type") == "server_tool_use":
        raise _unsupported_block("server_tool_use", block)
    arguments = block["input"]
    if not isinstance(arguments, Mapping):
        raise ValidationException(
            f"The format of the value at {path}.toolUse.input is invalid. "
            "Provide a json object for the field and try again."
        )
    return ToolUse(block["toolUseId"], block["name"], cast("Mapping[str, Any]", arguments))


def _read_tool_result(path: str, block: Mapping[str, Any]) -> ToolResult:
    is_error = block.get("status") == "error"
    if is_error and not block["content"]:
        raise ValidationException(
            f"The content field at {path}.toolResult cannot be empty when status value is error."
        )
    if "type" in block:
        raise _unsupported_block("server_tool_result", block)
    texts = [_result_text(entry) for entry in block["content"]]
    return ToolResult(block["toolUseId"], "\n".join(texts), is_error)


def _result_text(entry: Mapping[str, Any]) -> str:
    kind = next(iter(entry), "text")
    if kind == "text":
        return entry.get("text", "")
    if kind == "json":
        return msgspec.json.encode(entry["json"]).decode()
    raise _unsupported_block(kind, entry[kind])


def _unsupported_block(kind: str, block: Mapping[str, Any]) -> ValidationException:
    if kind == "image" and "s3Location" in block.get("source", {}):
        return ValidationException(_FROM_S3)
    if kind in _MEDIA:
        return ValidationException(
            f"This model doesn't support the {kind} content block that you provided. "
            "Update the content block and try again."
        )
    return ValidationException(
        f"This model doesn't support the {kind} field. Remove {kind} and try again."
    )


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
