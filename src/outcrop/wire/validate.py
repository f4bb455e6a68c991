"""Parameters against their shapes, refused in AWS's own words.

Every broken constraint is reported, up to ``MAX_ERRORS``. Values of sensitive shapes, and of
whatever lies below one, never appear in a text.

Sources of the wordings: recorded refusals of Bedrock (openclaw#12892, litellm#19384 and #24668 on
GitHub: longest length first, then the pattern, then the shortest; "Value at" without the value for
sensitive members and for lists of structures) and of other services of the same framework (Lambda,
STS, EventBridge: lists of scalars and maps report as a whole, with all constraints of the member).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from outcrop.errors import AWSError, ServiceError, ValidationException
from outcrop.wire import patterns
from outcrop.wire.shapes import NESTED, Shape
from outcrop.wire.spec import Operation

MAX_ERRORS = 100
_MAX_ECHO_CHARS = 4096
_NOT_NULL = "Member must not be null"
_ENUM = "Member must satisfy enum value set"
# Recorded of IAM: neither the value nor the allowed ones are shown.
_TERSE = frozenset(("iam",))
# Recorded of CloudWatch Logs: the same text under a code of its own.
_CODES = {"logs": "InvalidParameterException"}
_LENGTHS = frozenset(("string", "blob", "list", "map"))


def validate(operation: Operation, params: Mapping[str, Any]) -> None:
    """Raise ValidationException, or what the service calls it, unless ``params`` satisfy the
    operation's input."""
    if operation.input is None:
        return
    report = _Report(is_terse=operation.service.name in _TERSE)
    try:
        _structure(operation.input, params, "", operation.input.sensitive, report)
    except RecursionError as error:
        raise ValidationException("The request is nested too deeply.") from error
    if report.constraints:
        raise _refusal(operation, report.text)
    if report.union:
        raise _refusal(operation, report.union)


def _refusal(operation: Operation, text: str) -> AWSError:
    code = _CODES.get(operation.service.name)
    return ValidationException(text) if code is None else ServiceError(code, text)


class _Report:
    def __init__(self, *, is_terse: bool = False) -> None:
        self.constraints: list[str] = []
        self.union = ""
        self._is_terse = is_terse

    def add(self, path: str, constraint: str, value: Any, hidden: bool) -> None:
        if len(self.constraints) < MAX_ERRORS:
            shown = "" if hidden or self._is_terse else _shown(value)
            if self._is_terse and constraint.startswith(_ENUM):
                constraint = _ENUM
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
        report.add(path, constraint, value, hidden or not shape.is_shown)


def _structure(
    shape: Shape, value: Mapping[str, Any], path: str, hidden: bool, report: _Report
) -> None:
    prefix = f"{path}." if path else ""
    for name in shape.required:
        if value.get(name) is None:
            report.add(f"{prefix}{_spelt(name)}", _NOT_NULL, None, hidden)
    for name, item in value.items():
        member = shape.members.get(name)
        if member is not None and item is not None:
            _check(member.shape, item, f"{prefix}{_spelt(name)}", hidden, report)
    is_open = shape.is_union and not shape.is_event_stream and not report.union
    if is_open and len(value) != 1:
        _union(shape, value, path, report)


def _spelt(name: str) -> str:
    """Members are told as in AWS's own code: ``roleSessionName`` for ``RoleSessionName``."""
    return name[:1].lower() + name[1:]


def _union(shape: Shape, value: Mapping[str, Any], path: str, report: _Report) -> None:
    # Unions are checked after all constraints, with an index from 0 and no ".member": Converse's
    # recorded "ContentBlock object at messages.1.content.0 must set one of the following keys: …".
    where = _plain_path(path)
    verb = "must set only one" if value else "must set one"
    keys = ", ".join(shape.members)
    report.union = f"{shape.name} object at {where} {verb} of the following keys: {keys}."


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
    if item.type not in NESTED:
        if _any_broken(item, value):
            wording = f"Member must satisfy constraint: {_all_constraints(item)}"
            report.add(path, wording, value, hidden or not shape.is_shown)
        return
    for number, one in enumerate(value, start=1):
        _part(item, one, f"{path}.{number}.member", hidden, report)
        if report.is_full:
            return


def _map(shape: Shape, value: Mapping[str, Any], path: str, hidden: bool, report: _Report) -> None:
    key, item = shape.members["key"].shape, shape.members["value"].shape
    is_hidden = hidden or not shape.is_shown
    if _any_broken(key, value):
        wording = f"Map keys must satisfy constraint: {_all_constraints(key)}"
        report.add(path, wording, value, is_hidden)
    if item.type not in NESTED:
        if _any_broken(item, value.values()):
            wording = f"Map value must satisfy constraint: {_all_constraints(item)}"
            report.add(path, wording, value, is_hidden)
        return
    for name, one in value.items():
        _part(item, one, f"{path}.{name[:_MAX_ECHO_CHARS]}.member", hidden, report)
        if report.is_full:
            return


def _part(item: Shape, value: Any, path: str, hidden: bool, report: _Report) -> None:
    if value is None and not item.is_document:
        report.add(path, _NOT_NULL, None, hidden)
    elif value is not None:
        _check(item, value, path, hidden, report)


def _any_broken(item: Shape, parts: Iterable[Any]) -> bool:
    """Scalars of a list or map are refused together, in one error that names every constraint."""
    return any(one is None or bool(_broken(item, one)) for one in parts)


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


def _all_constraints(shape: Shape) -> str:
    wordings = (
        _at_most(shape) if shape.maximum is not None else None,
        _at_least(shape) if shape.minimum is not None else None,
        _pattern(shape) if shape.pattern is not None else None,
        _enum(shape) if shape.enum else None,
        _NOT_NULL,
    )
    return f"[{', '.join(wording for wording in wordings if wording)}]"


def _at_most(shape: Shape) -> str:
    return f"Member must have {_measure(shape)} less than or equal to {_number(shape.maximum)}"


def _at_least(shape: Shape) -> str:
    return f"Member must have {_measure(shape)} greater than or equal to {_number(shape.minimum)}"


def _measure(shape: Shape) -> str:
    return "length" if shape.type in _LENGTHS else "value"


def _pattern(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {shape.pattern}"


def _enum(shape: Shape) -> str:
    return f"{_ENUM}: [{', '.join(shape.enum)}]"


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
            parts = [str(_text(one)) for one in cast(list[Any], value)[:_MAX_ECHO_CHARS]]
            # The recorded refusal of an empty list shows nothing.
            return f"[{', '.join(parts)}]" if parts else None
        case dict():
            entries = cast(dict[str, Any], value).items()
            return f"{{{', '.join(f'{key}={_text(one)}' for key, one in entries)}}}"
        case None:
            return "null"
        case _:
            return None
