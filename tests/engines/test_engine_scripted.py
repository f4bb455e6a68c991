"""The scripted engine: its answer is a function of the request alone."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from outcrop.config import Scripted
from outcrop.engines.protocol import (
    EngineFailed,
    EngineGone,
    InputTooLong,
    Unsupported,
)
from outcrop.engines.scripted import ScriptedEngine
from outcrop.generation import (
    CachePoint,
    Document,
    EmbeddingRequest,
    Event,
    Finished,
    Generation,
    Image,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningRequest,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUseDelta,
    ToolUseStarted,
    Turn,
    Video,
)

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 2}, "days": {"minimum": 1}},
    "required": ["city"],
}
WEATHER = Tool("weather", "Tells the weather", SCHEMA)


def ask(text: str, max_tokens: int = 100, **fields: Any) -> Generation:
    return Generation(turns=(Turn("user", (Text(text),)),), max_tokens=max_tokens, **fields)


def script(*steps: dict[str, Any]) -> str:
    return f"script: {json.dumps(list(steps))}"


async def events(generation: Generation, **config: Any) -> list[Event]:
    engine = ScriptedEngine("script", Scripted(**config))
    return [event async for event in engine.generate(generation)]


def text(answer: list[Event]) -> str:
    return "".join(event.text for event in answer if isinstance(event, TextDelta))


async def test_echoes_the_last_user_text_and_counts_words() -> None:
    answer = await events(ask("one two 日本語🙂"))
    assert answer[0] == Started(3)
    assert text(answer) == "one two 日本語🙂"
    assert answer[-1] == Finished("end", 3, 3)


async def test_ends_at_the_maximum_of_tokens() -> None:
    answer = await events(ask("one two three", max_tokens=2))
    assert text(answer) == "one two"
    assert answer[-1] == Finished("length", 3, 2)


async def test_generates_nothing_for_no_tokens() -> None:
    assert await events(ask("one", max_tokens=0)) == [Started(1), Finished("length", 1, 0)]


async def test_ends_before_a_stop_sequence_across_tokens() -> None:
    answer = await events(ask("one two three", stop_sequences=("wo th",)))
    assert text(answer) == "one t"
    assert answer[-1] == Finished("stop_sequence", 3, 3, "wo th")


async def test_a_configured_number_of_tokens_is_exact() -> None:
    answer = await events(ask("one two"), tokens=5)
    assert text(answer) == "one twoone twoone"
    assert answer[-1] == Finished("end", 2, 5)


async def test_a_script_is_found_behind_a_prompt_format() -> None:
    answer = await events(ask(f"User: {script({'text': 'a]b'}, {'tokens': 2})}\nBot:"))
    assert text(answer) == "a]b w0 w1"


async def test_calls_a_tool_with_the_arguments_given() -> None:
    call = {"tool": "weather", "input": {"city": "東京"}}
    answer = await events(ask(script({"text": "Look:"}, call), tools=(WEATHER,)))
    assert isinstance(answer[2], ToolUseStarted)
    arguments = "".join(event.json for event in answer if isinstance(event, ToolUseDelta))
    assert json.loads(arguments) == {"city": "東京"}
    assert isinstance(answer[-1], Finished)
    assert answer[-1].stop == "tool_use"


@pytest.mark.parametrize("choice", [ToolChoice("any"), ToolChoice("tool", "weather")])
async def test_makes_the_call_that_a_choice_demands(choice: ToolChoice) -> None:
    answer = await events(ask("hello", tools=(WEATHER,), tool_choice=choice))
    assert text(answer) == ""
    arguments = "".join(event.json for event in answer if isinstance(event, ToolUseDelta))
    assert json.loads(arguments) == {"city": "aa"}


@pytest.mark.parametrize("choice", [ToolChoice("none"), ToolChoice("tool", "other")])
async def test_a_call_that_the_choice_forbids_fails(choice: ToolChoice) -> None:
    call = script({"tool": "weather", "input": {}})
    with pytest.raises(EngineFailed, match="does not allow"):
        await events(ask(call, tools=(WEATHER,), tool_choice=choice))


async def test_json_of_a_schema_is_answered_or_refused() -> None:
    assert text(await events(ask("x", json_schema=SCHEMA))) == '{"city":"aa"}'
    with pytest.raises(Unsupported, match="json_schema"):
        await events(ask("x", json_schema={"type": "string", "pattern": "^x$"}))


async def test_an_error_comes_after_the_text_before_it() -> None:
    engine = ScriptedEngine("script", Scripted())
    answer = engine.generate(ask(script({"text": "a b"}, {"error": "gone"})))
    assert text([await anext(answer) for _ in range(3)]) == "a b"
    with pytest.raises(EngineGone):
        await anext(answer)
    assert (engine.started, engine.failed, engine.finished) == (1, 1, 0)


async def test_a_pause_waits_for_its_release() -> None:
    engine = ScriptedEngine("script", Scripted())
    generation = ask(script({"text": "a"}, {"pause": "p"}, {"text": "b"}))

    async def collect() -> list[Event]:
        return [event async for event in engine.generate(generation)]

    task = asyncio.create_task(collect())
    await engine.reached("p")
    assert (engine.started, engine.finished) == (1, 0)
    engine.release("p")
    assert text(await task) == "ab"
    assert engine.finished == 1


async def test_closing_the_iterator_counts_as_cancelled() -> None:
    engine = ScriptedEngine("script", Scripted())
    async with aclosing(engine.generate(ask("a b c"))) as answer:
        await anext(answer)
        await anext(answer)
    assert (engine.cancelled, engine.finished) == (1, 0)


async def test_cancelling_in_a_pause_counts_as_cancelled() -> None:
    engine = ScriptedEngine("script", Scripted())

    async def collect() -> list[Event]:
        return [event async for event in engine.generate(ask(script({"pause": "p"})))]

    task = asyncio.create_task(collect())
    await engine.reached("p")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.cancelled == 1


async def test_a_long_prompt_is_refused_or_cut() -> None:
    with pytest.raises(InputTooLong) as refusal:
        await events(ask("a b c", max_input_tokens=2))
    assert (refusal.value.limit, refusal.value.received) == (2, 3)
    assert text(await events(ask("a b c", max_input_tokens=2, truncate="end"))) == "a b"
    assert text(await events(ask("a b c", max_input_tokens=2, truncate="start"))) == " b c"


async def test_tokens_carry_log_probabilities_when_asked_for() -> None:
    answer = await events(ask("a b", logprobs="all"))
    assert isinstance(answer[0], Started)
    assert [token.text for token in answer[0].prompt_tokens] == ["a", " b"]
    assert answer[0].prompt_tokens[0].logprob is None
    tokens = [token for event in answer if isinstance(event, TextDelta) for token in event.tokens]
    assert [token.text for token in tokens] == ["a", " b"]
    assert all(token.logprob is not None and token.logprob < 0 for token in tokens)


@pytest.mark.parametrize("broken", ["script: [", 'script: [{"sing": 1}]', 'script: ["x"]'])
async def test_a_script_that_cannot_be_read_fails(broken: str) -> None:
    with pytest.raises(EngineFailed, match="cannot be read"):
        await events(ask(broken))


async def test_embeddings_are_fixed_unit_vectors() -> None:
    engine = ScriptedEngine("script", Scripted())
    request = EmbeddingRequest(("a", "b", "a"), 1024, 100)
    embeddings = await engine.embed(request)
    first, second, again = embeddings.vectors
    assert list(first) == list(again) != list(second)
    assert len(first) == 1024
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-5)
    assert embeddings.input_tokens == (1, 1, 1)


def beside(*parts: Part, **fields: Any) -> Generation:
    return Generation((Turn("user", parts),), 100, **fields)


async def test_every_part_counts_as_the_words_that_name_it() -> None:
    parts = (
        Image("png", bytes(9999)),
        Document("pdf", "a long name of a report", bytes(9999)),
        Video("mp4", bytes(9999)),
        Reasoning("a long thought", "signature"),
        CachePoint(),
        ToolResult("t", "rain", media=(Image("gif", b""),)),
        Text("Hi"),
    )
    # Words are cut to eight characters: a document is three tokens, a thought two.
    assert await ScriptedEngine("script", Scripted()).count_tokens(beside(*parts)) == 13
    answer = await events(beside(*parts))
    assert answer[0] == Started(13)
    assert text(answer) == "rainHi"


async def test_a_script_can_think() -> None:
    steps = (
        {"reasoning": "Let me see", "signature": "c2ln"},
        {"redacted": "secret"},
        {"reasoning": "Again"},
        {"text": "Yes"},
    )
    assert (await events(ask(script(*steps))))[1:-1] == [
        ReasoningDelta("Let", 1),
        ReasoningDelta(" me", 2),
        ReasoningDelta(" see", 3),
        ReasoningDelta("", 3, signature="c2ln"),
        ReasoningDelta("", 3, redacted=b"secret"),
        ReasoningDelta("Again", 4),
        TextDelta("Yes", 5),
    ]


async def test_a_thought_ends_at_the_maximum_of_tokens_without_its_signature() -> None:
    thought = script({"reasoning": "one two three", "signature": "c2ln"}, {"text": "Yes"})
    answer = await events(ask(thought, max_tokens=2))
    assert answer[1:-1] == [ReasoningDelta("one", 1), ReasoningDelta(" two", 2)]
    assert isinstance(answer[-1], Finished)
    assert answer[-1].stop == "length"


@pytest.mark.parametrize(
    ("asked", "words"),
    [(ReasoningRequest(effort="low"), 6), (ReasoningRequest(), 6), (ReasoningRequest(2), 2)],
)
async def test_thinking_that_is_asked_for_comes_first(asked: ReasoningRequest, words: int) -> None:
    answer = await events(ask("one two", reasoning=asked))
    thoughts = [event for event in answer if isinstance(event, ReasoningDelta)]
    assert answer[1 : 2 + words] == thoughts
    said = "".join(thought.text for thought in thoughts)
    assert "The last turn has 2 words.".startswith(said)
    assert (len(thoughts), thoughts[-1].signature) == (words + 1, "c2NyaXB0ZWQ=")
    assert text(answer) == "one two"
    assert answer[-1] == Finished("end", 2, words + 2)


async def test_a_prompt_before_a_cache_point_is_written_once_and_read_from_then_on() -> None:
    engine = ScriptedEngine("script", Scripted())

    async def figures(generation: Generation) -> tuple[int, int, int]:
        last = [event async for event in engine.generate(generation)][-1]
        assert isinstance(last, Finished)
        return last.input_tokens, last.cache_read_tokens, last.cache_write_tokens

    tale, point = Text("once upon a time"), CachePoint()
    image = Image("png", b"one")
    assert await figures(beside(tale, point, Text("Who?"))) == (1, 0, 4)
    assert await figures(beside(tale, point, Text("Why now?"))) == (2, 4, 0)
    assert await figures(beside(tale, point, image, point, Text("Who?"))) == (1, 4, 2)
    assert await figures(beside(tale, point, image, point, Text("Who?"))) == (1, 6, 0)
    other = Image("png", b"two")
    assert await figures(beside(tale, point, other, point)) == (0, 4, 2)
    assert await figures(beside(tale, Text("Who?"))) == (5, 0, 0)
    places: Any = {"system": "Be brief", "tools": (WEATHER,), "cached": frozenset({"system"})}
    before = await figures(beside(tale, **places))
    assert before[0] == 4 < before[2]
    assert await figures(beside(Text("Hi"), **places)) == (1, before[2], 0)
    tools = {**places, "cached": frozenset({"tools"})}
    assert await figures(beside(tale, **tools)) == (6, 0, before[2] - 2)


async def test_a_prompt_that_is_cut_is_not_cached() -> None:
    cut = beside(Text("a b c"), CachePoint(), max_input_tokens=2, truncate="end")
    assert (await events(cut))[-1] == Finished("end", 2, 2)
