"""Converse's own checks with AWS's texts, and how a request becomes a Generation."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec import structs

from outcrop.catalog.model import Model, Parameter
from outcrop.dialects import converse
from outcrop.dialects.converse_stream import Events
from outcrop.errors import ValidationException
from outcrop.generation import (
    Completion,
    Finished,
    Generation,
    Sampling,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

_MODEL = Model(
    id="acme.talker",
    name="Talker",
    provider="Acme",
    dialect="none",
    input_modalities=("TEXT",),
    output_modalities=("TEXT",),
    max_output_tokens=1000,
    parameters={
        "temperature": Parameter(0, 1, 0.5),
        "top_p": Parameter(0, 1, 0.9),
        "top_k": Parameter(0, 500, 40),
    },
    supports=frozenset({"converse", "system", "tools", "tool_choice", "count_tokens"}),
)
_SPEC: dict[str, Any] = {
    "name": "f",
    "description": "does",
    "inputSchema": {"json": {"type": "object"}},
}
_TOOLS: dict[str, Any] = {"tools": [{"toolSpec": _SPEC}]}
_USE: dict[str, Any] = {"toolUse": {"toolUseId": "1", "name": "f", "input": {"a": 1}}}
_RESULT: dict[str, Any] = {
    "toolResult": {"toolUseId": "1", "content": [{"text": "x"}, {"json": {"b": [2]}}]}
}


def _message(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


_HI = _message("user", {"text": "Hi"})


def _params(*messages: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"modelId": _MODEL.id, "messages": list(messages or (_HI,)), **others}


def _refusal(params: dict[str, Any], model: Model = _MODEL) -> str:
    with pytest.raises(ValidationException) as caught:
        converse.parse(params, model)
    return caught.value.message


def test_a_request_becomes_a_generation() -> None:
    params = _params(
        _HI,
        _message("assistant", {"text": "Let me see."}, _USE),
        _message("user", _RESULT),
        system=[{"text": "Be brief."}, {"text": "Be kind."}],
        inferenceConfig={"maxTokens": 7, "temperature": 0, "topP": 1, "stopSequences": ["END"]},
        toolConfig={**_TOOLS, "toolChoice": {"tool": {"name": "f"}}},
        requestMetadata={"team": "a"},
    )
    assert converse.parse(params, _MODEL) == Generation(
        turns=(
            Turn("user", (Text("Hi"),)),
            Turn("assistant", (Text("Let me see."), ToolUse("1", "f", {"a": 1}))),
            Turn("user", (ToolResult("1", 'x\n{"b":[2]}'),)),
        ),
        max_tokens=7,
        system="Be brief.\nBe kind.",
        sampling=Sampling(temperature=0, top_p=None, top_k=40),
        stop_sequences=("END",),
        tools=(Tool("f", "does", {"type": "object"}),),
        tool_choice=ToolChoice("tool", "f"),
    )


def test_defaults_come_from_the_catalog() -> None:
    generation = converse.parse(_params(), _MODEL)
    assert generation.max_tokens == 1000
    assert generation.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=40)


def test_structured_output_is_read_from_its_text() -> None:
    schema = {"jsonSchema": {"schema": '{"type": "object"}', "name": "n"}}
    config = {"textFormat": {"type": "json_schema", "structure": schema}}
    assert converse.parse(_params(outputConfig=config), _MODEL).json_schema == {"type": "object"}


def test_neutral_values_of_what_is_not_built_pass() -> None:
    params = _params(
        guardrailConfig={"guardrailIdentifier": "", "guardrailVersion": ""},
        performanceConfig={"latency": "standard"},
        serviceTier={"type": "default"},
        promptVariables={},
        additionalModelRequestFields={},
        outputConfig={},
    )
    assert converse.parse(params, _MODEL) == converse.parse(_params(), _MODEL)


def test_additional_fields_go_through_the_familys_dialect() -> None:
    def extend(generation: Generation, fields: Any, model: Model) -> Generation:
        if "top_k" not in fields:
            raise ValidationException("unknown field")
        return structs.replace(
            generation, sampling=structs.replace(generation.sampling, top_k=fields["top_k"])
        )

    params = _params(additionalModelRequestFields={"top_k": 3})
    assert converse.parse(params, _MODEL, extend).sampling.top_k == 3
    with pytest.raises(ValidationException) as caught:
        converse.parse(_params(additionalModelRequestFields={"x": 1}), _MODEL, extend)
    assert caught.value.message == "The model returned the following errors: unknown field"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"modelId": "m"},
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message.",
        ),
        (
            _params(_HI, _message("assistant", {"text": " \n"})),
            "The text field in the ContentBlock object at messages.1.content.0 is blank. "
            "Add text to the text field, and try again.",
        ),
        (
            _params(_message("user")),
            "The content field in the Message object at messages.0 is empty. "
            "Add a ContentBlock object to the content field and try again.",
        ),
        (
            _params(_HI, _message("assistant", _USE), _message("user", _RESULT)),
            "The toolConfig field must be defined when using "
            "toolUse and toolResult content blocks.",
        ),
        (
            _params(_HI, _message("assistant", _USE), _HI, toolConfig=_TOOLS),
            "Expected toolResult blocks at messages.2.content for the following Ids: 1",
        ),
        (
            _params(_message("user", _RESULT), toolConfig=_TOOLS),
            "The number of toolResult blocks at messages.0.content exceeds "
            "the number of toolUse blocks of previous turn.",
        ),
        (
            _params(
                _HI,
                _message("assistant", _USE),
                _message("user", {"toolResult": {"toolUseId": "1", "content": [],
                                                 "status": "error"}}),
                toolConfig=_TOOLS,
            ),
            "The content field at messages.2.content.0.toolResult cannot be empty "
            "when status value is error.",
        ),
        (
            _params(toolConfig={"tools": [{"toolSpec": {**_SPEC, "inputSchema": {"json": "{}"}}}]}),
            "The format of the value at toolConfig.tools.0.toolSpec.inputSchema.json is invalid. "
            "Provide a json object for the field and try again.",
        ),
        (
            _params(inferenceConfig={"maxTokens": 1001}),
            "The maximum tokens you requested exceeds the model limit of 1000. "
            "Try again with a maximum tokens value that is lower than 1000.",
        ),
        (
            _params(_message("user", {"video": {"format": "mp4"}})),
            "This model doesn't support the video content block that you provided. "
            "Update the content block and try again.",
        ),
        (
            _params(guardrailConfig={"guardrailIdentifier": "abc"}),
            "This model doesn't support the guardrailConfig field. "
            "Remove guardrailConfig and try again.",
        ),
    ],
)  # fmt: skip
def test_requests_are_refused_with_the_text_of_aws(params: dict[str, Any], message: str) -> None:
    assert _refusal(params) == message


@pytest.mark.parametrize(
    ("lacks", "params", "message"),
    [
        ("tools", _params(toolConfig=_TOOLS), "This model doesn't support tool use."),
        (
            "tool_choice",
            _params(toolConfig={**_TOOLS, "toolChoice": {"any": {}}}),
            "This model doesn't support the toolConfig.toolChoice.any field. "
            "Remove toolConfig.toolChoice.any and try again.",
        ),
        (
            "system",
            _params(system=[{"text": "s"}]),
            "This model doesn't support system messages. "
            "Try again without a system message or use a model that supports system messages.",
        ),
        (
            "converse",
            _params(),
            "This action doesn't support the model that you provided. "
            "Try again with a supported text or chat model.",
        ),
    ],
)
def test_what_a_model_lacks_is_said(lacks: str, params: dict[str, Any], message: str) -> None:
    assert _refusal(params, replace(_MODEL, supports=_MODEL.supports - {lacks})) == message


@pytest.mark.parametrize(
    "others",
    [
        {"promptVariables": {"a": {"text": "b"}}},
        {"performanceConfig": {"latency": "optimized"}},
        {"serviceTier": {"type": "flex"}},
        {"system": [{"guardContent": {"text": {"text": "a"}}}]},
        {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
        {"toolConfig": {"tools": [{"toolSpec": _SPEC}, {"toolSpec": _SPEC}]}},
        {"toolConfig": {**_TOOLS, "toolChoice": {"tool": {"name": "g"}}}},
        {"toolConfig": {"tools": [
            {"toolSpec": {**_SPEC, "inputSchema": {"json": {"type": "strong"}}}}]}},
        {"toolConfig": {"tools": [
            {"toolSpec": {**_SPEC, "inputSchema": {"json": {"type": "array"}}}}]}},
        {"outputConfig": {"effort": "low"}},
        {"additionalModelRequestFields": {"top_k": 1}},
        {"additionalModelRequestFields": "text"},
    ],
)  # fmt: skip
def test_what_is_not_built_is_refused_not_ignored(others: dict[str, Any]) -> None:
    assert _refusal(_params(**others))


@pytest.mark.parametrize(
    "block",
    [
        {"image": {"format": "png", "source": {"bytes": b"1"}}},
        {"document": {"name": "a", "source": {"text": "b"}}},
        {"guardContent": {"text": {"text": "a"}}},
        {"reasoningContent": {"reasoningText": {"text": "a"}}},
        {"citationsContent": {"content": []}},
        {"searchResult": {"source": "a", "title": "b", "content": []}},
        {"toolUse": _USE["toolUse"]},
        {},
    ],
)
def test_blocks_that_are_not_built_are_refused(block: dict[str, Any]) -> None:
    assert _refusal(_params(_message("user", block), toolConfig=_TOOLS))


def test_every_call_must_be_answered_even_the_last() -> None:
    params = _params(_HI, _message("assistant", _USE), toolConfig=_TOOLS)
    assert _refusal(params).startswith("Expected toolResult blocks at messages.2.content")


def test_results_may_be_spread_over_messages_of_the_user() -> None:
    second: dict[str, Any] = {"toolUse": {"toolUseId": "2", "name": "f", "input": {}}}
    result: dict[str, Any] = {"toolResult": {"toolUseId": "2", "content": []}}
    params = _params(
        _HI,
        _message("assistant", _USE, second),
        _message("user", _RESULT),
        _message("user", result),
        toolConfig=_TOOLS,
    )
    assert converse.parse(params, _MODEL).turns[3].parts == (ToolResult("2", ""),)


def test_counting_tokens_needs_a_model_that_can() -> None:
    params = {"messages": [_HI]}
    assert converse.count_tokens_generation(params, _MODEL).turns == (Turn("user", (Text("Hi"),)),)
    with pytest.raises(ValidationException, match="doesn't support counting tokens"):
        converse.count_tokens_generation(params, replace(_MODEL, supports=frozenset({"converse"})))


_ANSWER = Completion((Text("Hi"),), "stop_sequence", 3, 2, stop_sequence="END")
_PATHS: dict[str, Any] = {
    "additionalModelResponseFieldPaths": ["/stop_sequence", "/a/0/b~1c", "/missing", "test"]
}
_NATIVE: dict[str, Any] = {"stop_sequence": "END", "a": [{"b/c": 1}], "other": 2}
_FIELDS: dict[str, Any] = {"stop_sequence": "END", "a": {"0": {"b/c": 1}}}


def test_response_fields_are_copied_by_their_pointers() -> None:
    rendered = converse.render(_ANSWER, _params(**_PATHS), _MODEL, 5, _NATIVE)
    assert rendered["additionalModelResponseFields"] == _FIELDS
    assert rendered["stopReason"] == "stop_sequence"


def test_streams_carry_response_fields_in_message_stop() -> None:
    seen: list[Completion] = []

    def native(answer: Completion) -> dict[str, Any]:
        seen.append(answer)
        return _NATIVE

    stream = Events(_params(**_PATHS), _MODEL, lambda: 5, native)
    events = [
        event
        for each in (Started(3), TextDelta("Hi", 2), Finished("stop_sequence", 3, 2, "END"))
        for event in stream.feed(each)
    ]
    assert events[-2] == {
        "messageStop": {"stopReason": "stop_sequence", "additionalModelResponseFields": _FIELDS}
    }
    assert seen == [_ANSWER]


def test_an_answer_without_a_token_is_one_empty_text() -> None:
    empty = Completion((), "end", 3, 0)
    assert converse.render(empty, _params(), _MODEL, 5)["output"]["message"]["content"] == [
        {"text": ""}
    ]
    stream = Events(_params(), _MODEL, lambda: 5)
    kinds = [
        next(iter(event))
        for each in (Started(3), Finished("end", 3, 0))
        for event in stream.feed(each)
    ]
    assert kinds == [
        "messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
    ]  # fmt: skip


_TEXTS = st.sampled_from(["", " ", "a", "日本", "1", "f"])
_SCALARS = st.none() | st.integers() | _TEXTS


def _text_block(text: str) -> dict[str, Any]:
    return {"text": text}


def _result_block(tool_use_id: str, value: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": tool_use_id, "content": [{"json": value}]}}


def _built(role: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "content": blocks}


_IMAGE: dict[str, Any] = {"image": {"format": "png", "source": {}}}
_BLOCKS = st.one_of(
    st.builds(_text_block, _TEXTS),
    st.sampled_from([_USE, _RESULT, _IMAGE]),
    st.builds(_result_block, _TEXTS, _SCALARS),
)
_ROLES = st.sampled_from(["user", "assistant", "system"])
_MESSAGES = st.lists(
    st.builds(_built, _ROLES, st.lists(_BLOCKS, max_size=3)), min_size=1, max_size=5
)
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS | st.sampled_from(["object", "#", "$ref"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "$ref", "items", "enum", "a"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(_MESSAGES, st.none() | _DOCUMENTS, st.none() | _DOCUMENTS)
def test_any_request_is_read_or_refused(
    messages: list[dict[str, Any]], schema: Any, fields: Any
) -> None:
    params = _params(*messages, additionalModelRequestFields=fields)
    if schema is not None:
        params["toolConfig"] = {"tools": [{"toolSpec": {**_SPEC, "inputSchema": {"json": schema}}}]}
    try:
        generation = converse.parse(params, _MODEL)
    except ValidationException:
        return
    assert len(generation.turns) == len(messages)
