"""The conversation in a Claude messages body: content blocks read as turns.

Faults are told as the provider tells them, by path: ``messages.0.content.1.text.text: Field
required``. Blocks that need what Outcrop does not have are refused, never skipped.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

from outcrop.errors import ValidationException
from outcrop.generation import Part, Role, Text, ToolResult, ToolUse, Turn

_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
}
# What Claude knows and Outcrop cannot show its engines yet.
_NOT_SERVED: Final = frozenset(
    {"image", "document", "search_result", "thinking", "redacted_thinking"}
)


def refuse(path: str, text: str) -> NoReturn:
    raise ValidationException(f"{path}: {text}")


def parse_messages(messages: Any, must_alternate: bool) -> tuple[Turn, ...]:
    """The turns of ``messages``; turns of one role in a row are joined, or refused."""
    if not isinstance(messages, list):
        refuse("messages", "Input should be a valid list")
    elements = cast("list[Any]", messages)
    if not elements:
        refuse("messages", "at least one message is required")
    turns: list[Turn] = []
    for index, message in enumerate(elements):
        turn = _parse_message(message, f"messages.{index}", index == len(elements) - 1)
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


def parse_system(system: Any) -> str | None:
    if system is None or isinstance(system, str):
        return system or None
    if not isinstance(system, list):
        refuse("system", "Input should be a valid list")
    texts: list[str] = []
    for index, block in enumerate(cast("list[Any]", system)):
        members = _object(block, f"system.{index}")
        if members.get("type") != "text":
            refuse(f"system.{index}.type", "Input should be 'text'")
        texts.append(_text_block(members, f"system.{index}").text)
    return "\n\n".join(texts) or None


def field(members: Mapping[str, Any], name: str, kind: type, path: str) -> Any:
    """A required member of a type, told as missing or wrong by its path."""
    if name not in members:
        refuse(f"{path}.{name}", "Field required")
    value = members[name]
    if not isinstance(value, kind):
        wanted = {str: "string", dict: "dictionary", list: "list"}[kind]
        refuse(f"{path}.{name}", f"Input should be a valid {wanted}")
    return value


def close(members: Mapping[str, Any], allowed: Iterable[str], path: str) -> None:
    for name in members:
        if name not in allowed:
            refuse(f"{path}.{name[:200]}", "Extra inputs are not permitted")


def _parse_message(message: Any, path: str, is_last: bool) -> Turn:
    members = _object(message, path)
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
            _parse_block(block, f"{path}.content.{index}", role)
            for index, block in enumerate(blocks)
        )
    else:
        refuse(f"{path}.content", "Input should be a valid list")
    if not parts:
        _check_may_be_empty(path, role, is_last)
    elif role == "assistant" and is_last and _ends_blank(parts[-1]):
        refuse("messages", "final assistant content cannot end with trailing whitespace")
    return Turn(role, parts)


def _role(members: Mapping[str, Any], path: str) -> Role:
    if "role" not in members:
        refuse(f"{path}.role", "Field required")
    match members["role"]:
        case "user":
            return "user"
        case "assistant":
            return "assistant"
        case "system":
            refuse(
                "messages",
                'Unexpected role "system". The Messages API accepts a top-level `system` '
                'parameter, not "system" as an input message role.',
            )
        case _:
            refuse(f"{path}.role", "Input should be 'user' or 'assistant'")


def _check_may_be_empty(path: str, role: Role, is_last: bool) -> None:
    if role == "assistant" and is_last:
        return
    refuse(
        path,
        "all messages must have non-empty content except for the optional final assistant message",
    )


def _ends_blank(part: Part) -> bool:
    return isinstance(part, Text) and part.text != part.text.rstrip()


def _parse_block(block: Any, path: str, role: Role) -> Part:
    members = _object(block, path)
    kind = field(members, "type", str, path)
    if kind in _NOT_SERVED:
        raise ValidationException(
            f"This model doesn't support the {kind} content block that you provided. "
            "Update the content block and try again."
        )
    if kind not in _MEMBERS:
        known = ", ".join(f"'{name}'" for name in _MEMBERS)
        refuse(
            path,
            f"Input tag '{kind[:200]}' found using 'type' does not match any of the expected "
            f"tags: {known}",
        )
    path = f"{path}.{kind}"
    match kind:
        case "text":
            return _text_block(members, path)
        case "tool_use":
            return _tool_use(members, path, role)
        case _:
            return _tool_result(members, path, role)


def _text_block(members: Mapping[str, Any], path: str) -> Text:
    _close_block(members, "text", path)
    text: str = field(members, "text", str, path)
    if members.get("citations"):
        refuse(f"{path}.citations", "Extra inputs are not permitted")
    if not text:
        refuse("messages", "text content blocks must be non-empty")
    return Text(text)


def _tool_use(members: Mapping[str, Any], path: str, role: Role) -> ToolUse:
    _close_block(members, "tool_use", path)
    if role != "assistant":
        refuse(path, "`tool_use` blocks can only be in `assistant` messages")
    return ToolUse(
        field(members, "id", str, path),
        field(members, "name", str, path),
        field(members, "input", dict, path),
    )


def _tool_result(members: Mapping[str, Any], path: str, role: Role) -> ToolResult:
    _close_block(members, "tool_result", path)
    if role != "user":
        refuse(path, "`tool_result` blocks can only be in `user` messages")
    is_error = members.get("is_error") or False
    if not isinstance(is_error, bool):
        refuse(f"{path}.is_error", "Input should be a valid boolean")
    content: Any = members.get("content")
    tool_use_id = field(members, "tool_use_id", str, path)
    return ToolResult(tool_use_id, _result_text(content, f"{path}.content"), is_error)


def _result_text(content: Any, path: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        refuse(path, "Input should be a valid list")
    parts = [
        _parse_block(block, f"{path}.{index}", "user")
        for index, block in enumerate(cast("list[Any]", content))
    ]
    texts = [part.text for part in parts if isinstance(part, Text)]
    if len(texts) != len(parts):
        refuse(path, "a tool result holds text blocks only")
    return "\n".join(texts)


def _close_block(members: Mapping[str, Any], kind: str, path: str) -> None:
    close(members, _MEMBERS[kind], path)
    if members.get("cache_control") is not None:
        # As AWS answers for a model without prompt caching.
        refuse(f"{path}.cache_control", "Extra inputs are not permitted")


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        refuse(path, "Input should be an object")
    return cast("dict[str, Any]", value)


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
