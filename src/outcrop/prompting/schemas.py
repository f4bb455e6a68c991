"""JSON Schemas callers send: checked before they are used, and values checked against them after.

Nothing here fetches a remote reference or runs a caller's regular expression: both would let a
schema attack the server. A ``pattern`` is kept by the grammar (``grammar``), not checked here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import jsonschema.validators
import msgspec
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from outcrop.prompting.errors import SchemaInvalid, SchemaUnsupported

MAX_SCHEMA_BYTES = 100_000
MAX_DEPTH = 64
# jsonschema would compile each pattern with Python's re, which is neither JavaScript's nor safe.
_NO_FORMATS = FormatChecker(formats=())
PATTERN_KEYWORDS = (b'"pattern":', b'"patternProperties":')


def check(schema: Mapping[str, Any]) -> None:
    """Raises SchemaInvalid or, for one too large to handle, SchemaUnsupported."""
    _require_size(schema)
    try:
        Draft202012Validator.check_schema(schema, format_checker=_NO_FORMATS)
    except SchemaError as error:
        raise SchemaInvalid(f"{error.json_path}: {error.message}") from error


def explain(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why ``value`` is not valid, or ``None`` when it is."""
    try:
        for error in _validator(schema).iter_errors(value):
            return f"{error.json_path}: {error.message}"
    except Unresolvable as error:
        raise SchemaUnsupported(f"a reference leads nowhere in the schema: {error}") from error
    except RecursionError as error:
        raise SchemaUnsupported("the schema refers to itself without end") from error
    return None


def has_pattern(schema: Any) -> bool:
    encoded = msgspec.json.encode(schema)
    return any(keyword in encoded for keyword in PATTERN_KEYWORDS)


def _validator(schema: Mapping[str, Any]) -> Any:
    registry: Registry[Any] = Registry()
    return _Validator(schema, registry=registry)


def _pattern(
    _validator: Any, _pattern: str, _instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    return iter(())


def _one_of(
    validator: Any, branches: list[Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    # With patterns unchecked, two branches may seem to match where only one does.
    keyword = "anyOf" if has_pattern(branches) else "oneOf"
    yield from Draft202012Validator.VALIDATORS[keyword](validator, branches, instance, schema)


_validators: Any = jsonschema.validators
_Validator: Any = _validators.extend(Draft202012Validator, {"pattern": _pattern, "oneOf": _one_of})


def _require_size(schema: Any) -> None:
    try:
        size = len(msgspec.json.encode(schema))
    except RecursionError as error:
        raise SchemaUnsupported("the schema is nested too deeply") from error
    if size > MAX_SCHEMA_BYTES:
        raise SchemaUnsupported(f"the schema has {size} bytes, the limit is {MAX_SCHEMA_BYTES}")
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise SchemaUnsupported(f"the schema is nested more than {MAX_DEPTH} levels deep")


def _children(node: Any) -> list[Any]:
    if isinstance(node, Mapping):
        return list(cast(Mapping[str, Any], node).values())
    return list(cast(Sequence[Any], node)) if isinstance(node, list | tuple) else []
