"""Validation: AWS's words, nested paths, and no value of anything sensitive."""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

import pytest
from botocore.model import ServiceModel
from hypothesis import given, settings, strategies as st

from outcrop.errors import AWSError, SerializationException, ValidationException
from outcrop.wire import patterns
from outcrop.wire.http import Request
from outcrop.wire.parse import parse_request
from outcrop.wire.routing import Router
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation, Service, load_service
from outcrop.wire.validate import MAX_ERRORS, validate


def refusal(service: str, name: str, params: dict[str, Any]) -> str:
    with pytest.raises(ValidationException) as caught:
        validate(load_service(service).operations[name], params)
    return caught.value.message


def of_converse(**params: Any) -> str:
    return refusal("bedrock-runtime", "Converse", {"modelId": "m.m", **params})


def constraint(path: str, text: str, shown: str = "") -> str:
    return f"Value {shown}at '{path}' failed to satisfy constraint: Member must {text}"


def tool(**spec: Any) -> dict[str, Any]:
    return {"toolSpec": {"inputSchema": {"json": {}}, **spec}}


def test_the_recorded_refusal_of_an_empty_tool_name_is_met_word_for_word() -> None:
    # github.com/BerriAI/litellm/issues/24668
    name = "toolConfig.tools.1.member.toolSpec.name"
    description = "toolConfig.tools.1.member.toolSpec.description"
    assert of_converse(toolConfig={"tools": [tool(name="", description="")]}) == (
        "3 validation errors detected: "
        + constraint(name, "satisfy regular expression pattern: [a-zA-Z0-9_-]+", "'' ")
        + "; "
        + constraint(name, "have length greater than or equal to 1", "'' ")
        + "; "
        + constraint(description, "have length greater than or equal to 1", "'' ")
    )


def test_the_recorded_refusal_of_a_bad_tool_use_hides_the_value() -> None:
    # github.com/openclaw/openclaw/issues/12892
    use: dict[str, Any] = {"toolUse": {"toolUseId": "a", "name": "x." * 40, "input": {}}}
    where = "messages.2.member.content.1.member.toolUse.name"
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"text": "hi"}]},
        {"role": "assistant", "content": [use]},
    ]
    assert of_converse(messages=messages) == (
        "2 validation errors detected: "
        + constraint(where, "have length less than or equal to 64")
        + "; "
        + constraint(where, "satisfy regular expression pattern: [a-zA-Z0-9_-]+")
    )


def test_the_recorded_refusal_of_no_tools_shows_no_value() -> None:
    # github.com/Portkey-AI/gateway/issues/1124
    assert of_converse(toolConfig={"tools": []}) == (
        "1 validation error detected: "
        + constraint("toolConfig.tools", "have length greater than or equal to 1")
    )


def test_a_missing_member_is_null() -> None:
    assert refusal("bedrock-runtime", "Converse", {}) == (
        "1 validation error detected: " + constraint("modelId", "not be null", "null ")
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"maxTokens": 0}, ("maxTokens", "have value greater than or equal to 1", "'0' ")),
        ({"temperature": 99.0}, ("temperature", "have value less than or equal to 1", "'99.0' ")),
        ({"topP": float("nan")}, ("topP", "have value less than or equal to 1", "'nan' ")),
    ],
)
def test_values_out_of_range_are_shown(config: Any, expected: tuple[str, str, str]) -> None:
    path, text, shown = expected
    assert constraint(f"inferenceConfig.{path}", text, shown) in of_converse(inferenceConfig=config)


def test_an_unknown_enum_value_names_the_known_ones() -> None:
    params = {"modelId": "a.b", "body": b"{}", "trace": "LOUD"}
    assert refusal("bedrock-runtime", "InvokeModel", params) == (
        "1 validation error detected: "
        + constraint(
            "trace", "satisfy enum value set: [ENABLED, DISABLED, ENABLED_FULL]", "'LOUD' "
        )
    )


def test_scalars_of_a_list_are_refused_together() -> None:
    # As Lambda words it for architectures and subnet IDs.
    message = of_converse(inferenceConfig={"stopSequences": ["ok", ""]})
    assert message == (
        "1 validation error detected: Value '[ok, ]' at 'inferenceConfig.stopSequences' failed to "
        "satisfy constraint: Member must satisfy constraint: [Member must have length greater than "
        "or equal to 1, Member must not be null]"
    )


def test_map_keys_and_values_are_refused_together() -> None:
    params = {"resourceArn": "arn:aws:bedrock:us-east-1:123456789012:agent/ABCDEFGHIJ"}
    message = refusal(
        "bedrock-agent", "TagResource", {**params, "tags": {"k" * 129: "v", "a": "*"}}
    )
    assert "at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [" in message
    assert "at 'tags' failed to satisfy constraint: Map value must satisfy constraint: [" in message
    assert message.startswith("2 validation errors detected: Value '{")


def test_values_below_a_sensitive_shape_are_never_shown() -> None:
    secret = "very secret"
    message = of_converse(
        messages=[{"role": secret, "content": [{"reasoningContent": {"reasoningText": {}}}]}],
        requestMetadata={secret: secret * 100},
    )
    assert secret not in message
    assert "Value at 'messages.1.member.role'" in message
    assert (
        "Value at 'messages.1.member.content.1.member.reasoningContent.reasoningText.text'"
        in message
    )


@pytest.mark.parametrize(
    ("block", "verb"),
    [({}, "must set one"), ({"text": "a", "cachePoint": {"type": "default"}}, "must set only one")],
)
def test_a_union_holds_exactly_one_member(block: dict[str, Any], verb: str) -> None:
    turns = [{"role": "user", "content": [{"text": "a"}]}, {"role": "user", "content": [block]}]
    message = of_converse(messages=turns)
    assert message.startswith(
        f"ContentBlock object at messages.1.content.0 {verb} of the following keys: text, image, "
    )


def test_constraints_come_before_unions() -> None:
    message = of_converse(messages=[{"content": [{}]}])
    assert message == (
        "1 validation error detected: " + constraint("messages.1.member.role", "not be null")
    )


def test_hostile_requests_get_bounded_answers() -> None:
    message = of_converse(messages=[None] * 100_000)
    assert message.startswith(f"{MAX_ERRORS} validation errors detected: ")
    assert len(of_converse(guardrailConfig={"guardrailIdentifier": "x" * 5_000_000})) < 10_000


@pytest.mark.parametrize("depth", [10, 60, 120, 200, 300, 480])
def test_shapes_that_hold_themselves_may_nest_as_deep_as_they_like(depth: int) -> None:
    operation = load_service("bedrock-agent-runtime").operations["Retrieve"]
    head = b'{"retrievalConfiguration":{"vectorSearchConfiguration":{"filter":'
    body = head + b'{"andAll":[' * depth + b"{}" + b"]}" * depth + b"}}}"
    request = Request("POST", "/", "", (), body, "localhost")
    with pytest.raises((ValidationException, SerializationException)):
        validate(operation, parse_request(operation, request, {"knowledgeBaseId": "ABCDEFGHIJ"}))


def test_a_header_of_no_valid_text_is_refused() -> None:
    params = {"modelId": "a.b", "guardrailIdentifier": "\udcff", "guardrailVersion": "1"}
    assert "regular expression pattern" in refusal("bedrock-runtime", "InvokeModel", params)


HOSTILE = ("a" + "-" * 62, "a-" * 31 + "!", "-" * 63 + "!", "arn:aws" + ":a-" * 600, " " * 2000)


def test_every_pattern_answers_on_hostile_texts(models: dict[str, ServiceModel]) -> None:
    # An exponential matcher would not come back from the first of these.
    assert not patterns.fits(r"[a-zA-Z0-9](-*[a-zA-Z0-9\+\-\.])*", "a" + "-" * 2000 + "!")
    for pattern in patterns_of(models):
        for text in HOSTILE:
            assert patterns.fits(pattern, text) in (True, False)


def test_only_known_patterns_run_on_a_backtracking_matcher(models: dict[str, ServiceModel]) -> None:
    # Each is linear as it stands: one bounded repeat after another, or a look-ahead of one scan.
    assert {pattern for pattern in patterns_of(models) if not patterns.is_linear(pattern)} == {
        r"arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]{9,16}:[0-9]{12}:model-package/[\S]{1,2048}",
        r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.{1,1024}",
        r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.{1,1024}$",
        r"(?![\-_+.])[a-z0-9][a-z0-9\-_\.]*",
        r"^(?!\s*$).+",
    }


def patterns_of(models: dict[str, ServiceModel]) -> set[str]:
    shapes = [
        model.shape_for(name) for model in models.values() for name in cast(Any, model.shape_names)
    ]
    return {shape.metadata["pattern"] for shape in shapes if "pattern" in shape.metadata}


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("[0-9a-zA-Z]{10}", "ABCDEFGHIJ", True),
        ("[0-9a-zA-Z]{10}", "ABCDEFGHIJK", False),
        ("a|b", "ab", False),
        (r"[^\p{C}]*", "日本語", True),
        (r"[^\p{C}]*", "a\x00", False),
        (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "é\n", True),
        (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "語", False),
        (r"[0-9a-zA-Z-_ ]+", "a-b_c d", True),
        (r"\d+", "٣", False),
        ("^(?!\\s*$).+", "  ", False),
    ],
)
def test_patterns_match_whole_texts(pattern: str, text: str, fits: bool) -> None:
    assert patterns.fits(pattern, text) is fits


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@st.composite
def bodies(draw: st.DrawFn, operation: Operation) -> bytes:
    """JSON with the operation's own member names, and of wrong types."""
    names = list(operation.input_layout.body) or ["x"]
    body = draw(st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSON, max_size=4))
    text = json.dumps(body).encode()
    cut = draw(st.integers(0, len(text)))
    return draw(st.sampled_from((text, text[:cut], text[:cut] + b"\xff" + text[cut:])))


def test_a_map_with_sensitive_values_is_not_shown() -> None:
    message = of_converse(promptVariables={"name": {"text": "hidden"}}, requestMetadata={"": "h"})
    assert "h'" not in message
    assert "Value at 'requestMetadata' failed" in message


def mutate(value: Any, steps: list[int], replacement: Any) -> Any:
    """``value`` with the part that ``steps`` lead to replaced."""
    if not steps or not isinstance(value, dict | list) or not value:
        return replacement
    if isinstance(value, dict):
        entries = cast(dict[str, Any], value)
        key = sorted(entries)[steps[0] % len(entries)]
        return {**entries, key: mutate(entries[key], steps[1:], replacement)}
    items = cast(list[Any], value)
    place = steps[0] % len(items)
    return [*items[:place], mutate(items[place], steps[1:], replacement), *items[place + 1 :]]


def plain(value: Any) -> Any:
    """A sampled parameter as JSON holds it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in cast(dict[str, Any], value).items()}
    return [plain(one) for one in cast(list[Any], value)] if isinstance(value, list) else value


@settings(max_examples=600, deadline=None)
@given(st.data(), st.integers(0, 9), st.lists(st.integers(0, 20), max_size=12), JSON)
def test_well_formed_bodies_with_one_wrong_part_meet_aws_errors_only(
    operations: list[Operation],
    sample: Callable[[Shape, int], Any],
    data: st.DataObject,
    seed: int,
    steps: list[int],
    replacement: Any,
) -> None:
    operation = data.draw(st.sampled_from([one for one in operations if one.input_layout.body]))
    body = {m.wire_name: plain(sample(m.shape, seed)) for m in operation.input_layout.body.values()}
    text = json.dumps(mutate(body, steps, replacement)).encode()
    labels = {member.wire_name: "label" for member in operation.input_layout.uri}
    request = Request(operation.method, "/", "", (), text, "localhost")
    with suppress(AWSError):
        validate(operation, parse_request(operation, request, labels))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_is_sent_nothing_but_aws_errors_come_of_it(
    services: list[Service], router: Router, data: st.DataObject
) -> None:
    service = data.draw(st.sampled_from(services))
    name = data.draw(st.sampled_from(sorted(service.operations)))
    operation = service.operations[name]
    labels = st.text(min_size=1, max_size=20) | st.just("arn:aws:bedrock:us-east-1::x/y")
    path = operation.uri
    for member in operation.input_layout.uri:
        path = path.replace(f"{{{member.wire_name}}}", data.draw(labels))
    names = [member.wire_name for member in operation.input_layout.query] or ["q"]
    values = st.text(max_size=12) | st.sampled_from(("1", "true", "2026-01-01T00:00:00Z", "%ff"))
    fields = data.draw(st.lists(st.tuples(st.sampled_from(names), values), max_size=3))
    query = "&".join(f"{key}={value}" for key, value in fields)
    headers = tuple(
        (member.wire_name.lower(), data.draw(st.text(max_size=12)))
        for member in operation.input_layout.headers
    )
    request = Request(
        operation.method, path, query, headers, data.draw(bodies(operation)), "localhost"
    )
    with suppress(AWSError):
        match = router.match(request)
        validate(match.operation, parse_request(match.operation, request, match.labels))
