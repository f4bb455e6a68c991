"""The smallest value that a JSON Schema allows, for the scripted engine's structured answers."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import jsonschema
import jsonschema.validators

_BY_TYPE: dict[str, Any] = {"string": "", "boolean": False, "null": None}


def find_smallest(schema: Mapping[str, Any]) -> tuple[Any] | None:
    """The value in a 1-tuple (it may be null), or ``None`` where these simple rules find none."""
    value = _smallest(schema)
    kind = jsonschema.validators.validator_for(schema)
    try:
        kind.check_schema(dict(schema))
        valid = kind(schema).is_valid(value)
    except jsonschema.SchemaError:
        return None
    return (value,) if valid else None


def _smallest(schema: Mapping[str, Any]) -> Any:
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for combined in ("anyOf", "oneOf", "allOf"):
        if schema.get(combined):
            return _smallest(schema[combined][0])
    return _of_type(_type(schema), schema)


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    return kind if isinstance(kind, str) else cast(Sequence[str], kind)[0]


def _of_type(kind: str, schema: Mapping[str, Any]) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _smallest(properties.get(name, {})) for name in schema.get("required", ())}
    if kind == "array":
        return [_smallest(schema.get("items", {})) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return (
            max(schema.get("minimum", 0), 0) if schema.get("maximum", 0) >= 0 else schema["maximum"]
        )
    if kind == "string":
        return "a" * schema.get("minLength", 0)
    return _BY_TYPE.get(kind)
