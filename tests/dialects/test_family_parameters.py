"""Every parameter of the tables: its range, its default and the neutral value it becomes."""

from collections.abc import Sequence
from typing import Any

import pytest
from family_recordings import models, rendering

from outcrop.dialects import (
    cohere_command,
    cohere_command_r,
    deepseek,
    jamba,
    jurassic2,
    llama,
    mistral,
    mistral_chat,
    openai_chat,
)
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
    Token,
    Turn,
)

COMMAND = "cohere.command-text-v14"
COMMAND_R = "cohere.command-r-v1:0"
MID = "ai21.j2-mid-v1"
LLAMA2 = "meta.llama2-13b-chat-v1"
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
DIALECTS: dict[str, TextDialect] = {
    COMMAND: cohere_command,
    COMMAND_R: cohere_command_r,
    MID: jurassic2,
    "ai21.j2-jumbo-instruct": jurassic2,
    LLAMA2: llama,
    MISTRAL: mistral,
    "mistral.mistral-large-2407-v1:0": mistral_chat,
    "ai21.jamba-1-5-mini-v1:0": jamba,
    "openai.gpt-oss-20b-1:0": openai_chat,
    "deepseek.r1-v1:0": deepseek,
}


def question(model_id: str) -> dict[str, Any]:
    dialect = models()[model_id].dialect
    if dialect == "cohere_command_r":
        return {"message": "hello"}
    if dialect in ("jamba", "openai_chat", "mistral_chat"):
        return {"messages": [{"role": "user", "content": "hello"}]}
    return {"prompt": "hello"}


def parsed(model_id: str, **body: Any) -> Generation:
    model = models()[model_id]
    return DIALECTS[model_id].parse({**question(model_id), **body}, model)


def value_of(generation: Generation, name: str) -> Any:
    if hasattr(generation.sampling, name):
        return getattr(generation.sampling, name)
    return getattr(generation, name)


DEFAULTS: list[tuple[str, str, Any]] = [
    (MID, "temperature", 0.5),
    (MID, "top_p", 0.5),
    (MID, "max_tokens", 200),
    ("ai21.j2-jumbo-instruct", "max_tokens", 200),
    (MID, "presence_penalty", 0.0),
    (MID, "frequency_penalty", 0.0),
    (MID, "normalized_frequency_penalty", 0.0),
    (MID, "logprobs", "all"),
    (COMMAND, "logprobs", "none"),
    (COMMAND, "count", 1),
    (COMMAND, "truncate", "end"),
    (COMMAND, "temperature", 0.9),
    (COMMAND, "top_p", 0.75),
    (COMMAND, "top_k", None),
    (COMMAND, "max_tokens", 20),
    (COMMAND, "logit_bias", ()),
    (COMMAND_R, "temperature", 0.3),
    (COMMAND_R, "top_p", 0.75),
    (COMMAND_R, "top_k", None),
    (LLAMA2, "temperature", 0.5),
    (LLAMA2, "top_p", 0.9),
    (LLAMA2, "max_tokens", 512),
    (MISTRAL, "temperature", 0.5),
    (MISTRAL, "top_p", 0.9),
    (MISTRAL, "top_k", 50),
    (MISTRAL, "max_tokens", 512),
    ("mistral.mistral-large-2407-v1:0", "temperature", 0.7),
    ("openai.gpt-oss-20b-1:0", "temperature", 1),
    ("openai.gpt-oss-20b-1:0", "max_tokens", 128_000),
    ("ai21.jamba-1-5-mini-v1:0", "max_tokens", 4096),
    ("deepseek.r1-v1:0", "max_tokens", 32_768),
]


@pytest.mark.parametrize(("model_id", "name", "value"), DEFAULTS)
def test_a_parameter_left_out_has_its_default(model_id: str, name: str, value: Any) -> None:
    assert value_of(parsed(model_id), name) == value


# model, member, neutral name, [(given, becomes)], [refused]
RANGES: list[tuple[str, str, str, list[tuple[Any, Any]], list[Any]]] = [
    (MID, "temperature", "temperature", [(0, 0), (1, 1)], [-0.1, 1.1, None, "1", True]),
    (MID, "topP", "top_p", [(0, 0), (0.5, 0.5), (1, None)], [-0.1, 1.01]),
    (MID, "maxTokens", "max_tokens", [(0, 0), (8191, 8191)], [-1, 8192, 1.5]),
    ("ai21.j2-jumbo-instruct", "maxTokens", "max_tokens", [(0, 0), (2048, 2048)], [2049]),
    (
        MID,
        "presencePenalty",
        "presence_penalty",
        [({}, 0), ({"scale": 5}, 5)],
        [{"scale": 5.1}, {"scale": -1}, 3, {"strength": 1}],
    ),
    (
        MID,
        "countPenalty",
        "frequency_penalty",
        [({"scale": 0}, 0), ({"scale": 1}, 1)],
        [{"scale": 1.1}],
    ),
    (
        MID,
        "frequencyPenalty",
        "normalized_frequency_penalty",
        [({"scale": 0}, 0), ({"scale": 500}, 500)],
        [{"scale": 501}],
    ),
    (MID, "stopSequences", "stop_sequences", [([], ()), (["##"], ("##",))], ["##", [""], [1]]),
    (MID, "numResults", "count", [(1, 1), (16, 16)], [0, 17]),
    (
        COMMAND,
        "return_likelihoods",
        "logprobs",
        [("GENERATION", "generation"), ("ALL", "all"), ("NONE", "none")],
        ["all", None],
    ),
    (
        COMMAND,
        "logit_bias",
        "logit_bias",
        [({}, ()), ({"12": -10, "7": 10.0}, ((12, -10), (7, 10)))],
        [{"12": 10.1}, {"12": -11}, {"x": 1}, {"-1": 1}, {"1": True}, {"1": None}, []],
    ),
    (COMMAND, "num_generations", "count", [(1, 1), (5, 5)], [0, 6]),
    (
        COMMAND,
        "truncate",
        "truncate",
        [("NONE", "none"), ("START", "start"), ("END", "end")],
        ["LEFT"],
    ),
    (COMMAND, "temperature", "temperature", [(0, 0), (5, 5)], [5.1, -1]),
    (COMMAND, "p", "top_p", [(0, None), (1.0, None), (0.01, 0.01)], [1.1, -0.1]),
    (COMMAND, "k", "top_k", [(0, None), (0.0, None), (3.0, 3), (500, 500)], [501, -1, 1.5]),
    (COMMAND, "max_tokens", "max_tokens", [(1, 1), (4096, 4096)], [0, 4097]),
    (
        COMMAND,
        "stop_sequences",
        "stop_sequences",
        [(["a", "b", "c", "d"], ("a", "b", "c", "d"))],
        [["a", "b", "c", "d", "e"]],
    ),
    (COMMAND_R, "p", "top_p", [(0.01, 0.01), (0.99, 0.99)], [0, 1]),
    (COMMAND_R, "seed", "seed", [(0, 0), (2**64 - 1, 2**64 - 1)], [-1, 2**64]),
    (COMMAND_R, "frequency_penalty", "frequency_penalty", [(0, 0), (1, 1)], [1.1]),
    (COMMAND_R, "presence_penalty", "presence_penalty", [(0, 0), (1, 1)], [1.1]),
    (LLAMA2, "temperature", "temperature", [(0, 0), (1, 1)], [1.1, -0.1]),
    (LLAMA2, "top_p", "top_p", [(0, None), (1, None), (0.2, 0.2)], [1.1]),
    (LLAMA2, "max_gen_len", "max_tokens", [(1, 1), (2048, 2048)], [0, 2049, 8192]),
    (MISTRAL, "top_k", "top_k", [(1, 1), (200, 200)], [0, 201]),
    (MISTRAL, "stop", "stop_sequences", [(["|"] * 10, ("|",) * 10)], [["|"] * 11, "|"]),
    ("openai.gpt-oss-20b-1:0", "stop", "stop_sequences", [("a", ("a",)), (["a"], ("a",))], [""]),
    ("openai.gpt-oss-20b-1:0", "max_completion_tokens", "max_tokens", [(9, 9)], [0]),
    ("ai21.jamba-1-5-mini-v1:0", "n", "count", [(2, 2)], [0, 17]),
    ("ai21.jamba-1-5-mini-v1:0", "stop", "stop_sequences", [("a", ("a",))], [7]),
    ("deepseek.r1-v1:0", "max_tokens", "max_tokens", [(1, 1), (32_768, 32_768)], [0, 32_769]),
]
ACCEPTED = [(row[0], row[1], row[2], *pair) for row in RANGES for pair in row[3]]
REFUSED = [(row[0], row[1], value) for row in RANGES for value in row[4]]


@pytest.mark.parametrize(("model_id", "member", "name", "given", "becomes"), ACCEPTED)
def test_a_parameter_within_its_range_reaches_the_engine(
    model_id: str, member: str, name: str, given: Any, becomes: Any
) -> None:
    assert value_of(parsed(model_id, **{member: given}), name) == becomes


@pytest.mark.parametrize(("model_id", "member", "given"), REFUSED)
def test_a_parameter_outside_its_range_is_refused(model_id: str, member: str, given: Any) -> None:
    with pytest.raises(ValidationException, match=r"^Malformed input request: "):
        parsed(model_id, **{member: given})


@pytest.mark.parametrize("model_id", DIALECTS)
def test_a_member_no_table_names_is_refused(model_id: str) -> None:
    with pytest.raises(ValidationException, match=r"extraneous key \[surprise\] is not permitted"):
        parsed(model_id, surprise=1)


@pytest.mark.parametrize("model_id", DIALECTS)
def test_the_question_is_required(model_id: str) -> None:
    (member,) = question(model_id)
    with pytest.raises(ValidationException, match=rf"required key \[{member}\] not found"):
        DIALECTS[model_id].parse({}, models()[model_id])


def test_a_refusal_reads_as_the_service_writes_it() -> None:
    with pytest.raises(ValidationException) as caught:
        parsed(MID, temperature=None, maxTokens=None)
    assert caught.value.message == (
        "Malformed input request: #/temperature: expected type: Number, found: Null"
        "#/maxTokens: expected type: Integer, found: Null"
        ", please reformat your input and try again."
    )


def test_converse_fields_change_only_what_they_name() -> None:
    base = Generation((Turn("user", (Text("hi"),)),), 7)
    extended = cohere_command.extend(
        base, {"k": 3, "p": 0.5, "logit_bias": {"5": -1}}, models()[COMMAND]
    )
    assert (extended.sampling.top_k, extended.sampling.top_p) == (3, 0.5)
    assert extended.sampling.logit_bias == ((5, -1.0),)
    assert (extended.max_tokens, extended.sampling.temperature) == (7, 1.0)


@pytest.mark.parametrize("model_id", DIALECTS)
@pytest.mark.parametrize("fields", [{"prompt": "other"}, {"temperature": 9}, {"surprise": 1}])
def test_converse_fields_are_validated(model_id: str, fields: dict[str, Any]) -> None:
    base = Generation((Turn("user", (Text("hi"),)),), 7)
    with pytest.raises(ValidationException):
        DIALECTS[model_id].extend(base, fields, models()[model_id])


@pytest.mark.parametrize("scope", ["applyToWhitespaces", "applyToEmojis", "applyToStopwords"])
def test_a_narrowed_jurassic_penalty_is_refused_only_when_it_would_act(scope: str) -> None:
    assert parsed(MID, countPenalty={"scale": 0, scope: False}).sampling.frequency_penalty == 0
    assert parsed(MID, countPenalty={"scale": 1, scope: True}).sampling.frequency_penalty == 1
    with pytest.raises(ValidationException, match=f"countPenalty.{scope}"):
        parsed(MID, countPenalty={"scale": 0.1, scope: False})


def test_a_least_number_of_jurassic_tokens_cannot_be_honoured() -> None:
    assert parsed(MID, minTokens=0)
    with pytest.raises(ValidationException, match="minTokens"):
        parsed(MID, minTokens=1)


@pytest.mark.parametrize(
    "body",
    [
        {"search_queries_only": True},
        {"prompt_truncation": "AUTO_PRESERVE_ORDER"},
        {"return_prompt": True},
        {"raw_prompting": True},
    ],
)
def test_what_command_r_can_and_outcrop_cannot_is_refused_by_name(body: dict[str, Any]) -> None:
    (name,) = body
    with pytest.raises(ValidationException, match=name):
        parsed(COMMAND_R, **body)


def test_a_jurassic_answer_tells_why_it_ended() -> None:
    context = rendering(models()[MID], {"prompt": "p"})
    answers = [
        Completion((Text("a"),), "stop_sequence", 1, 1, stop_sequence="##"),
        Completion((Text("a"),), "length", 1, 3),
        Completion((Text("a"),), "end", 1, 1),
    ]
    rendered = jurassic2.render(answers, context)
    assert [each["finishReason"] for each in rendered["completions"]] == [
        {"reason": "stop", "sequence": "##"},
        {"reason": "length", "length": 3},
        {"reason": "endoftext"},
    ]


def test_jurassic_shows_only_the_tokens_of_the_callers_prompt() -> None:
    template = (Token("<user>\n", 1, None), Token("\nHe", 2, -1.0), Token("y you", 3, -2.0))
    answer = Completion((), "end", 4, 0, prompt_tokens=(*template, Token("<end>", 4, -3.0)))
    rendered = jurassic2.render([answer], rendering(models()[MID], {"prompt": "Hey you"}))
    assert [
        (each["generatedToken"]["token"], each["generatedToken"]["logprob"], each["textRange"])
        for each in rendered["prompt"]["tokens"]
    ] == [
        ("He", -1.0, {"start": 0, "end": 2}),
        ("y\u2581you", -2.0, {"start": 2, "end": 7}),
    ]


def test_jurassic_does_not_stream() -> None:
    with pytest.raises(ValidationException, match="unsupported for streaming"):
        jurassic2.chunks(rendering(models()[MID], {"prompt": "p"}))


def scored(*tokens: tuple[str, float]) -> Completion:
    made = tuple(Token(text, 0, logprob) for text, logprob in tokens)
    text = "".join(text for text, _ in tokens)
    prompt = (Token("h", 1, None), Token("i", 2, -4.0))
    return Completion((Text(text),), "end", 2, len(made), tokens=made, prompt_tokens=prompt)


def test_likelihoods_of_the_generation_are_averaged_over_its_tokens() -> None:
    body = {"prompt": "hi", "return_likelihoods": "GENERATION"}
    rendered = cohere_command.render(
        [scored(("a", -1.0), ("b", -2.0))], rendering(models()[COMMAND], body)
    )
    (generation,) = rendered["generations"]
    assert generation["likelihood"] == -1.5
    assert generation["token_likelihoods"] == [
        {"token": "a", "likelihood": -1.0},
        {"token": "b", "likelihood": -2.0},
    ]


def test_all_likelihoods_begin_with_the_prompts() -> None:
    body = {"prompt": "hi", "return_likelihoods": "ALL"}
    rendered = cohere_command.render([scored(("a", -1.0))], rendering(models()[COMMAND], body))
    (generation,) = rendered["generations"]
    assert generation["likelihood"] == -2.5
    assert generation["token_likelihoods"] == [
        {"token": "h"},
        {"token": "i", "likelihood": -4.0},
        {"token": "a", "likelihood": -1.0},
    ]


def streamed(body: dict[str, Any], events: Sequence[tuple[int, Event]]) -> list[dict[str, Any]]:
    stream = cohere_command.chunks(rendering(models()[COMMAND], body))
    return [chunk for index, event in events for chunk in stream.feed(event, index)]


TWO: list[tuple[int, Event]] = [
    (0, Started(1)),
    (1, Started(1)),
    (1, TextDelta("B", 1)),
    (0, TextDelta("A", 1)),
    (1, Finished("length", 1, 1)),
    (0, Finished("end", 1, 1)),
]


def test_several_streamed_generations_are_told_apart_by_index() -> None:
    assert streamed({"prompt": "p", "num_generations": 2, "stream": True}, TWO) == [
        {"index": 1, "is_finished": False, "text": "B"},
        {"index": 0, "is_finished": False, "text": "A"},
        {"index": 1, "finish_reason": "MAX_TOKENS", "is_finished": True},
        {"index": 0, "finish_reason": "COMPLETE", "is_finished": True},
    ]


def test_without_the_stream_flag_several_generations_come_in_one_chunk() -> None:
    (chunk,) = streamed({"prompt": "p", "num_generations": 2}, TWO)
    assert [each["text"] for each in chunk["generations"]] == ["A", "B"]
    assert (chunk["id"], chunk["prompt"]) == ("request-id", "p")


def test_a_scored_stream_ends_with_the_likelihoods() -> None:
    tokens = (Token("a", 3, -0.5),)
    body = {"prompt": "p", "stream": True, "return_likelihoods": "GENERATION"}
    chunks = streamed(
        body, [(0, Started(1)), (0, TextDelta("a", 1, tokens)), (0, Finished("end", 1, 1))]
    )
    assert chunks[-1] == {
        "finish_reason": "COMPLETE",
        "is_finished": True,
        "likelihood": -0.5,
        "token_likelihoods": [{"token": "a", "likelihood": -0.5}],
    }


@pytest.mark.parametrize(
    ("prompt", "system", "said"),
    [
        ("plain", None, [("user", "plain")]),
        (
            "<\uff5cbegin\u2581of\u2581sentence\uff5c>Be brief<\uff5cUser\uff5c>Hi"
            "<\uff5cAssistant\uff5c>Yo<\uff5cend\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>Why?"
            "<\uff5cAssistant\uff5c>",
            "Be brief",
            [("user", "Hi"), ("assistant", "Yo"), ("user", "Why?")],
        ),
        (
            "<\uff5cUser\uff5c>Hi<\uff5cAssistant\uff5c><think>\n",
            None,
            [("user", "Hi"), ("assistant", "<think>\n")],
        ),
    ],
)
def test_deepseek_markers_become_turns(
    prompt: str, system: str | None, said: list[tuple[str, str]]
) -> None:
    generation = parsed("deepseek.r1-v1:0", prompt=prompt)
    assert generation.system == system
    turns = [
        (turn.role, "".join(p.text for p in turn.parts if isinstance(p, Text)))
        for turn in generation.turns
    ]
    assert turns == said


def test_deepseek_answers_and_streams_choices_of_text() -> None:
    context = rendering(models()["deepseek.r1-v1:0"], {"prompt": "p"})
    answer = Completion((Text("a"),), "length", 1, 1)
    whole = {"choices": [{"text": "a", "stop_reason": "length"}]}
    assert deepseek.render([answer], context) == whole
    stream = deepseek.chunks(context)
    events = [Started(1), TextDelta("a", 1), Finished("length", 1, 1)]
    assert [chunk for event in events for chunk in stream.feed(event)] == [
        {"choices": [{"text": "a", "stop_reason": None}]},
        {"choices": [{"text": "", "stop_reason": "length"}]},
    ]
