"""From JSON to clauses: which elements a document and a statement may have, and of which type.

A clause is a statement as it is written; whether what it says makes sense is asked in ``rules``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.security.policy.conditions import Operator, find_operator
from outcrop.security.policy.flaws import Flaw, Kind
from outcrop.security.policy.json_text import Array, JsonError, Number, Object, Value, read_json

_VERSIONS = ("2008-10-17", "2012-10-17")
_TOP = frozenset({"Version", "Id", "Statement"})
_ELEMENTS = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_PRINCIPAL_TYPES = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})

Strings = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawCondition:
    operator: Operator
    key: str
    values: Strings


@dataclass(frozen=True, slots=True)
class Clause:
    """``start`` and ``end`` are offsets in the text."""

    sid: str | None
    effect: str
    actions: Strings | None
    not_actions: bool
    resources: Strings | None
    not_resources: bool
    principals: Mapping[str, Strings] | None
    not_principals: bool
    conditions: tuple[RawCondition, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    version: str | None
    clauses: tuple[Clause, ...]


def read_document(text: str, kind: Kind, max_bytes: int) -> Document:
    top = _read_top(text, kind, max_bytes)
    _refuse_unknown(top, _TOP)
    version = top.members.get("Version")
    if "Version" in top.members and version not in _VERSIONS:
        raise Flaw("version" if kind in ("trust", "bucket") else "syntax")
    if not isinstance(top.members.get("Id", ""), str):
        raise Flaw("syntax")
    clauses = tuple(_read_clause(each, start, end) for each, start, end in _statements(top))
    return Document(version if isinstance(version, str) else None, clauses)


def _read_top(text: str, kind: Kind, max_bytes: int) -> Object:
    if kind == "bucket" and not text.startswith("{"):
        raise Flaw("first-byte")
    try:
        if len(text.encode()) > max_bytes:
            raise Flaw("syntax")
        top = read_json(text)
    except (JsonError, UnicodeEncodeError) as error:
        raise Flaw("not-json") from error
    if not isinstance(top, Object):
        raise Flaw("not-json")
    return top


def _refuse_unknown(value: Object, known: frozenset[str]) -> None:
    for field in value.members:
        if field not in known:
            raise Flaw("unknown-field", field=field)


def _statements(top: Object) -> Iterator[tuple[Object, int, int]]:
    match top.members.get("Statement"):
        case Object() as single:
            yield single, single.begin, single.end
        case Array(items, begins, ends) if items:
            for item, begin, end in zip(items, begins, ends, strict=True):
                if not isinstance(item, Object):
                    raise Flaw("syntax")
                yield item, begin, end
        case Array():
            raise Flaw("empty")
        case None if "Statement" not in top.members:
            raise Flaw("missing-field", field="Statement")
        case _:
            raise Flaw("syntax")


def _read_clause(statement: Object, start: int, end: int) -> Clause:
    members = statement.members
    _refuse_unknown(statement, _ELEMENTS)
    for element in ("Action", "Resource", "Principal"):
        if element in members and f"Not{element}" in members:
            raise Flaw("syntax")
    if "Effect" not in members:
        raise Flaw("missing-field", field="Effect")
    sid = members.get("Sid", "")
    effect = members["Effect"]
    if not isinstance(sid, str) or not isinstance(effect, str):
        raise Flaw("syntax")
    return Clause(
        sid=sid or None,
        effect=effect,
        actions=_either(members, "Action"),
        not_actions="NotAction" in members,
        resources=_either(members, "Resource"),
        not_resources="NotResource" in members,
        principals=_read_principals(members),
        not_principals="NotPrincipal" in members,
        conditions=tuple(_read_conditions(members)),
        start=start,
        end=end,
    )


def _either(members: Mapping[str, Value], element: str) -> Strings | None:
    """The strings of the element or of its Not- twin."""
    for name in (element, f"Not{element}"):
        if name in members:
            return _strings(members[name])
    return None


def _strings(value: Value) -> Strings:
    items = value.items if isinstance(value, Array) else [value]
    strings = tuple(item for item in items if isinstance(item, str))
    if len(strings) != len(items):
        raise Flaw("syntax")
    return strings


def _read_principals(members: Mapping[str, Value]) -> Mapping[str, Strings] | None:
    for name in ("Principal", "NotPrincipal"):
        match members.get(name):
            case "*":
                return {"AWS": ("*",)}
            case Object(principals) if principals:
                return {_principal_type(key): _strings(each) for key, each in principals.items()}
            case None if name not in members:
                continue
            case _:
                raise Flaw("syntax")
    return None


def _principal_type(key: str) -> str:
    if key not in _PRINCIPAL_TYPES:
        raise Flaw("unknown-field", field=key)
    return key


def _read_conditions(members: Mapping[str, Value]) -> Iterator[RawCondition]:
    blocks = members.get("Condition", Object({}, 0, 0))
    if not isinstance(blocks, Object):
        raise Flaw("syntax")
    for name, block in blocks.members.items():
        operator = find_operator(name)
        if not isinstance(block, Object) or operator is None:
            raise Flaw("syntax")
        seen: set[str] = set()
        for key, values in block.members.items():
            if key.lower() in seen:
                raise Flaw("syntax")
            seen.add(key.lower())
            yield RawCondition(operator, key, _condition_values(values))


def _condition_values(value: Value) -> Strings:
    items = value.items if isinstance(value, Array) else [value]
    return tuple(_scalar(item) for item in items)


def _scalar(value: Value) -> str:
    """Numbers and booleans are taken as their text, as IAM takes them."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Number(text):
            return text
        case _:
            raise Flaw("syntax")
