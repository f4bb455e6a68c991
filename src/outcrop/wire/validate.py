"""Parameters against their shapes, refused in AWS's own words.

Every broken constraint is reported, up to ``MAX_ERRORS``. Values of sensitive shapes, and of
whatever lies below one, never appear in a text.

Sources of the wordings: recorded refusals of Bedrock (openclaw#12892, litellm#19384 and #24668 on
GitHub: longest length first, then the pattern, then the shortest; "Value at" without the value for
sensitive members and for lists of structures) and of other services of the same framework (Lambda,
STS, EventBridge: lists of scalars and maps report as a whole, with all constraints of the member).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from outcrop.errors import ValidationException
from outcrop.wire import patterns
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation

MAX_ERRORS = 100
_MAX_ECHO_CHARS = 4096
_NOT_NULL = "Member must not be null"
_LENGTHS = frozenset(("string", "blob", "list", "map"))
_NESTED = frozenset(("structure", "list", "map"))


def validate(operation: Operation, params: Mapping[str, Any]) -> None:
    """Raise ValidationException unless ``params`` satisfy the operation's input."""
    if operation.input is None:
        return
    report = _Report()
    _structure(operation.input, params, "", operation.input.sensitive, report)
    if report.constraints:
        raise ValidationException(report.text)
    if report.unions:
        raise ValidationException(report.unions[0])


class _Report:
    def __init__(self) -> None:
        self.constraints: list[str] = []
        self.unions: list[str] = []

    def add(self, path: str, constraint: str, value: Any, hidden: bool) -> None:
        if len(self.constraints) < MAX_ERRORS:
            shown = "" if hidden else _shown(value)
            self.constraints.append(
                f"Value {shown}at '{path}' failed to satisfy constraint: {constraint}"
            )

    @property
    def is_full(self) -> bool:
        return len(self.constraints) >= MAX_ERRORS

    @property
    def text(self) -> str:
        count = len(self.constraints)
        noun = "error" if count == 1 else "errors"
        return f"{count} validation {noun} detected: {'; '.join(self.constraints)}"


def _check(shape: Shape, value: Any, path: str, hidden: bool, report: _Report) -> None:
    if shape.is_document or report.is_full:
        return
    hidden = hidden or shape.sensitive
    if shape.is_constrained:
        _own(shape, value, path, hidden, report)
    nested = _NESTED_CHECKS.get(shape.type)
    if nested:
        nested(shape, value, path, hidden, report)


def _own(shape: Shape, value: Any, path: str, hidden: bool, report: _Report) -> None:
    for constraint in _broken(shape, value):
        report.add(path, constraint, value, hidden)


def _structure(
    shape: Shape, value: Mapping[str, Any], path: str, hidden: bool, report: _Report
) -> None:
    prefix = f"{path}." if path else ""
    for name in shape.required:
        if value.get(name) is None:
            report.add(f"{prefix}{name}", _NOT_NULL, None, hidden)
    for name, item in value.items():
        member = shape.members.get(name)
        if member is not None and item is not None:
            _check(member.shape, item, f"{prefix}{name}", hidden, report)
    if shape.is_union and len(value) != 1 and not shape.is_event_stream:
        _union(shape, value, path, report)


def _union(shape: Shape, value: Mapping[str, Any], path: str, report: _Report) -> None:
    # Unions are checked after all constraints, with an index from 0 and no ".member": Converse's
    # recorded "ContentBlock object at messages.1.content.0 must set one of the following keys: …".
    where = _plain_path(path)
    verb = "must set only one" if value else "must set one"
    keys = ", ".join(shape.members)
    report.unions.append(f"{shape.name} object at {where} {verb} of the following keys: {keys}.")


def _plain_path(path: str) -> str:
    parts = path.split(".")
    plain: list[str] = []
    for index, part in enumerate(parts):
        if part == "member" and index and parts[index - 1].isdigit():
            plain[-1] = str(int(plain[-1]) - 1)
        else:
            plain.append(part)
    return ".".join(plain)


def _list(shape: Shape, value: Sequence[Any], path: str, hidden: bool, report: _Report) -> None:
    item = shape.item.shape
    if item.type not in _NESTED:
        _together(item, value, path, "Member must satisfy constraint", value, hidden, report)
        return
    for number, one in enumerate(value, start=1):
        where = f"{path}.{number}.member"
        if one is None:
            report.add(where, _NOT_NULL, None, hidden)
        else:
            _check(item, one, where, hidden, report)
        if report.is_full:
            return


def _map(shape: Shape, value: Mapping[str, Any], path: str, hidden: bool, report: _Report) -> None:
    key, item = shape.members["key"].shape, shape.members["value"].shape
    _together(key, value, path, "Map keys must satisfy constraint", value, hidden, report)
    if item.type not in _NESTED:
        values = value.values()
        wording = "Map value must satisfy constraint"
        _together(item, values, path, wording, value, hidden, report)
        return
    for name, one in value.items():
        where = f"{path}.{name[:_MAX_ECHO_CHARS]}.member"
        if one is None:
            report.add(where, _NOT_NULL, None, hidden)
        else:
            _check(item, one, where, hidden, report)
        if report.is_full:
            return


def _together(
    item: Shape, parts: Any, path: str, wording: str, whole: Any, hidden: bool, report: _Report
) -> None:
    """Scalars of a list or map: one error for all of them, which names every constraint."""
    if item.is_document:
        return
    is_broken = next((True for one in parts if one is None or _broken(item, one)), False)
    if is_broken:
        constraints = ", ".join([*_all_constraints(item), _NOT_NULL])
        report.add(path, f"{wording}: [{constraints}]", whole, hidden or item.sensitive)


_NESTED_CHECKS: dict[str, Callable[[Shape, Any, str, bool, _Report], None]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
}


def _broken(shape: Shape, value: Any) -> list[str]:
    broken: list[str] = []
    size = len(value) if shape.type in _LENGTHS else value
    is_long = shape.maximum is not None and not size <= shape.maximum
    if is_long:
        broken.append(_at_most(shape))
    # A text far too long is not matched as well: the answer would not change.
    is_matched = shape.pattern is not None and not (is_long and size > _MAX_ECHO_CHARS)
    if is_matched and not patterns.fits(cast(str, shape.pattern), value):
        broken.append(_pattern(shape))
    if shape.minimum is not None and not size >= shape.minimum:
        broken.append(_at_least(shape))
    if shape.enum and value not in shape.enum:
        broken.append(_enum(shape))
    return broken


def _all_constraints(shape: Shape) -> list[str]:
    wordings = (
        _at_most(shape) if shape.maximum is not None else None,
        _at_least(shape) if shape.minimum is not None else None,
        _pattern(shape) if shape.pattern is not None else None,
        _enum(shape) if shape.enum else None,
    )
    return [wording for wording in wordings if wording]


def _at_most(shape: Shape) -> str:
    return f"Member must have {_measure(shape)} less than or equal to {_number(shape.maximum)}"


def _at_least(shape: Shape) -> str:
    return f"Member must have {_measure(shape)} greater than or equal to {_number(shape.minimum)}"


def _measure(shape: Shape) -> str:
    return "length" if shape.type in _LENGTHS else "value"


def _pattern(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {shape.pattern}"


def _enum(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _number(bound: float | None) -> str:
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() else str(bound)


def _shown(value: Any) -> str:
    """The value with a blank after it, or nothing where AWS shows none."""
    if value is None:
        return "null "
    text = _text(value)
    return "" if text is None else f"'{text[:_MAX_ECHO_CHARS]}' "


def _text(value: Any) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case list():
            texts = [_text(one) for one in cast(list[Any], value)[:_MAX_ECHO_CHARS]]
            return None if not texts or None in texts else f"[{', '.join(map(str, texts))}]"
        case dict():
            entries = cast(dict[str, Any], value).items()
            pairs = [(key, _text(one)) for key, one in entries]
            has_scalars = bool(pairs) and all(one is not None for _, one in pairs)
            return f"{{{', '.join(f'{k}={v}' for k, v in pairs)}}}" if has_scalars else None
        case _:
            return None
