"""The OpenAI engine against a server that plays streams as vLLM, Ollama and TGI send them."""

import json
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace
from openai_server import ASK, FORCED, WEATHER, asked, call, collect, delta, serving, text, total

from outcrop.config import ConfigError, OpenAI
from outcrop.engines.openai import OpenAIEngine, failures
from outcrop.engines.openai.sse import EventParser, EventTooLong
from outcrop.engines.protocol import (
    EngineBusy,
    EngineFailed,
    EngineGone,
    EngineNotReady,
    EngineTimeout,
    InputTooLong,
    Unsupported,
)
from outcrop.generation import (
    Document,
    EmbeddingRequest,
    Finished,
    Generation,
    Image,
    ReasoningRequest,
    Sampling,
    Started,
    Text,
    TextDelta,
    ToolResult,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
    Turn,
    Video,
)


async def test_a_vllm_stream_counts_in_every_chunk() -> None:
    async with serving() as (server, engine):
        server.say(
            delta(usage=0, role="assistant", content=""),
            delta(usage=1, content="Hel"),
            delta(usage=2, content="lo"),
            delta("stop", usage=3),
            total(3),
        )
        assert await collect(engine) == [
            Started(9),
            TextDelta("Hel", 1),
            TextDelta("lo", 2),
            Finished("end", 9, 3),
        ]
        assert server.asked[0]["stream_options"]["continuous_usage_stats"] is True
        assert engine.served_by == "vllm/m"


async def test_an_ollama_stream_counts_at_the_end() -> None:
    async with serving("library") as (server, engine):
        server.say(delta(content="Hello"), delta("length"), total(1))
        answer = await collect(engine)
        assert answer == [Started(0), TextDelta("Hello", 1), Finished("length", 9, 1)]
        assert "top_k" not in server.asked[0]


async def test_characters_split_between_network_reads_arrive_whole() -> None:
    async with serving() as (server, engine):
        server.say(delta(content="日本語🙂"), delta("stop"), total(4))
        server.pieces = [bytes((byte,)) for piece in server.pieces for byte in piece]
        assert text(await collect(engine)) == "日本語🙂"


async def test_ends_at_a_stop_sequence_that_spans_chunks() -> None:
    async with serving("other") as (server, engine):
        server.say(delta(content="one E"), delta(content="ND two"), delta("stop"), total(9))
        answer = await collect(engine, replace(ASK, stop_sequences=("END",)))
        assert text(answer) == "one "
        assert answer[-1] == Finished("stop_sequence", 0, 2, "END")
        assert "stop" not in server.asked[0]


async def test_tool_calls_arrive_piece_by_piece_and_in_parallel() -> None:
    async with serving() as (server, engine):
        server.say(
            delta(tool_calls=[call("", id="c1", name="weather")]),
            delta(tool_calls=[call('{"city":')]),
            delta(tool_calls=[call('"京"}')]),
            delta(tool_calls=[call("", 1, id="c2", name="weather")]),
            delta("tool_calls"),
            total(8),
        )
        answer = await collect(engine, FORCED)
        assert answer[1] == ToolUseStarted("c1", "weather")
        assert [event.json for event in answer if isinstance(event, ToolUseDelta)] == [
            '{"city":',
            '"京"}',
            "{}",
        ]
        assert answer[-1] == Finished("tool_use", 9, 8)
        assert server.asked[0]["tool_choice"] == "required"


async def test_an_answer_that_the_server_filtered_is_told_as_one() -> None:
    async with serving("library") as (server, engine):
        server.say(delta(content="so far"), delta("content_filter"), total(2))
        last = (await collect(engine))[-1]
        assert isinstance(last, Finished)
        assert last.stop == "filtered"


async def test_a_call_that_ends_with_the_reason_stop_is_a_tool_use() -> None:
    async with serving() as (server, engine):
        chunk = delta("stop", tool_calls=[call("{}", id="c1", name="weather")])
        server.say(chunk, total(4))
        assert (await collect(engine, FORCED))[-1] == Finished("tool_use", 9, 4)


@pytest.mark.parametrize("arguments", ['{"city":', "[1]", "nonsense"])
async def test_arguments_that_are_no_object_fail(arguments: str) -> None:
    async with serving() as (server, engine):
        server.say(delta("tool_calls", tool_calls=[call(arguments, id="c", name="weather")]))
        with pytest.raises(EngineFailed, match="not a JSON object"):
            await collect(engine, FORCED)


async def test_a_demanded_call_that_is_not_made_fails() -> None:
    async with serving() as (server, engine):
        server.say(delta("stop", content="No."), total(2))
        with pytest.raises(EngineFailed, match="no tool call"):
            await collect(engine, FORCED)


async def test_history_with_calls_and_results_is_sent_in_openai_form() -> None:
    turns = (
        Turn("user", (Text("Weather?"),)),
        Turn("assistant", (Text("Let me see."), ToolUse("c1", "weather", {"city": "Kyōto"}))),
        Turn("user", (Text("Go on"), ToolResult("c1", "rain", is_error=True))),
    )
    async with serving() as (server, engine):
        server.say(delta("stop", content="Rain."), total(2))
        await collect(engine, replace(ASK, turns=turns, system="Be brief", tools=(WEATHER,)))
        messages = server.asked[0]["messages"]
        assert [message["role"] for message in messages] == [
            *("system", "user", "assistant", "tool", "user")
        ]
        function = messages[2]["tool_calls"][0]["function"]
        assert json.loads(function["arguments"]) == {"city": "Kyōto"}
        assert messages[3]["content"] == "Error: rain"


PREFILL = (*ASK.turns, Turn("assistant", (Text("It"),)))


@pytest.mark.parametrize(
    ("owner", "generation", "parameter"),
    [
        ("other", replace(ASK, turns=PREFILL), "role"),
        ("other", replace(ASK, sampling=Sampling(top_k=4)), "top_k"),
        ("library", replace(ASK, sampling=Sampling(logit_bias=((1, 2.0),))), "logit_bias"),
        ("library", FORCED, "tool_choice"),
        ("vllm", replace(ASK, logprobs="all"), "logprobs"),
        ("vllm", replace(ASK, sampling=Sampling(normalized_frequency_penalty=1)), "normalized"),
        ("other", replace(ASK, truncate="end", max_input_tokens=9), "truncate"),
        (
            "other",
            replace(asked(Image("png", b"")), truncate="end", max_input_tokens=9000),
            "truncate",
        ),
        ("library", asked(Video("mp4", b"")), "video='mp4'"),
        ("vllm", asked(Document("pdf", "n", b"")), "document='pdf'"),
        ("vllm", asked(ToolResult("c", "", media=(Document("xls", "n", b""),))), "document='xls'"),
        ("vllm", replace(ASK, turns=(Turn("assistant", (Image("png", b""),)),)), "assistant"),
        ("llamacpp", replace(ASK, reasoning=ReasoningRequest(effort="low")), "reasoning"),
        ("library", replace(ASK, reasoning=ReasoningRequest(99)), "reasoning"),
        ("vllm", replace(ASK, reasoning=ReasoningRequest()), "reasoning"),
    ],
)
async def test_what_a_server_cannot_do_is_refused(
    owner: str, generation: Generation, parameter: str
) -> None:
    async with serving(owner) as (server, engine):
        with pytest.raises(Unsupported, match=parameter):
            await collect(engine, generation)
        assert server.asked == []


async def test_an_assistant_turn_is_continued_where_the_server_can() -> None:
    async with serving() as (server, engine):
        server.say(delta("stop", content=" is"), total(1))
        await collect(engine, replace(ASK, turns=PREFILL))
        assert server.asked[0]["continue_final_message"] is True
        assert server.asked[0]["add_generation_prompt"] is False


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, {"error": {"message": "slow down"}}, EngineBusy),
        (503, {"error": {"message": "Loading model"}}, EngineNotReady),
        (504, "gateway", EngineTimeout),
        (502, "gateway", EngineGone),
        (401, {"error": "no key"}, EngineFailed),
        (500, {"detail": "broken"}, EngineFailed),
    ],
)
async def test_refusals_become_the_errors_of_engines(
    status: int, body: Any, error: type[Exception]
) -> None:
    async with serving() as (server, engine):
        server.refusals = [(status, body)]
        with pytest.raises(error, match=str(status)):
            await collect(engine)


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 40 tokens. However, your messages resulted in 50",
        "This model's maximum context length is 40 tokens. However, you requested 90 tokens "
        "(50 in the messages, 40 in the completion).",
        "request (50 tokens) exceeds the available context size (40 tokens), try increasing it",
        "Input validation error: `inputs` must have less than 40 tokens. Given: 50",
    ],
)
async def test_a_prompt_longer_than_the_context_is_too_long(words: str) -> None:
    async with serving() as (server, engine):
        server.refusals = [(400, {"error": {"message": words}})]
        with pytest.raises(InputTooLong) as refusal:
            await collect(engine)
        assert (refusal.value.limit, refusal.value.received) == (40, 50)


async def test_an_answer_gets_what_the_prompt_leaves_of_the_context() -> None:
    async with serving() as (server, engine):
        words = "maximum context length is 40 tokens and your request has 30 input tokens"
        server.refusals = [(400, {"error": {"message": words}})]
        server.say(delta("length", content="x"), total(10))
        assert text(await collect(engine)) == "x"
        assert [body["max_tokens"] for body in server.asked] == [50, 10]


async def test_the_models_own_input_limit_is_kept() -> None:
    async with serving() as (server, engine):
        server.say(delta(usage=1, content="Hi"), delta("stop"), total(1))
        with pytest.raises(InputTooLong):
            await collect(engine, replace(ASK, max_input_tokens=8))


async def test_a_connection_cut_in_the_middle_is_a_lost_engine() -> None:
    async with serving() as (server, engine):
        server.say(delta(usage=1, content="Hi"), done=False)
        server.cut = True
        async with aclosing(engine.generate(ASK)) as answer:
            assert await anext(answer) == Started(9)
            assert await anext(answer) == TextDelta("Hi", 1)
            with pytest.raises(EngineGone):
                await anext(answer)


@pytest.mark.parametrize("counted", [-1, 2**31, 10**30])
async def test_counts_of_tokens_that_cannot_be_are_no_answer(counted: int) -> None:
    """They would go into quotas and onto bills, where so large a number fits nowhere."""
    async with serving() as (server, engine):
        usage = {"prompt_tokens": counted, "completion_tokens": 1}
        server.say({"choices": [{"delta": {"content": "Hi"}}], "usage": usage}, delta("stop"))
        with pytest.raises(EngineFailed, match="cannot be read"):
            await collect(engine)


@pytest.mark.parametrize(
    "garbage",
    [b'{"choices": [{"delta": {"content": "\xff"}}]}', b"\xff\xfe", b"{", b"[" * 100_000],
)
async def test_a_chunk_of_garbage_is_no_answer(garbage: bytes) -> None:
    async with serving("vllm") as (server, engine):
        server.pieces = [b"data: " + garbage + b"\n\n"]
        with pytest.raises(EngineFailed, match="cannot be read"):
            await collect(engine)


async def test_what_is_no_text_in_a_refusal_is_told_as_far_as_it_is() -> None:
    assert failures.message(b'{"message": "\xff no"}') == '{"message": "\ufffd no"}'


async def test_a_stream_that_ends_without_a_reason_is_a_lost_engine() -> None:
    async with serving() as (server, engine):
        server.say(delta(content="Hi"), done=True)
        with pytest.raises(EngineGone, match="middle"):
            await collect(engine)


async def test_an_error_in_the_stream_fails() -> None:
    async with serving("m") as (server, engine):
        server.say(delta(content="Hi"), {"error": "out of memory", "error_type": "generation"})
        with pytest.raises(EngineFailed, match="out of memory"):
            await collect(engine)


async def test_a_server_that_is_down_is_gone() -> None:
    engine = OpenAIEngine("remote", OpenAI(url="http://127.0.0.1:9/v1"))
    with pytest.raises(EngineGone, match="cannot be reached"):
        await collect(engine)
    await engine.close()


async def test_tokens_are_counted_by_the_servers_tokenizer_or_not_at_all() -> None:
    async with serving() as (_, engine):
        assert await engine.count_tokens(ASK) == 17
    async with serving("other") as (_, engine):
        with pytest.raises(Unsupported, match="counting tokens"):
            await engine.count_tokens(ASK)


async def test_embeddings_are_lifted_normalized_and_counted_one_by_one() -> None:
    async with serving() as (server, engine):
        embeddings = await engine.embed(EmbeddingRequest(("a", "b"), 4, 8))
        assert embeddings.input_tokens == (3, 3)
        assert [sum(x * x for x in vector) for vector in embeddings.vectors] == pytest.approx(
            [1, 1]
        )
        server.tokens = 9
        with pytest.raises(InputTooLong):
            await engine.embed(EmbeddingRequest(("a",), 4, 8))


async def test_the_api_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOTE_KEY", "sk-made-up")
    config = OpenAI(url="http://127.0.0.1:9/v1", api_key_env="REMOTE_KEY")
    engine = OpenAIEngine("remote", config)
    assert "sk-made-up" not in repr(vars(engine)) + engine.served_by
    monkeypatch.delenv("REMOTE_KEY")
    with pytest.raises(ConfigError, match="REMOTE_KEY"):
        OpenAIEngine("remote", config)


EVENTS = st.lists(
    st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b"")),
    max_size=8,
)


@given(EVENTS, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.integers(1, 7))
def test_events_are_read_however_they_are_cut(
    events: list[bytes], newline: bytes, size: int
) -> None:
    stream = b"".join(
        b": note" + newline + b"data: " + event + newline + newline for event in events
    )
    parser = EventParser()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [event for piece in pieces for event in parser.feed(piece)] == events


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_read_without_error(pieces: list[bytes]) -> None:
    cut, whole = EventParser(), EventParser()
    read = [event for piece in pieces for event in cut.feed(piece)]
    assert read == whole.feed(b"".join(pieces))


@pytest.mark.parametrize("piece", [b"x", b"data: y\n", b"data:\n"])
def test_an_event_without_end_is_given_up(piece: bytes) -> None:
    parser = EventParser(limit_bytes=100)
    with pytest.raises(EventTooLong):
        parser.feed(piece * 120)


@given(st.binary(max_size=60))
def test_any_error_body_has_a_message(body: bytes) -> None:
    assert isinstance(failures.message(body), str)
