"""JSON Schema as a grammar: what it accepts is valid, and it accepts what is valid."""

import json
from typing import Any

import pytest
import re2
from gbnf import accepts
from hypothesis import given, strategies as st

from outcrop.prompting.errors import SchemaInvalid, SchemaUnsupported
from outcrop.prompting.grammar import Grammar
from outcrop.prompting.schemas import check, explain


def _grammar(schema: dict[str, Any]) -> str:
    check(schema)
    grammar = Grammar()
    grammar.rule(grammar.schema(schema), "root")
    return grammar.render()


def _accepts(schema: dict[str, Any], value: Any) -> bool:
    return accepts(_grammar(schema), json.dumps(value, ensure_ascii=False))


_PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_PERSON, {"name": "Ada"}),
        (_PERSON, {"name": "日本語 😀", "age": 36, "tags": ["a", "b"]}),
        (_PERSON, {"name": 'q"\\', "tags": []}),
        ({"type": "object"}, {"free": [1, {"a": None}], "b": True}),
        ({"type": "object"}, {}),
        ({}, [1, "a", None]),
        ({"enum": ["a", 1, None, {"x": [1]}]}, {"x": [1]}),
        ({"const": "line\nbreak"}, "line\nbreak"),
        ({"type": ["string", "null"]}, None),
        ({"anyOf": [{"type": "integer"}, {"const": "x"}]}, "x"),
        ({"oneOf": [{"type": "boolean"}, {"type": "number"}]}, -1.5e3),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 2, 3]),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, [1]),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]}, [1, None]),
        ({"type": "integer", "minimum": -1, "maximum": 3}, -1),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "null"}}}, None),
        (
            {"allOf": [{"properties": {"a": {"type": "null"}}}], "required": ["a"]},
            {"a": None},
        ),
        ({"type": "object", "required": ["x"]}, {"x": 1}),
        ({"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": True},
         {"a": 1, "b": 2}),
        ({"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"}, "ABC-42"),
        ({"type": "string", "pattern": "^(?:a|b\\.c)?\\d{2,}$"}, "b.c123"),
        ({"type": "string", "pattern": "needle"}, "hay needle hay"),
        ({"type": "string", "pattern": "^[^a-z\\]]+$"}, "AB 12"),
    ],
)  # fmt: skip
def test_valid_values_are_accepted(schema: dict[str, Any], value: Any) -> None:
    assert explain(value, schema) is None
    assert _accepts(schema, value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_PERSON, {}),
        (_PERSON, {"name": ""}),
        (_PERSON, {"name": "x" * 21}),
        (_PERSON, {"name": "a", "age": -1}),
        (_PERSON, {"name": "a", "age": 1.5}),
        (_PERSON, {"name": "a", "other": 1}),
        (_PERSON, {"name": "a", "tags": ["1", "2", "3", "4"]}),
        ({"type": "object", "required": ["x"]}, {"y": 1}),
        ({"enum": ["a"]}, "b"),
        ({"type": "integer", "minimum": 1, "maximum": 3}, 4),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, [None]),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "ABCD"),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, [1, 2]),
    ],
)
def test_invalid_values_are_refused(schema: dict[str, Any], value: Any) -> None:
    assert not _accepts(schema, value)


@pytest.mark.parametrize(
    "text", ['{"name":"a"}', '{"name":  "a"}', ' {"name": "a"}', '{"name": "a"']
)
def test_white_space_is_fixed_so_that_a_model_cannot_loop_in_it(text: str) -> None:
    assert not accepts(_grammar(_PERSON), text)


def test_a_recursive_schema_is_a_recursive_grammar() -> None:
    node: dict[str, Any] = {
        "anyOf": [
            {"type": "null"},
            {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
        ]
    }
    assert _accepts(node, {"next": {"next": {"next": None}}})
    assert not _accepts(node, {"next": 1})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "http://169.254.169.254/schema.json"},
        {"$ref": "#/$defs/missing"},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "(a+)+\\1$"},
        {"type": "string", "pattern": "a{1000000}"},
        {"patternProperties": {"(a+)+$": {}}},
        {"not": {"pattern": "(a+)+$"}},
        {"type": "string", "minLength": 100000},
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"properties": {"a": False}, "required": ["a"]},
    ],
)
def test_what_a_grammar_cannot_say_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaUnsupported):
        _grammar(schema)


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(SchemaInvalid):
        check({"type": "strong"})


def test_a_schema_too_deep_or_too_large_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"properties": {"a": deep}}
    for schema in (deep, {"description": "x" * 200_000}):
        with pytest.raises(SchemaUnsupported):
            check(schema)


def test_a_remote_reference_is_not_fetched_when_a_value_is_checked() -> None:
    with pytest.raises(SchemaUnsupported):
        explain(1, {"$ref": "http://127.0.0.1:9/schema.json"})


_SIMPLE: list[dict[str, Any]] = [{"enum": ["a", 'b"c']}, {"const": 3}, {}]
_KINDS = ("string", "integer", "number", "boolean", "null")
_LEAVES = st.sampled_from([*_SIMPLE, *({"type": kind} for kind in _KINDS)])
_NAMES = st.sampled_from(["a", "b", 'quo"te', "ü", ""])


Schema = dict[str, Any]


def _object(properties: dict[str, Schema], required: list[str], extra: bool) -> Schema:
    present = [name for name in required if name in properties]
    # A further property may bear a declared name: that is for the check of the finished value.
    kind: Schema = {"type": "object", "additionalProperties": extra and not properties}
    return {**kind, "properties": properties, "required": present}


def _array(items: Schema, low: int) -> Schema:
    return {"type": "array", "items": items, "minItems": low}


def _union(branches: list[Schema]) -> Schema:
    return {"anyOf": branches}


def _compound(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    objects = st.builds(
        _object,
        st.dictionaries(_NAMES, inner, max_size=4),
        st.lists(_NAMES, unique=True),
        st.booleans(),
    )
    arrays = st.builds(_array, inner, st.integers(0, 2))
    return objects | arrays | st.builds(_union, st.lists(inner, min_size=1, max_size=3))


_SCHEMAS = st.recursive(_LEAVES, _compound, max_leaves=6)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", 'b"c', ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=5,
)


@given(_SCHEMAS, _VALUES)
def test_what_the_grammar_accepts_the_schema_accepts(schema: dict[str, Any], value: Any) -> None:
    if _accepts(schema, value):
        assert explain(value, schema) is None


_WORDS = st.sampled_from(
    ["object", "array", "string", "a", "^a+$", "[", "#", "#/$defs/a", "http://a/b"]
)
_KEYWORDS = st.sampled_from(
    ["type", "properties", "$ref", "items", "enum", "const", "anyOf", "oneOf", "allOf",
     "pattern", "required", "$defs", "not", "prefixItems", "additionalProperties", "minItems",
     "maxLength", "a"]
)  # fmt: skip
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 300) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYWORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_KEYWORDS, _DOCUMENTS, max_size=4), _VALUES)
def test_any_document_is_compiled_or_refused(schema: dict[str, Any], value: Any) -> None:
    try:
        grammar = _grammar(schema)
    except (SchemaInvalid, SchemaUnsupported):
        return
    assert accepts(grammar, json.dumps(value)) in (True, False)


_PATTERN_PIECES = st.sampled_from(
    [*"ab^$.|?*+()[]{}\\-,1d\"'w ", "[a-c]", "(?:", "{1,2}", "\\d", "[^", "\\\\"]
)


@given(st.lists(_PATTERN_PIECES, max_size=8).map("".join), st.text("ab1 -^", max_size=5))
def test_a_pattern_is_translated_faithfully_or_refused(pattern: str, text: str) -> None:
    try:
        grammar = _grammar({"type": "string", "pattern": pattern})
    except (SchemaInvalid, SchemaUnsupported):
        return
    assert accepts(grammar, json.dumps(text)) == _matches(_ecma(pattern), text)


def _matches(pattern: str, text: str) -> bool:
    engine: Any = re2
    return bool(engine.search(pattern, text))


def _ecma(pattern: str) -> str:
    """RE2 writes some escapes otherwise than JavaScript, in which patterns are written."""
    return pattern.replace("\\-", "\\x2D").replace("\\'", "\\x27").replace("\\,", ",")
