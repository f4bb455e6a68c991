"""Families whose requests are messages: OpenAI's form, Mistral's, Jamba's and Command R's."""

from collections.abc import Sequence
from typing import Any

import pytest
from family_recordings import models, rendering

from outcrop.dialects import cohere_command_r, jamba, mistral_chat, openai_chat
from outcrop.dialects.protocol import TextDialect
from outcrop.errors import ValidationException
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
    Turn,
)

GPT = models()["openai.gpt-oss-20b-1:0"]
LARGE = models()["mistral.mistral-large-2407-v1:0"]
JAMBA = models()["ai21.jamba-1-5-mini-v1:0"]
COMMAND_R = models()["cohere.command-r-v1:0"]
MODELS = {"openai_chat": GPT, "mistral_chat": LARGE, "jamba": JAMBA}
CHATS: dict[str, TextDialect] = {
    "openai_chat": openai_chat,
    "mistral_chat": mistral_chat,
    "jamba": jamba,
}
HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it", "parameters": SCHEMA},
}
CALLED = Completion((ToolUse("call_1", "weather", {"city": "Kyōto"}),), "tool_use", 9, 5)
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Kyōto"}'},
}


def chat(messages: Any, dialect: str = "openai_chat", **body: Any) -> Generation:
    return CHATS[dialect].parse({"messages": messages, **body}, MODELS[dialect])


@pytest.mark.parametrize("dialect", CHATS)
def test_messages_become_system_text_and_turns(dialect: str) -> None:
    generation = chat(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Weather "}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": "sun"},
            {"role": "user", "content": "Thanks"},
        ],
        dialect,
        tools=[WEATHER],
    )
    assert generation.system == "Be brief."
    assert generation.turns == (
        Turn("user", (Text("Weather "),)),
        Turn("assistant", (ToolUse("call_1", "weather", {"city": "Kyōto"}),)),
        Turn("user", (ToolResult("call_1", "rain"), ToolResult("call_2", "sun"))),
        Turn("user", (Text("Thanks"),)),
    )
    assert generation.tools == (Tool("weather", "Tells it", SCHEMA),)


REFUSED_MESSAGES: list[Any] = [
    [],
    "hello",
    [{"content": "no role"}],
    [{"role": "system", "content": "only"}],
    [{"role": "robot", "content": "x"}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
    [{"role": "user", "content": 7}],
    [*HELLO, {"role": "tool", "content": "no id"}],
    [{"role": "user", "content": "x", "tool_calls": [CALL]}],
    [*HELLO, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "weather"}}]}],
    [
        *HELLO,
        {
            "role": "assistant",
            "tool_calls": [{**CALL, "function": {"name": "weather", "arguments": "[1]"}}],
        },
    ],
    [
        *HELLO,
        {
            "role": "assistant",
            "tool_calls": [{**CALL, "function": {"name": "weather", "arguments": "{"}}],
        },
    ],
]


@pytest.mark.parametrize("dialect", CHATS)
@pytest.mark.parametrize("messages", REFUSED_MESSAGES)
def test_messages_that_cannot_be_read_are_refused(messages: Any, dialect: str) -> None:
    with pytest.raises(ValidationException, match="Malformed input request"):
        chat(messages, dialect)


@pytest.mark.parametrize(
    ("wanted", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("any", ToolChoice("any")),
        ("required", ToolChoice("any")),
        ({"type": "function", "function": {"name": "weather"}}, ToolChoice("tool", "weather")),
    ],
)
def test_a_tool_choice_is_read(wanted: Any, choice: ToolChoice) -> None:
    assert chat(HELLO, tools=[WEATHER], tool_choice=wanted).tool_choice == choice


@pytest.mark.parametrize("wanted", ["any", {"type": "function", "function": {"name": "weather"}}])
def test_a_call_can_only_be_forced_where_there_are_tools(wanted: Any) -> None:
    with pytest.raises(ValidationException):
        chat(HELLO, tool_choice=wanted)


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}}, SCHEMA),
    ],
)
def test_a_response_format_binds_the_answer(wanted: Any, schema: Any) -> None:
    assert chat(HELLO, response_format=wanted).json_schema == schema


@pytest.mark.parametrize(
    "body", [{"logprobs": True}, {"parallel_tool_calls": False}, {"reasoning_effort": "most"}]
)
def test_what_is_not_built_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationException):
        chat(HELLO, **body)


def test_a_tool_call_is_rendered_by_each_family() -> None:
    body = {"messages": HELLO}
    gpt = openai_chat.render([CALLED], rendering(GPT, body))
    assert gpt["choices"][0]["finish_reason"] == "tool_calls"
    assert gpt["choices"][0]["message"]["content"] is None
    assert gpt["choices"][0]["message"]["tool_calls"] == [CALL]
    assert gpt["usage"] == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    large = mistral_chat.render([CALLED], rendering(LARGE, body))
    assert large == {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "", "tool_calls": [CALL]},
                "stop_reason": "tool_calls",
            }
        ]
    }
    small = jamba.render([CALLED], rendering(JAMBA, body))
    assert small["choices"][0]["message"]["tool_calls"] == [CALL]


def test_mistral_chat_takes_the_text_form_too() -> None:
    body = {"prompt": "<s>[INST] hi [/INST]", "top_k": 5}
    generation = mistral_chat.parse(body, LARGE)
    assert generation.sampling.top_k == 5
    context = rendering(LARGE, body)
    done = Completion((Text("yo"),), "end", 1, 1)
    assert mistral_chat.render([done], context) == {
        "outputs": [{"text": "yo", "stop_reason": "stop"}]
    }
    stream = mistral_chat.chunks(context)
    assert stream.feed(TextDelta("yo", 1)) == [{"outputs": [{"text": "yo", "stop_reason": None}]}]


TOOL_EVENTS: list[Event] = [
    Started(9),
    TextDelta("Well.", 2),
    TextDelta("", 3),
    ToolUseStarted("call_1", "weather"),
    ToolUseDelta('{"city":', 4),
    ToolUseDelta('"Kyōto"}', 5),
    ToolUseStarted("call_2", "weather"),
    ToolUseDelta("{}", 6),
    Finished("tool_use", 9, 6),
]


def streamed(
    dialect: TextDialect, body: dict[str, Any], events: Sequence[Event]
) -> list[dict[str, Any]]:
    model = next(MODELS[name] for name, module in CHATS.items() if module is dialect)
    stream = dialect.chunks(rendering(model, body))
    return [chunk for event in events for chunk in stream.feed(event)]


@pytest.mark.parametrize("dialect", [openai_chat, mistral_chat])
def test_a_streamed_tool_call_comes_in_openais_pieces(dialect: TextDialect) -> None:
    chunks = streamed(dialect, {"messages": HELLO}, TOOL_EVENTS)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    first = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Well."},
        {"tool_calls": [{"index": 0, **first}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Kyōto"}'}}]},
        {"tool_calls": [{"index": 1, **first, "id": "call_2"}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * 7 + ["tool_calls"]


def test_usage_comes_last_where_it_was_asked_for() -> None:
    body = {"messages": HELLO, "stream_options": {"include_usage": True}}
    last = streamed(openai_chat, body, TOOL_EVENTS)[-1]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}


def test_jamba_adds_the_tokens_of_all_answers() -> None:
    stream = jamba.chunks(rendering(JAMBA, {"messages": HELLO, "n": 2}))
    events: list[tuple[int, Event]] = [
        (0, Started(4)),
        (1, Started(4)),
        (0, TextDelta("a", 1)),
        (1, TextDelta("b", 2)),
        (1, Finished("stop_sequence", 4, 2, "##")),
    ]
    chunks = [chunk for index, event in events for chunk in stream.feed(event, index)]
    assert [chunk["usage"]["total_tokens"] for chunk in chunks] == [4, 4, 5, 7, 7]
    assert chunks[-1]["choices"] == [
        {"index": 1, "delta": {"content": ""}, "finish_reason": "stop", "stop_reason": "##"}
    ]
    assert chunks[-1]["meta"] == {"requestDurationMillis": 7}


def command_r(**body: Any) -> Generation:
    return cohere_command_r.parse({"message": "hi", **body}, COMMAND_R)


def test_command_r_reads_history_preamble_and_documents() -> None:
    generation = command_r(
        chat_history=[
            {"role": "USER", "message": "one"},
            {"role": "CHATBOT", "message": "two"},
        ],
        preamble="Be kind.",
        documents=[{"title": "T", "snippet": "S"}, {"n": 3}],
    )
    assert [turn.role for turn in generation.turns] == ["user", "assistant", "user"]
    assert generation.system == "Be kind.\n\nDocument 0\ntitle: T\nsnippet: S\n\nDocument 1\nn: 3"


def test_command_r_tools_become_json_schema() -> None:
    generation = command_r(
        tools=[
            {
                "name": "sales",
                "description": "d",
                "parameter_definitions": {
                    "day": {"description": "a day", "type": "str", "required": True},
                    "shops": {"type": "List[int]"},
                    "more": {"type": "Dict[str, str]"},
                },
            }
        ]
    )
    assert generation.tools == (
        Tool(
            "sales",
            "d",
            {
                "type": "object",
                "properties": {
                    "day": {"type": "string", "description": "a day"},
                    "shops": {"type": "array", "items": {"type": "integer"}},
                    "more": {"type": "object"},
                },
                "required": ["day"],
            },
        ),
    )


@pytest.mark.parametrize("definition", [{}, {"type": "tuple"}, {"type": 3}, 7, {"type": "list["}])
def test_a_parameter_of_no_known_type_is_refused(definition: Any) -> None:
    with pytest.raises(ValidationException):
        command_r(tools=[{"name": "t", "parameter_definitions": {"x": definition}}])


RESULT = {"call": {"name": "sales", "parameters": {"day": "x"}}, "outputs": [{"sum": 3}]}


def test_command_r_results_follow_the_calls_that_they_answer() -> None:
    generation = command_r(tool_results=[RESULT])
    asked, call, result = generation.turns
    assert asked == Turn("user", (Text("hi"),))
    (use,) = call.parts
    assert isinstance(use, ToolUse)
    assert (use.name, use.input) == ("sales", {"day": "x"})
    assert result.parts == (ToolResult(use.id, '[{"sum":3}]'),)


def test_command_r_does_not_repeat_calls_of_the_history() -> None:
    history = [
        {"role": "USER", "message": "q"},
        {"role": "CHATBOT", "message": "", "tool_calls": [RESULT["call"]]},
    ]
    generation = command_r(message="", chat_history=history, tool_results=[RESULT])
    assert [turn.role for turn in generation.turns] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    "body",
    [{"message": ""}, {"message": "", "chat_history": [{"role": "CHATBOT", "message": "x"}]}],
)
def test_command_r_needs_something_to_answer(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationException):
        command_r(**body)


def test_command_r_streams_calls_before_the_end() -> None:
    stream = cohere_command_r.chunks(rendering(COMMAND_R, {"message": "hi"}))
    chunks = [chunk for event in TOOL_EVENTS for chunk in stream.feed(event)]
    kinds = [chunk["event_type"] for chunk in chunks]
    assert kinds == ["text-generation", "tool-calls-generation", "stream-end"]
    calls: list[dict[str, Any]] = [
        {"name": "weather", "parameters": {"city": "Kyōto"}},
        {"name": "weather", "parameters": {}},
    ]
    assert chunks[1]["tool_calls"] == calls
    response = chunks[2]["response"]
    assert response["tool_calls"] == calls
    assert response["chat_history"][-1]["tool_calls"] == calls
    assert response["meta"]["billed_units"] == {"input_tokens": 9, "output_tokens": 6}
