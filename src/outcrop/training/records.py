"""What a line of a data file may be: one JSON object in one of the formats that Bedrock takes.

A key that means nothing here is refused: nobody would learn that it was ignored.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn, cast

from outcrop.training.spec import CustomizationType

_SCHEMA_VERSION: Final = "bedrock-conversation-2024"
_MOST_SHOWN: Final = 40


class Format(Enum):
    """``PAIRS`` is the user guide's, ``PROMPTS`` and ``CONVERSATIONS`` are today's, and ``TEXTS``
    that of continued pre-training. The value is what a record must look like."""

    PAIRS = '{"input": "<input text>", "output": "<output text>"}'
    PROMPTS = '{"prompt": "<input text>", "completion": "<output text>"}'
    CONVERSATIONS = '{"messages": [{"role": "user", ...}, {"role": "assistant", ...}]}'
    TEXTS = '{"input": "<input text>"}'


_KEYS: Final[Mapping[Format, tuple[str, ...]]] = {
    Format.PAIRS: ("input", "output"),
    Format.PROMPTS: ("prompt", "completion"),
    Format.TEXTS: ("input",),
}


class BadLine(Exception):
    """It is no JSON object; the text says why."""


class BadRecord(Exception):
    """It is one, but not of the file's format; the text says why."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as ``InvokeModel`` takes it."""

    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """As Converse takes it: blocks of text, and a message of the user at the end."""

    system: tuple[Mapping[str, Any], ...]
    messages: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """``prompt`` is None where the whole text is to be learnt."""

    prompt: Prompt | Conversation | None
    completion: str
    characters: int


def read_object(line: bytes) -> dict[str, Any]:
    """The object on a line; raises BadLine."""
    try:
        value = json.loads(
            line.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        raise BadLine("is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise BadLine(f"is not JSON: {error.msg} (character {error.pos + 1})") from error
    except RecursionError as error:
        raise BadLine("is nested too deep") from error
    except ValueError as error:
        raise BadLine("holds a number that is too large") from error
    if not isinstance(value, dict):
        raise BadLine("is not a JSON object")
    return cast("dict[str, Any]", value)


def find_format(fields: Mapping[str, Any], kind: CustomizationType) -> Format:
    """The format of a file whose first record this is."""
    if kind == "CONTINUED_PRE_TRAINING":
        return Format.TEXTS
    if "messages" in fields:
        return Format.CONVERSATIONS
    if fields.keys() & {"prompt", "completion"}:
        return Format.PROMPTS
    return Format.PAIRS


def read_record(fields: Mapping[str, Any], form: Format) -> Record:
    """Raises BadRecord."""
    if form is Format.CONVERSATIONS:
        return _conversation(fields)
    keys = _KEYS[form]
    _refuse_unknown(fields, keys)
    texts = [_text(_get(fields, key), f'"{key}"') for key in keys]
    prompt = None if form is Format.TEXTS else Prompt(texts[0])
    return Record(prompt, texts[-1], sum(map(len, texts)))


def shown(text: str, most: int = _MOST_SHOWN) -> str:
    """The beginning of a text that somebody else wrote, fit for a message."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:most])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadLine(f'has the key "{shown(_find_twice(key for key, _ in pairs))}" twice')
    return found


def _find_twice(keys: Iterable[str]) -> str:
    """The first that comes again, in one pass: a line may have as many as it likes."""
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return ""


def _refuse_constant(name: str) -> NoReturn:
    raise BadLine(f"holds {name}, which is not JSON")


def _conversation(fields: Mapping[str, Any]) -> Record:
    _refuse_unknown(fields, ("schemaVersion", "system", "messages"))
    if fields.get("schemaVersion", _SCHEMA_VERSION) != _SCHEMA_VERSION:
        raise BadRecord(f'has a "schemaVersion" other than "{_SCHEMA_VERSION}"')
    system = _blocks(fields["system"], '"system"') if "system" in fields else ()
    messages = _messages(_get(fields, "messages"))
    roles = [message["role"] for message in messages]
    if roles[-2:] != ["user", "assistant"]:
        raise BadRecord('does not end with a message of the "user" and one of the "assistant"')
    told = [*system, *(block for message in messages for block in message["content"])]
    return Record(
        prompt=Conversation(system, messages[:-1]),
        completion="\n".join(block["text"] for block in messages[-1]["content"]),
        characters=sum(len(block["text"]) for block in told),
    )


def _messages(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list):
        raise BadRecord('has "messages" that are not a list')
    messages = cast("list[Any]", value)
    return tuple(_message(one, f"message {index}") for index, one in enumerate(messages, start=1))


def _message(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadRecord(f"has a {where} that is not an object")
    message = cast("dict[str, Any]", value)
    _refuse_unknown(message, ("role", "content"))
    role = _get(message, "role")
    if role not in ("user", "assistant"):
        raise BadRecord(f'has a {where} whose "role" is neither "user" nor "assistant"')
    return {"role": role, "content": _blocks(_get(message, "content"), f"the {where}")}


def _blocks(value: Any, where: str) -> tuple[Mapping[str, Any], ...]:
    """A plain text counts as one block."""
    if isinstance(value, str):
        return ({"text": _text(value, where)},)
    if not isinstance(value, list) or not value:
        raise BadRecord(f"has {where} without text")
    return tuple(_block(one, where) for one in cast("list[Any]", value))


def _block(value: Any, where: str) -> Mapping[str, Any]:
    block = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if (
        "text" not in block
        or block.get("type", "text") != "text"
        or block.keys() - {"type", "text"}
    ):
        raise BadRecord(f"has {where} with content other than text")
    return {"text": _text(block["text"], where)}


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadRecord(f"has {where} that is not a string")
    if not value.strip():
        raise BadRecord(f"has {where} that is empty: there is nothing to learn from")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRecord(f"has {where} with half of a surrogate pair, which is no text") from error
    return value


def _get(fields: Mapping[str, Any], key: str) -> Any:
    if key not in fields:
        raise BadRecord(f'has no "{key}"')
    return fields[key]


def _refuse_unknown(fields: Iterable[str], known: tuple[str, ...]) -> None:
    unknown = next((key for key in fields if key not in known), None)
    if unknown is not None:
        raise BadRecord(f'has the key "{shown(unknown)}", which has no meaning here')
