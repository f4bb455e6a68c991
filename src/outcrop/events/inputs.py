"""What a target is sent of an event: all of it, a part, a constant, or a template filled in.

Texts in a template are written as JSON outside its quotation marks and escaped inside them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from outcrop.events.json_text import InvalidJson, read_json, write_json

_STEP: Final = re.compile(r"\.(?P<name>\*|[A-Za-z0-9_\-/]+)|\[(?P<index>\*|[0-9]{1,9})\]")
_PLACEHOLDER: Final = re.compile(r"<([^<>\s]{1,256})>")
_VARIABLE: Final = re.compile(r"[A-Za-z0-9_\-]+")
_MOST_VARIABLES: Final = 100
_PREDEFINED: Final = (
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event.ingestion-time",
    "aws.events.event",
    "aws.events.event.json",
)
MISSING: Final = object()


class InvalidInput(Exception):
    """The message is AWS's."""


@dataclass(frozen=True, slots=True)
class Received:
    """An event on its way: ``text`` is its JSON, ``event`` the same decoded."""

    text: str
    event: Mapping[str, Any]
    ingested_at: str
    rule_arn: str

    @property
    def rule_name(self) -> str:
        return self.rule_arn.rpartition("/")[2]


def check_input(target: Mapping[str, Any]) -> None:
    """Raises ``InvalidInput`` for what could never be rendered."""
    given = [name for name in ("Input", "InputPath", "InputTransformer") if name in target]
    if len(given) > 1:
        raise InvalidInput(
            f"Only one of Input, InputPath, or InputTransformer must be provided for target "
            f"{target['Id']}."
        )
    if "Input" in target:
        _require_json(target["Input"], target["Id"])
    if "InputPath" in target and not _is_path(target["InputPath"]):
        raise InvalidInput(f"Invalid InputPath for target {target['Id']}.")
    if "InputTransformer" in target:
        _check_transformer(target["InputTransformer"], target["Id"])


def render_input(target: Mapping[str, Any], received: Received) -> str:
    """The text that the target gets."""
    if "Input" in target:
        return target["Input"]
    if "InputPath" in target:
        found = find_path(target["InputPath"], received.event)
        return write_json(None if found is MISSING else found)
    if "InputTransformer" in target:
        return _transform(target["InputTransformer"], received)
    return received.text


def find_path(path: str, event: Any) -> Any:
    """What a JSON path that AWS takes (``$.detail.items[0].name``) leads to; a list where it has
    wildcards, ``MISSING`` where it leads nowhere."""
    found = [event]
    several = False
    for step in _STEP.finditer(path, 1):
        name, index = step["name"], step["index"]
        several = several or "*" in (name, index)
        found = [inner for each in found for inner in _inner(each, name, index)]
    if several:
        return found
    return found[0] if found else MISSING


def _inner(value: Any, name: str | None, index: str | None) -> Iterator[Any]:
    if "*" in (name, index):
        if isinstance(value, list):
            yield from cast("list[Any]", value)
        elif isinstance(value, dict) and name == "*":
            yield from cast("dict[str, Any]", value).values()
    elif name is not None:
        if isinstance(value, dict) and name in value:
            yield cast("dict[str, Any]", value)[name]
    elif isinstance(value, list):
        listed = cast("list[Any]", value)
        yield from listed[int(index or 0) :][:1]


def _is_path(path: str) -> bool:
    if not path.startswith("$"):
        return False
    end = 1
    for step in _STEP.finditer(path, 1):
        if step.start() != end:
            return False
        end = step.end()
    return end == len(path)


def _require_json(text: str, target_id: str) -> None:
    try:
        read_json(text)
    except InvalidJson as error:
        raise InvalidInput(
            f"JSON syntax error in input for target {target_id} : {error}"
        ) from error


def _check_transformer(transformer: Mapping[str, Any], target_id: str) -> None:
    paths: Mapping[str, str] = transformer.get("InputPathsMap", {})
    if len(paths) > _MOST_VARIABLES:
        raise InvalidInput(f"InputPathsMap for target {target_id} has more than 100 entries.")
    for name, path in paths.items():
        if not _VARIABLE.fullmatch(name) or name.upper().startswith("AWS."):
            raise InvalidInput(f"InputPathsMap for target {target_id} has the invalid key {name}.")
        if not _is_path(path):
            raise InvalidInput(f"Invalid InputPathsMap for target {target_id} : {path}")
    template: str = transformer["InputTemplate"]
    for match in _PLACEHOLDER.finditer(template):
        if match[1] not in paths and match[1] not in _PREDEFINED:
            raise InvalidInput(
                f"InputTemplate for target {target_id} contains invalid placeholder {match[1]}."
            )
    if _is_json(template):
        # Whatever stands in for a variable, JSON it must be.
        filled = "".join(_fill(template, dict.fromkeys(_names(template), 0), as_json=True))
        try:
            read_json(filled)
        except InvalidJson as error:
            raise InvalidInput(f"Invalid InputTemplate for target {target_id} : {error}") from error


def _names(template: str) -> list[str]:
    return [match[1] for match in _PLACEHOLDER.finditer(template)]


def _is_json(template: str) -> bool:
    return template.lstrip()[:1] in ("{", "[")


def _transform(transformer: Mapping[str, Any], received: Received) -> str:
    template: str = transformer["InputTemplate"]
    values: dict[str, Any] = {}
    for name, path in transformer.get("InputPathsMap", {}).items():
        found = find_path(path, received.event)
        values[name] = "" if found is MISSING else found
    wanted = set(_names(template))
    values |= {name: value for name, value in _predefined(received).items() if name in wanted}
    return "".join(_fill(template, values, as_json=_is_json(template)))


def _predefined(received: Received) -> dict[str, Any]:
    event = received.event
    return {
        "aws.events.rule-arn": received.rule_arn,
        "aws.events.rule-name": received.rule_name,
        "aws.events.event.ingestion-time": received.ingested_at,
        "aws.events.event": {name: event[name] for name in event if name != "detail"},
        "aws.events.event.json": event,
    }


def _fill(template: str, values: Mapping[str, Any], *, as_json: bool) -> Iterator[str]:
    end, quoted = 0, False
    for match in _PLACEHOLDER.finditer(template):
        before = template[end : match.start()]
        yield before
        quoted = _is_quoted(before, quoted)
        value = values.get(match[1], "")
        yield _in_quotes(value) if quoted else _outside(value, as_json=as_json)
        end = match.end()
    yield template[end:]


def _is_quoted(text: str, quoted: bool) -> bool:
    """Whether what follows ``text`` is inside quotation marks."""
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == '"':
            quoted = not quoted
        at += 1
    return quoted


def _in_quotes(value: Any) -> str:
    if isinstance(value, str):
        return write_json(value)[1:-1]
    # As AWS puts objects into texts: without their own quotation marks.
    return write_json(write_json(value).replace('"', ""))[1:-1]


def _outside(value: Any, *, as_json: bool) -> str:
    return value if isinstance(value, str) and not as_json else write_json(value)
