"""Body validation in AWS's words: a JSON Schema subset, compiled once, worded like everit-org's.

Decimals are named ``BigDecimal`` and integers ``Integer``, ``Long`` or ``BigInteger`` by size, as
that validator's JSON reader does. One keyword is ours: ``bare`` leaves the pointer of a top-level
property out when its violation is the only one, as AWS does for some models' prompts.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from outcrop.catalog.model import Model
from outcrop.errors import ValidationException

Violation = tuple[str, str]
Check = Callable[[Any, str, list[Violation]], None]
T = TypeVar("T")

_CACHED: Final = 512
# A body may break a rule millions of times; nobody reads more than this.
_MOST_VIOLATIONS: Final = 64
_MOST_QUOTED_CHARS: Final = 1_000
_JAVA_NAMES: Final = {
    "object": "JSONObject",
    "array": "JSONArray",
    "string": "String",
    "number": "Number",
    "integer": "Integer",
    "boolean": "Boolean",
    "null": "Null",
}
_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}

# Keyed by identity; the value keeps its schema alive, so an identity is never another schema's.
_compiled: dict[int, tuple[Mapping[str, Any], Check]] = {}


def check(schema: Mapping[str, Any], body: Any) -> None:
    """Raises ValidationException when ``body`` breaks ``schema``."""
    violations: list[Violation] = []
    _check_of(schema)(body, "#", violations)
    if not violations:
        return
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    if len(violations) == 1 and any(
        violations[0][0] == f"#/{name}" for name, each in properties.items() if each.get("bare")
    ):
        violations = [("#", violations[0][1])]
    raise malformed(violations)


def malformed(violations: list[Violation]) -> ValidationException:
    """AWS's error for violations given as (pointer, text)."""
    if len(violations) == 1 and violations[0][0] == "#":
        text = violations[0][1]
    else:
        text = "".join(f"{pointer}: {told}" for pointer, told in violations)
    return ValidationException(
        f"Malformed input request: {text}, please reformat your input and try again."
    )


def limits(model: Model, name: str, **schema: Any) -> dict[str, Any]:
    """``schema`` of the body's member ``name``, with the range the catalog gives it."""
    parameter = model.parameters.get(name)
    if parameter is not None:
        if parameter.minimum is not None:
            schema["minimum"] = parameter.minimum
        if parameter.maximum is not None:
            schema["maximum"] = parameter.maximum
    return schema


def default(model: Model, name: str, fallback: Any) -> Any:
    """The catalog's default of the body's member ``name``, else ``fallback``."""
    parameter = model.parameters.get(name)
    return fallback if parameter is None or parameter.default is None else parameter.default


def per_model(build: Callable[[Model], T]) -> Callable[[Model], T]:
    """Keeps what ``build`` makes of a model, for a bounded number of models.

    A model is told apart by identity (its mappings cannot be hashed), and kept alive while cached.
    """
    built: dict[int, tuple[Model, T]] = {}

    def of(model: Model) -> T:
        known = built.get(id(model))
        if known is None:
            if len(built) >= _CACHED:
                built.clear()
            known = built[id(model)] = (model, build(model))
        return known[1]

    return of


def type_name(value: Any) -> str:
    """The name of a JSON value's type in AWS's messages."""
    match value:
        case None:
            return "Null"
        case bool():
            return "Boolean"
        case int():
            if -(2**31) <= value < 2**31:
                return "Integer"
            return "Long" if -(2**63) <= value < 2**63 else "BigInteger"
        case float():
            return "BigDecimal"
        case str():
            return "String"
        case list():
            return "JSONArray"
        case _:
            return "JSONObject"


def _check_of(schema: Mapping[str, Any]) -> Check:
    known = _compiled.get(id(schema))
    if known is None:
        if len(_compiled) >= _CACHED:
            _compiled.clear()
        known = _compiled[id(schema)] = (schema, _compile(schema))
    return known[1]


def _compile(schema: Mapping[str, Any]) -> Check:
    checks = [
        compile_keyword(schema)
        for keywords, compile_keyword in _KEYWORDS
        if any(keyword in schema for keyword in keywords)
    ]
    is_type = _type_test(schema)
    names = _type_names(schema)

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        if not is_type(value):
            found = type_name(value)
            violations.extend(
                (pointer, f"expected type: {_JAVA_NAMES[name]}, found: {found}") for name in names
            )
            return
        for each in checks:
            each(value, pointer, violations)

    return run


def _type_names(schema: Mapping[str, Any]) -> tuple[str, ...]:
    names: str | list[str] = schema.get("type", [])
    return (names,) if isinstance(names, str) else tuple(names)


def _type_test(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    names = _type_names(schema)
    if not names:
        return lambda value: True
    allowed = tuple(cls for name in names for cls in _PYTHON_TYPES[name])
    if "boolean" in names or int not in allowed:
        return lambda value: isinstance(value, allowed)
    # True is an int to Python and not to JSON.
    return lambda value: isinstance(value, allowed) and value is not True and value is not False


def _negations(schema: Mapping[str, Any]) -> Check:
    refused = cast("Mapping[str, Any]", schema["not"])
    inner = _compile(refused)
    text = f"subject must not be valid against schema {msgspec.json.encode(refused).decode()}"

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        if not _violations(inner, value, pointer):
            violations.append((pointer, text))

    return run


def _alternatives(schema: Mapping[str, Any]) -> Check:
    is_exclusive = "oneOf" in schema
    checks = [_compile(option) for option in schema["oneOf" if is_exclusive else "anyOf"]]

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        failures = [_violations(each, value, pointer) for each in checks]
        matched = failures.count([])
        if matched == 0:
            violations.extend(failure for option in failures for failure in option)
        elif is_exclusive and matched > 1:
            violations.append((pointer, f"{matched} subschemas matched instead of one"))

    return run


def _enumeration(schema: Mapping[str, Any]) -> Check:
    allowed: tuple[Any, ...] = tuple(schema["enum"])

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        if value not in allowed:
            violations.append((pointer, f"{_quoted(value)} is not a valid enum value"))

    return run


def _objects(schema: Mapping[str, Any]) -> Check:
    required: tuple[str, ...] = tuple(schema.get("required", ()))
    is_closed = schema.get("additionalProperties") is False
    subschemas: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    properties = {name: _compile(each) for name, each in subschemas.items()}

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        if not isinstance(value, dict):
            return
        members = cast("dict[str, Any]", value)
        for name in required:
            if name not in members:
                violations.append((pointer, f"required key [{name}] not found"))
        if is_closed:
            _refuse_extraneous(members, properties, pointer, violations)
        for name, member in members.items():
            inner = properties.get(name)
            if inner is not None:
                inner(member, f"{pointer}/{_escaped(name)}", violations)

    return run


def _refuse_extraneous(
    members: dict[str, Any],
    properties: Mapping[str, Check],
    pointer: str,
    violations: list[Violation],
) -> None:
    for name in members:
        if name not in properties:
            violations.append((pointer, f"extraneous key [{_quoted(name)}] is not permitted"))
            if len(violations) >= _MOST_VIOLATIONS:
                return


def _arrays(schema: Mapping[str, Any]) -> Check:
    fewest: int = schema.get("minItems", 0)
    most: int | None = schema.get("maxItems")
    items = _compile(schema["items"]) if "items" in schema else None

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        if not isinstance(value, list):
            return
        elements = cast("list[Any]", value)
        count = len(elements)
        if count < fewest:
            violations.append((pointer, f"expected minimum item count: {fewest}, found: {count}"))
        if most is not None and count > most:
            violations.append((pointer, f"expected maximum item count: {most}, found: {count}"))
        if items is not None:
            for index, element in enumerate(elements):
                items(element, f"{pointer}/{index}", violations)
                if len(violations) >= _MOST_VIOLATIONS:
                    return

    return run


def _strings(schema: Mapping[str, Any]) -> Check:
    shortest: int = schema.get("minLength", 0)
    longest: int | None = schema.get("maxLength")
    pattern = re.compile(schema["pattern"]) if "pattern" in schema else None

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        if not isinstance(value, str):
            return
        length = len(value)
        if length < shortest:
            violations.append((pointer, f"expected minLength: {shortest}, actual: {length}"))
        if longest is not None and length > longest:
            violations.append((pointer, f"expected maxLength: {longest}, actual: {length}"))
        if pattern is not None and not pattern.search(value):
            text = f"string [{_quoted(value)}] does not match pattern {pattern.pattern}"
            violations.append((pointer, text))

    return run


def _numbers(schema: Mapping[str, Any]) -> Check:
    least: float | None = schema.get("minimum")
    most: float | None = schema.get("maximum")

    def run(value: Any, pointer: str, violations: list[Violation]) -> None:
        if not isinstance(value, (int, float)):
            return
        if least is not None and value < least:
            text = f"{_quoted(value)} is not greater or equal to {_number(least)}"
            violations.append((pointer, text))
        if most is not None and value > most:
            text = f"{_quoted(value)} is not less or equal to {_number(most)}"
            violations.append((pointer, text))

    return run


def _violations(inner: Check, value: Any, pointer: str) -> list[Violation]:
    found: list[Violation] = []
    inner(value, pointer, found)
    return found


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        text = _number(value) if abs(value) >= 1e16 else repr(value)
    else:
        text = msgspec.json.encode(value).decode()
    return text[:_MOST_QUOTED_CHARS]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1") if "~" in name or "/" in name else name


# In the order in which the messages of one value follow each other.
_KEYWORDS: Final[tuple[tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Check]], ...]] = (
    (("not",), _negations),
    (("anyOf", "oneOf"), _alternatives),
    (("enum",), _enumeration),
    (("required", "properties", "additionalProperties"), _objects),
    (("minItems", "maxItems", "items"), _arrays),
    (("minLength", "maxLength", "pattern"), _strings),
    (("minimum", "maximum"), _numbers),
)
