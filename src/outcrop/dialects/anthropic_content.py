"""The conversation in a Claude messages body: content blocks read as turns.

Blocks that need what Outcrop does not have are refused, never skipped.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from outcrop.catalog.model import Model
from outcrop.dialects.anthropic_blocks import (
    is_cached,
    parse_document,
    parse_image,
    parse_thought,
)
from outcrop.dialects.anthropic_fields import as_object, close, field, refuse, tag
from outcrop.dialects.media import unsupported_block
from outcrop.errors import ValidationException
from outcrop.generation import (
    CachePoint,
    Document,
    Image,
    Media,
    Part,
    Role,
    Text,
    ToolResult,
    ToolUse,
    Turn,
)

_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
}
_KINDS: Final = (*_MEMBERS, "image", "document", "thinking", "redacted_thinking")


def parse_messages(messages: Any, model: Model, *, must_alternate: bool) -> tuple[Turn, ...]:
    """The turns of ``messages``; turns of one role in a row are joined, or refused."""
    if not isinstance(messages, list):
        refuse("messages", "Input should be a valid list")
    elements = cast("list[Any]", messages)
    if not elements:
        refuse("messages", "at least one message is required")
    turns: list[Turn] = []
    for index, message in enumerate(elements):
        turn = _parse_message(message, model, index, index == len(elements) - 1)
        if not turns or turns[-1].role != turn.role:
            turns.append(turn)
            continue
        if must_alternate:
            told = f'but found multiple "{turn.role}" roles in a row'
            refuse("messages", f'roles must alternate between "user" and "assistant", {told}')
        turns[-1] = Turn(turn.role, turns[-1].parts + turn.parts)
    if turns[0].role != "user":
        refuse("messages", 'first message must use the "user" role')
    _check_pairs(turns)
    # An empty last turn of the assistant begins nothing.
    return tuple(turns if turns[-1].parts else turns[:-1])


def parse_system(system: Any, model: Model) -> tuple[str | None, int]:
    """The system text, and how many of its blocks are marked to be cached."""
    if system is None or isinstance(system, str):
        return system or None, 0
    if not isinstance(system, list):
        refuse("system", "Input should be a valid list")
    texts: list[str] = []
    marks = 0
    for index, block in enumerate(cast("list[Any]", system)):
        path = f"system.{index}"
        members = as_object(block, path)
        if members.get("type") != "text":
            refuse(f"{path}.type", "Input should be 'text'")
        texts.append(_text_block(members, path).text)
        marks += is_cached(members, path, model)
    return "\n\n".join(texts) or None, marks


def _parse_message(message: Any, model: Model, index: int, is_last: bool) -> Turn:
    path = f"messages.{index}"
    members = as_object(message, path)
    role = _role(members, path)
    close(members, ("role", "content"), path)
    if "content" not in members:
        refuse(f"{path}.content", "Field required")
    content: Any = members["content"]
    if isinstance(content, str):
        parts: tuple[Part, ...] = (Text(content),) if content else ()
    elif isinstance(content, list):
        blocks = cast("list[Any]", content)
        parts = tuple(
            part
            for place, block in enumerate(blocks)
            for part in _parse_block(block, f"{path}.content.{place}", role, model)
        )
    else:
        refuse(f"{path}.content", "Input should be a valid list")
    if not parts:
        _check_may_be_empty(path, role, is_last)
    elif role == "assistant" and is_last and _ends_blank(parts):
        refuse("messages", "final assistant content cannot end with trailing whitespace")
    return Turn(role, parts)


def _role(members: Mapping[str, Any], path: str) -> Role:
    if "role" not in members:
        refuse(f"{path}.role", "Field required")
    role: Any = members["role"]
    if role == "user" or role == "assistant":
        return role
    if role == "system":
        refuse(
            "messages",
            'Unexpected role "system". The Messages API accepts a top-level `system` '
            'parameter, not "system" as an input message role.',
        )
    raise ValidationException(f"{path}.role: Input should be 'user' or 'assistant'")


def _check_may_be_empty(path: str, role: Role, is_last: bool) -> None:
    if role == "assistant" and is_last:
        return
    refuse(
        path,
        "all messages must have non-empty content except for the optional final assistant message",
    )


def _ends_blank(parts: Sequence[Part]) -> bool:
    last = next((part for part in reversed(parts) if not isinstance(part, CachePoint)), None)
    return isinstance(last, Text) and last.text != last.text.rstrip()


def _parse_block(block: Any, path: str, role: Role, model: Model) -> tuple[Part, ...]:
    """The block's part, and a cache point where it is marked."""
    members = as_object(block, path)
    kind: str = field(members, "type", str, path)
    if kind == "search_result":
        raise unsupported_block(kind)
    path = f"{path}.{tag(kind, _KINDS, path)}"
    part = _part(kind, members, path, role, model)
    return (part, CachePoint()) if is_cached(members, path, model) else (part,)


def _part(kind: str, members: Mapping[str, Any], path: str, role: Role, model: Model) -> Part:
    match kind:
        case "text":
            return _text_block(members, path)
        case "tool_use":
            return _tool_use(members, path, role)
        case "tool_result":
            return _tool_result(members, path, role, model)
        case "image":
            return parse_image(members, path, role, model)
        case "document":
            return parse_document(members, path, role, model)
        case _:
            return parse_thought(kind, members, path, role, model)


def _text_block(members: Mapping[str, Any], path: str) -> Text:
    close(members, _MEMBERS["text"], path)
    text: str = field(members, "text", str, path)
    if members.get("citations"):
        refuse(f"{path}.citations", "Extra inputs are not permitted")
    if not text:
        refuse("messages", "text content blocks must be non-empty")
    return Text(text)


def _tool_use(members: Mapping[str, Any], path: str, role: Role) -> ToolUse:
    close(members, _MEMBERS["tool_use"], path)
    if role != "assistant":
        refuse(path, "`tool_use` blocks can only be in `assistant` messages")
    return ToolUse(
        field(members, "id", str, path),
        field(members, "name", str, path),
        field(members, "input", dict, path),
    )


def _tool_result(members: Mapping[str, Any], path: str, role: Role, model: Model) -> ToolResult:
    close(members, _MEMBERS["tool_result"], path)
    if role != "user":
        refuse(path, "`tool_result` blocks can only be in `user` messages")
    is_error = members.get("is_error") or False
    if not isinstance(is_error, bool):
        refuse(f"{path}.is_error", "Input should be a valid boolean")
    content: Any = members.get("content")
    tool_use_id = field(members, "tool_use_id", str, path)
    text, media = _result_content(content, f"{path}.content", model)
    return ToolResult(tool_use_id, text, is_error, media)


def _result_content(content: Any, path: str, model: Model) -> tuple[str, tuple[Media, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    if not isinstance(content, list):
        refuse(path, "Input should be a valid list")
    texts: list[str] = []
    media: list[Media] = []
    for index, block in enumerate(cast("list[Any]", content)):
        for part in _parse_block(block, f"{path}.{index}", "user", model):
            match part:
                case Text():
                    texts.append(part.text)
                case Image() | Document():
                    media.append(part)
                case CachePoint():
                    # The mark on the result's own block is the one that counts.
                    refuse(f"{path}.{index}.cache_control", "Extra inputs are not permitted")
                case _:
                    refuse(path, "a tool result holds text, image and document blocks only")
    return "\n".join(texts), tuple(media)


def _check_pairs(turns: Sequence[Turn]) -> None:
    """Each call has its result in the next turn, and each result its call in the turn before."""
    called: list[str] = []
    for index, turn in enumerate((*turns, Turn("user", ()))):
        results = {part.tool_use_id for part in turn.parts if isinstance(part, ToolResult)}
        missing = [each for each in called if each not in results]
        if missing:
            refuse(
                f"messages.{index - 1}",
                "`tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)[:1_000]}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message.",
            )
        unasked = sorted(results.difference(called))
        if unasked:
            refuse(
                f"messages.{index}",
                "unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{unasked[0][:200]}. Each `tool_result` block must have a corresponding "
                "`tool_use` block in the previous message.",
            )
        called = [part.id for part in turn.parts if isinstance(part, ToolUse)]
