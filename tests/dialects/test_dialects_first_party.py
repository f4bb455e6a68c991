"""Claude, Titan Text and Nova: what each parameter becomes, what is refused and in which words."""

import contextlib
from types import ModuleType
from typing import Any

import msgspec
import pytest
from family_recordings import models, rendering
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from outcrop.dialects import anthropic, nova, titan_text
from outcrop.errors import ValidationException
from outcrop.generation import (
    Completion,
    Finished,
    Generation,
    Sampling,
    Started,
    Text,
    TextDelta,
    ToolChoice,
    ToolResult,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
    Turn,
)

Json = dict[str, Any]

CLAUDE_1, CLAUDE_2 = "anthropic.claude-v1", "anthropic.claude-v2"
CLAUDE_3 = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE_4 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN, NOVA = "amazon.titan-text-express-v1", "amazon.nova-micro-v1:0"
DIALECTS: dict[str, ModuleType] = {
    CLAUDE_1: anthropic, CLAUDE_2: anthropic, CLAUDE_3: anthropic, CLAUDE_4: anthropic,
    TITAN: titan_text, NOVA: nova,
}  # fmt: skip
ASK = "\n\nHuman: Hi\n\nAssistant:"
HELLO = (Turn("user", (Text("Hi"),)),)
TOOL: Json = {"name": "get", "description": "d", "input_schema": {"type": "object"}}


def messages(*extra: Json, **members: Any) -> Json:
    said = [{"role": "user", "content": "Hi"}, *extra]
    version = "bedrock-2023-05-31"
    return {"anthropic_version": version, "max_tokens": 9, "messages": said, **members}


def nova_body(**members: Any) -> Json:
    return {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], **members}


def titan_body(**configuration: Any) -> Json:
    return {"inputText": "Hi", "textGenerationConfig": configuration}


def parse(model_id: str, body: Any) -> Generation:
    return DIALECTS[model_id].parse(body, models()[model_id])


def refusal(model_id: str, body: Any) -> str:
    with pytest.raises(ValidationException) as caught:
        parse(model_id, body)
    return caught.value.message


TEXT_DEFAULTS = Generation(
    HELLO, 200, sampling=Sampling(0.5, None, 250), stop_sequences=("\n\nHuman:",)
)
PARSED: list[tuple[str, Json, Generation]] = [
    (CLAUDE_2, {"prompt": ASK}, TEXT_DEFAULTS),
    (
        CLAUDE_1,
        {"prompt": "Rule." + ASK, "max_tokens_to_sample": 0, "temperature": 0, "top_p": 0.5,
         "top_k": 0, "stop_sequences": ["|"], "anthropic_version": "any"},
        Generation(HELLO, 0, "Rule.", Sampling(0, 0.5), ("|", "\n\nHuman:")),
    ),
    (CLAUDE_3, messages(), Generation(HELLO, 9, sampling=Sampling(1, 0.999))),
    (
        CLAUDE_4,
        messages(system=[{"type": "text", "text": "S"}], temperature=0.5, top_p=1, top_k=5,
                 stop_sequences=["|"], tools=[TOOL], tool_choice={"type": "tool", "name": "get"},
                 thinking={"type": "disabled"}, metadata={"user_id": "u"}, anthropic_beta=["b"]),
        replace(
            Generation(HELLO, 9, "S", Sampling(0.5, None, 5), ("|",)),
            tools=parse(CLAUDE_4, messages(tools=[TOOL])).tools,
            tool_choice=ToolChoice("tool", "get"),
        ),
    ),
    (
        CLAUDE_4,
        messages({"role": "user", "content": [{"type": "text", "text": "Ho"}]},
                 {"role": "assistant", "content": []}),
        Generation((Turn("user", (Text("Hi"), Text("Ho"))),), 9, sampling=Sampling(1, 0.999)),
    ),
    (TITAN, {"inputText": "Hi"}, Generation(HELLO, 512, sampling=Sampling(0.0))),
    (
        TITAN,
        titan_body(temperature=1, topP=0.5, maxTokenCount=0, stopSequences=["|" * 30, "Obs"]),
        Generation(HELLO, 0, sampling=Sampling(1, 0.5), stop_sequences=("|" * 30, "Obs")),
    ),
    (
        NOVA,
        nova_body(system=[{"text": "S"}], inferenceConfig={
            "max_new_tokens": 7, "temperature": 0, "top_p": 0.5, "topK": 20,
            "stopSequences": ["|"]}),
        Generation(HELLO, 7, "S", Sampling(0, 0.5, 20), ("|",)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model_id", "body", "generation"), PARSED)
def test_a_body_becomes_a_generation(model_id: str, body: Json, generation: Generation):
    assert parse(model_id, body) == generation


NO_TURNS = (
    'Invalid prompt: prompt must start with "\\n\\nHuman:" turn, '
    'prompt must end with "\\n\\nAssistant:" turn'
)
SUBJECT = '#: subject must not be valid against schema {"required":["messages"]}'
MALFORMED: list[tuple[str, Any, str]] = [
    (CLAUDE_2, {}, "required key [prompt] not found"),
    (CLAUDE_2, {"prompt": ASK, "stream": True}, "extraneous key [stream] is not permitted"),
    (CLAUDE_2, {"prompt": ASK, "top_p": 2}, "#/top_p: 2 is not less or equal to 1"),
    (CLAUDE_2, {"prompt": ASK, "top_k": -1}, "#/top_k: -1 is not greater or equal to 0"),
    (CLAUDE_2, {"prompt": ASK, "max_tokens_to_sample": 9000},
     "#/max_tokens_to_sample: 9000 is not less or equal to 8191"),
    (CLAUDE_2, {"prompt": ASK, "stop_sequences": ["a"] * 5},
     "#/stop_sequences: expected maximum item count: 4, found: 5"),
    (CLAUDE_2, messages(stream=True), SUBJECT + "#: extraneous key [stream] is not permitted"),
    (CLAUDE_2, messages(tools=[TOOL]), SUBJECT + "#: extraneous key [tools] is not permitted"),
    (CLAUDE_3, {"anthropic_version": "v", "messages": []},
     SUBJECT + "#: required key [max_tokens] not found"),
    (CLAUDE_3, [], "expected type: JSONObject, found: JSONArray"),
    (CLAUDE_1, {"prompt": ASK, "messages": []}, "extraneous key [messages] is not permitted"),
    (TITAN, {"inputText": "x" * 52611}, "expected maxLength: 50000, actual: 52611"),
    (TITAN, {"inputText": "x", "a": 1}, "extraneous key [a] is not permitted"),
    (TITAN, titan_body(stopSequences="|"),
     "#/textGenerationConfig/stopSequences: expected type: JSONArray, found: String"),
    (TITAN, titan_body(temperature=1.5),
     "#/textGenerationConfig/temperature: 1.5 is not less or equal to 1"),
    (TITAN, titan_body(maxTokenCount=1e3),
     "#/textGenerationConfig/maxTokenCount: expected type: Integer, found: BigDecimal"),
    (NOVA, {}, "required key [messages] not found"),
    (NOVA, {"messages": [{"content": [{"text": "x"}]}]},
     "#/messages/0: required key [role] not found"),
    (NOVA, nova_body(inferenceConfig={"topK": 500}),
     "#/inferenceConfig/topK: 500 is not less or equal to 128"),
    (NOVA, nova_body(inferenceConfig={"topP": 1, "top_p": 1}),
     "#/inferenceConfig: extraneous key [top_p] is not permitted"),
]  # fmt: skip


@pytest.mark.parametrize(("model_id", "body", "told"), MALFORMED)
def test_a_malformed_body_is_told_as_aws_does(model_id: str, body: Any, told: str):
    expected = f"Malformed input request: {told}, please reformat your input and try again."
    assert refusal(model_id, body) == expected


CALL: Json = {"type": "tool_use", "id": "t1", "name": "get", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "t1", "content": "5"}
REFUSED: list[tuple[str, Any, str]] = [
    (CLAUDE_2, {"prompt": "hello"}, NO_TURNS),
    (CLAUDE_2, {"prompt": "\n\nHuman: hello"},
     'Invalid prompt: prompt must end with "\\n\\nAssistant:" turn'),
    (CLAUDE_3, {"prompt": ASK, "max_tokens_to_sample": 9},
     '"claude-3-haiku-20240307" is not supported on this API. Please use the Messages API '
     "instead."),
    (CLAUDE_4, {"anthropic_version": "v", "max_tokens": 1}, "messages: Field required"),
    (CLAUDE_4, messages(stream=True), "stream: Extra inputs are not permitted"),
    (CLAUDE_4, messages(temperature=1.5), "temperature: Input should be less than or equal to 1"),
    (CLAUDE_4, messages(top_k=1.5), "top_k: Input should be a valid integer"),
    (CLAUDE_4, messages(max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
    (CLAUDE_3, messages(max_tokens=9999),
     "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum "
     "tokens value that is lower than 4096."),
    (CLAUDE_4, messages(messages=[]), "messages: at least one message is required"),
    (CLAUDE_4, messages({"role": "user", "content": [{"type": "text"}]}),
     "messages.1.content.0.text.text: Field required"),
    (CLAUDE_4, messages({"role": "user", "content": ""}),
     "messages.1: all messages must have non-empty content except for the optional final "
     "assistant message"),
    (CLAUDE_4, messages({"role": "assistant", "content": "Ho "}),
     "messages: final assistant content cannot end with trailing whitespace"),
    (CLAUDE_2, messages({"role": "user", "content": "Ho"}),
     'messages: roles must alternate between "user" and "assistant", but found multiple "user" '
     "roles in a row"),
    (CLAUDE_4, messages({"role": "assistant", "content": [CALL]}, tools=[TOOL]),
     "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1. "
     "Each `tool_use` block must have a corresponding `tool_result` block in the next message."),
    (CLAUDE_4, messages({"role": "user", "content": [RESULT]}, tools=[TOOL]),
     "messages.0: unexpected `tool_use_id` found in `tool_result` blocks: t1. Each `tool_result` "
     "block must have a corresponding `tool_use` block in the previous message."),
    (CLAUDE_4, messages(tool_choice={"type": "tool", "name": "x"}, tools=[TOOL]),
     "Tool 'x' not found in provided tools"),
    (CLAUDE_4, messages(tools=[TOOL, TOOL]), "tools: Tool names must be unique."),
    (CLAUDE_4, messages(tools=[{"type": "bash_20250124", "name": "bash"}]),
     "tools.0: Input tag 'bash_20250124' found using 'type' does not match any of the expected "
     "tags: 'custom'"),
    (NOVA, {"messages": [{"role": "user", "content": [
        {"image": {"format": "png", "source": {"bytes": "eA=="}}}]}]},
     "This model doesn't support the image content block that you provided. Update the content "
     "block and try again."),
    (NOVA, {"messages": [{"role": "assistant", "content": [{"text": "x"}]}]},
     "A conversation must start with a user message. Try again with a conversation that starts "
     "with a user message."),
]  # fmt: skip


@pytest.mark.parametrize(("model_id", "body", "told"), REFUSED)
def test_a_body_the_model_cannot_serve_is_refused(model_id: str, body: Any, told: str):
    assert refusal(model_id, body) == told


def test_a_tool_call_and_its_result_reach_the_engine():
    called = {"role": "assistant", "content": [CALL]}
    answered = {"role": "user", "content": [{**RESULT, "is_error": True}]}
    parsed = parse(CLAUDE_4, messages(called, answered, tools=[TOOL]))
    assert parsed.turns[1:] == (
        Turn("assistant", (ToolUse("t1", "get", {}),)),
        Turn("user", (ToolResult("t1", "5", is_error=True),)),
    )


def test_a_completion_ends_with_the_reason_it_stopped_for():
    shown = rendering(models()[CLAUDE_2], {"prompt": ASK})
    cut = Completion((Text("Ho"),), "length", 5, 2)
    assert anthropic.render([cut], shown) == {
        "type": "completion", "completion": " Ho", "stop_reason": "max_tokens", "stop": None,
    }  # fmt: skip
    met = replace(cut, stop="stop_sequence", stop_sequence="|")
    assert anthropic.render([met], shown)["stop"] == "|"


def test_a_begun_answer_is_continued_without_a_blank():
    shown = rendering(models()[CLAUDE_2], {"prompt": ASK + " Ho"})
    answer = Completion((Text("ho"),), "end", 5, 2)
    assert anthropic.render([answer], shown)["completion"] == "ho"


def test_titan_tells_the_prompt_first_and_the_totals_last():
    stream = titan_text.chunks(rendering(models()[TITAN], titan_body()))
    events = [Started(5), TextDelta("a", 1), TextDelta("b", 2), TextDelta("c", 3)]
    sent = [chunk for event in events for chunk in stream.feed(event)]
    sent += stream.feed(Finished("stop_sequence", 5, 4, "|"))
    assert [list(chunk.values()) for chunk in sent] == [
        ["a", 0, None, None, 5],
        ["b", 0, None, None, None],
        ["c", 0, 4, "STOP_CRITERIA_MET", None],
    ]


def test_an_empty_titan_answer_is_one_chunk():
    stream = titan_text.chunks(rendering(models()[TITAN], titan_body()))
    assert stream.feed(Started(5)) == []
    assert len(stream.feed(Finished("end", 5, 0))) == 1


@pytest.mark.parametrize("model_id", [CLAUDE_4, NOVA])
def test_a_tool_use_has_the_same_id_whole_and_streamed(model_id: str):
    dialect = DIALECTS[model_id]
    shown = rendering(models()[model_id], messages())
    whole = dialect.render([Completion((ToolUse("x", "get", {}),), "tool_use", 5, 2)], shown)
    stream = dialect.chunks(shown)
    events = [Started(5), ToolUseStarted("x", "get"), ToolUseDelta("{}", 2), Finished("end", 5, 2)]
    sent = [chunk for event in events for chunk in stream.feed(event)]
    name_id = (
        whole["content"][0]["id"]
        if model_id == CLAUDE_4
        else whole["output"]["message"]["content"][0]["toolUse"]["toolUseId"]
    )
    assert name_id in msgspec.json.encode(sent).decode()


EXTENDED: list[tuple[str, Json, Sampling]] = [
    (CLAUDE_3, {"top_k": 7}, Sampling(top_k=7)),
    (CLAUDE_1, {"top_k": 7}, Sampling(top_k=7)),
    (NOVA, {"inferenceConfig": {"topK": 7}}, Sampling(top_k=7)),
    (TITAN, {"textGenerationConfig": {"topP": 0.5}}, Sampling(top_p=0.5)),
]


@pytest.mark.parametrize(("model_id", "fields", "sampling"), EXTENDED)
def test_converse_reaches_the_familys_own_fields(model_id: str, fields: Json, sampling: Sampling):
    dialect, model = DIALECTS[model_id], models()[model_id]
    assert dialect.extend(Generation(HELLO, 5), fields, model).sampling == sampling
    with pytest.raises(ValidationException):
        dialect.extend(Generation(HELLO, 5), {**fields, "unheard_of": 1}, model)


WORDS = [
    "prompt", "inputText", "textGenerationConfig", "temperature", "top_p", "top_k", "messages",
    "role", "content", "type", "text", "tools", "tool_choice", "name", "input_schema", "user",
    "assistant", "tool_use", "tool_result", "tool_use_id", "id", "input", "auto", "any", "tool",
    "system", "stop_sequences", "max_tokens", "anthropic_version", "toolConfig", "toolSpec",
    "toolChoice", "toolUse", "toolResult", "inputSchema", "json", "inferenceConfig", "topK",
    "thinking", "metadata", "cache_control", "is_error", "status", "toolUseId", "description",
    "object", ASK,
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=5),
    max_leaves=15,
)  # fmt: skip
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": VALUES | st.lists(VALUES)}
    ),
    max_size=3,
)
FIXED: dict[str, st.SearchStrategy[Any]] = {
    "anthropic_version": st.just("v"),
    "max_tokens": st.just(5),
    "messages": TURNS,
}
OPTIONAL = {word: VALUES for word in WORDS if word not in {*FIXED, "prompt"}}
TOOL_MEMBERS = {"tools": st.just([TOOL]) | VALUES, "tool_choice": VALUES}
SHAPES: list[dict[str, st.SearchStrategy[Any]]] = [
    FIXED,
    {**FIXED, **TOOL_MEMBERS},
    {"prompt": st.just(ASK) | st.text()},
    {"inputText": st.text(min_size=1), "textGenerationConfig": VALUES},
    {"messages": TURNS},
    {"messages": TURNS, "toolConfig": VALUES, "inferenceConfig": VALUES},
]
BODIES: st.SearchStrategy[Any] = st.one_of(
    VALUES,
    st.fixed_dictionaries(FIXED, optional=OPTIONAL),
    *(st.fixed_dictionaries(shape) for shape in SHAPES),
)


@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("model_id", DIALECTS)
@given(body=BODIES)
def test_any_body_is_read_or_refused(model_id: str, body: Any):
    dialect, model = DIALECTS[model_id], models()[model_id]
    with contextlib.suppress(ValidationException):
        dialect.parse(body, model)
    if isinstance(body, dict):
        with contextlib.suppress(ValidationException):
            dialect.extend(Generation(HELLO, 5), body, model)
