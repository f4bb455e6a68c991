"""The messages of body validation, word for word."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from outcrop.catalog.model import Model, Parameter
from outcrop.dialects.schema import check, default, limits, per_model
from outcrop.errors import ValidationException

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["prompt"],
    "additionalProperties": False,
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "maxLength": 12},
        "bare": {"type": "string", "maxLength": 3, "bare": True},
        "size": {"type": "integer", "minimum": 0, "maximum": 2048.0},
        "heat": {"type": "number", "minimum": 0, "maximum": 1.5},
        "stops": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {"type": "string", "pattern": r"^(\|+|User:)$"},
        },
        "mode": {"enum": ["a", "b"]},
        "text": {"type": ["string", "null"]},
        "either": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}]},
        "one": {"oneOf": [{"type": "number"}, {"type": "integer"}]},
        "a/b": {"type": "object", "required": ["c"]},
    },
}
CASES: list[tuple[Any, str]] = [
    ({}, "required key [prompt] not found"),
    ([], "expected type: JSONObject, found: JSONArray"),
    ({"prompt": "p", "x": 1}, "extraneous key [x] is not permitted"),
    (
        {"top_p": 1, "max": 1},
        "#: required key [prompt] not found#: extraneous key [top_p] is not permitted"
        "#: extraneous key [max] is not permitted",
    ),
    ({"prompt": ""}, "#/prompt: expected minLength: 1, actual: 0"),
    ({"prompt": "🌋" * 13}, "#/prompt: expected maxLength: 12, actual: 13"),
    ({"prompt": "p", "bare": "long"}, "expected maxLength: 3, actual: 4"),
    (
        {"prompt": 1, "bare": "long"},
        "#/prompt: expected type: String, found: Integer#/bare: expected maxLength: 3, actual: 4",
    ),
    ({"prompt": "p", "size": 8192}, "#/size: 8192 is not less or equal to 2048"),
    ({"prompt": "p", "size": -1}, "#/size: -1 is not greater or equal to 0"),
    ({"prompt": "p", "size": 1.0}, "#/size: expected type: Integer, found: BigDecimal"),
    ({"prompt": "p", "size": True}, "#/size: expected type: Integer, found: Boolean"),
    ({"prompt": "p", "size": None}, "#/size: expected type: Integer, found: Null"),
    ({"prompt": "p", "prompt ": 1}, "extraneous key [prompt ] is not permitted"),
    ({"prompt": 2**40}, "#/prompt: expected type: String, found: Long"),
    ({"prompt": 2**64}, "#/prompt: expected type: String, found: BigInteger"),
    ({"prompt": {}}, "#/prompt: expected type: String, found: JSONObject"),
    ({"prompt": "p", "heat": 1.75}, "#/heat: 1.75 is not less or equal to 1.5"),
    ({"prompt": "p", "stops": "x"}, "#/stops: expected type: JSONArray, found: String"),
    ({"prompt": "p", "stops": []}, "#/stops: expected minimum item count: 1, found: 0"),
    ({"prompt": "p", "stops": ["|"] * 3}, "#/stops: expected maximum item count: 2, found: 3"),
    (
        {"prompt": "p", "stops": ["Observation"]},
        r"#/stops/0: string [Observation] does not match pattern ^(\|+|User:)$",
    ),
    ({"prompt": "p", "mode": "foo"}, "#/mode: foo is not a valid enum value"),
    (
        {"prompt": "p", "text": 1},
        "#/text: expected type: String, found: Integer#/text: expected type: Null, found: Integer",
    ),
    (
        {"prompt": "p", "either": []},
        "#/either: expected type: String, found: JSONArray"
        "#/either: expected minimum item count: 1, found: 0",
    ),
    ({"prompt": "p", "one": 1}, "#/one: 2 subschemas matched instead of one"),
    ({"prompt": "p", "a/b": {}}, "#/a~1b: required key [c] not found"),
]


@pytest.mark.parametrize(("body", "text"), CASES)
def test_a_violation_is_told_in_awss_words(body: Any, text: str):
    with pytest.raises(ValidationException) as caught:
        check(SCHEMA, body)
    expected = f"Malformed input request: {text}, please reformat your input and try again."
    assert caught.value.message == expected


def test_a_body_within_the_schema_passes():
    check(SCHEMA, {"prompt": "p", "size": 2048, "heat": 1, "stops": ["||", "User:"], "one": 1.5})


def test_a_negated_schema_is_told_with_the_schema():
    schema = {"type": "object", "not": {"required": ["messages"]}, "additionalProperties": False}
    with pytest.raises(ValidationException) as caught:
        check(schema, {"messages": []})
    assert caught.value.message == (
        'Malformed input request: #: subject must not be valid against schema {"required":'
        '["messages"]}#: extraneous key [messages] is not permitted, please reformat your input '
        "and try again."
    )


def test_a_hostile_body_gets_a_bounded_message():
    with pytest.raises(ValidationException) as caught:
        check(SCHEMA, {"x" * 100_000 + str(n): n for n in range(1_000)})
    assert len(caught.value.message) < 100_000


def test_limits_and_defaults_are_the_catalogs():
    model = Model("m", "M", "P", "d", ("TEXT",), ("TEXT",), parameters={"t": Parameter(0, 1, 0.5)})
    assert limits(model, "t", type="number") == {"type": "number", "minimum": 0, "maximum": 1}
    assert limits(model, "u", type="number", minimum=3) == {"type": "number", "minimum": 3}
    assert default(model, "t", 9) == 0.5
    assert default(model, "u", 9) == 9


def test_what_is_built_per_model_is_built_once_and_told_apart():
    built: list[Model] = []

    def build(model: Model) -> int:
        built.append(model)
        return len(built)

    of = per_model(build)
    first = Model("m", "M", "P", "d", ("TEXT",), ("TEXT",))
    second = Model("m", "M", "P", "d", ("TEXT",), ("TEXT",), context_tokens=1)
    assert [of(first), of(second), of(first)] == [1, 2, 1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(SCHEMA["properties"])) | st.text(max_size=5), JSON))
def test_any_json_passes_or_is_refused(body: dict[str, Any]):
    try:
        check(SCHEMA, body)
    except ValidationException as error:
        msgspec.json.encode(error.message)
