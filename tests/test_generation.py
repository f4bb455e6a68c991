"""How the events of one answer fold into a whole one."""

import msgspec
import pytest

from outcrop.folding import Fold
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Reasoning,
    ReasoningDelta,
    Started,
    Stop,
    Text,
    TextDelta,
    Token,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
)


def folded(*events: Event) -> Completion:
    fold = Fold()
    for event in events:
        fold.feed(event)
    return fold.completion()


def finished(stop: Stop = "end") -> Finished:
    return Finished(stop, 5, 9)


def test_parts_come_in_the_order_of_their_events() -> None:
    completion = folded(
        Started(5),
        ReasoningDelta("Let me ", 1),
        ReasoningDelta("see.", 2),
        ReasoningDelta("", 2, signature="c2ln"),
        TextDelta("I loo", 3),
        TextDelta("k:", 4),
        ToolUseStarted("t1", "weather"),
        ToolUseDelta('{"city":', 5),
        ToolUseDelta('"京都"}', 6),
        ToolUseStarted("t2", "time"),
        ReasoningDelta("Again.", 7),
        TextDelta("Done", 8),
        finished("tool_use"),
    )
    assert completion.parts == (
        Reasoning("Let me see.", "c2ln"),
        Text("I look:"),
        ToolUse("t1", "weather", {"city": "京都"}),
        ToolUse("t2", "time", {}),
        Reasoning("Again."),
        Text("Done"),
    )
    assert completion.text == "I look:Done"
    assert [use.id for use in completion.tool_uses] == ["t1", "t2"]


def test_a_signature_ends_its_thought() -> None:
    completion = folded(
        Started(5),
        ReasoningDelta("one", 1),
        ReasoningDelta("", 1, signature="a"),
        ReasoningDelta("two", 2),
        ReasoningDelta("", 2, signature="b"),
        finished(),
    )
    assert completion.parts == (Reasoning("one", "a"), Reasoning("two", "b"))


def test_a_redacted_thought_stands_for_itself() -> None:
    completion = folded(
        Started(5),
        ReasoningDelta("one", 1),
        ReasoningDelta("", 1, redacted=b"\x00x"),
        ReasoningDelta("", 1, redacted=b"\x00y"),
        TextDelta("Hi", 2),
        finished(),
    )
    assert completion.parts == (
        Reasoning("one"),
        Reasoning("", redacted=b"\x00x"),
        Reasoning("", redacted=b"\x00y"),
        Text("Hi"),
    )


def test_tokens_and_counts_are_kept() -> None:
    first, second = Token("H", 1, -0.5), Token("i", 2, -0.25)
    completion = folded(
        Started(5, (Token("?", 3, None),)),
        TextDelta("H", 1, (first,)),
        TextDelta("i", 2, (second,)),
        Finished("stop_sequence", 5, 2, "!", cache_read_tokens=3, cache_write_tokens=4),
    )
    assert completion == Completion(
        parts=(Text("Hi"),),
        stop="stop_sequence",
        input_tokens=5,
        output_tokens=2,
        stop_sequence="!",
        tokens=(first, second),
        prompt_tokens=(Token("?", 3, None),),
        cache_read_tokens=3,
        cache_write_tokens=4,
    )


def test_an_answer_of_nothing_has_no_parts() -> None:
    assert folded(Started(5), finished("length")).parts == ()


@pytest.mark.parametrize("stop", ["length", "stop_sequence"])
def test_a_call_cut_in_its_middle_is_no_call(stop: Stop) -> None:
    completion = folded(
        Started(5),
        TextDelta("Look:", 1),
        ToolUseStarted("t1", "weather"),
        ToolUseDelta('{"city": "Os', 2),
        finished(stop),
    )
    assert completion.parts == (Text("Look:"),)


def test_a_call_that_ended_before_the_cut_is_kept() -> None:
    completion = folded(
        Started(5),
        ToolUseStarted("t1", "weather"),
        ToolUseDelta('{"city": "Oslo"}', 2),
        finished("length"),
    )
    assert completion.tool_uses == (ToolUse("t1", "weather", {"city": "Oslo"}),)


@pytest.mark.parametrize("arguments", ['{"city": "Os', "[1]", "nonsense"])
def test_a_call_that_nothing_cut_must_be_an_object(arguments: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        folded(
            Started(5),
            ToolUseStarted("t1", "weather"),
            ToolUseDelta(arguments, 2),
            finished("tool_use"),
        )


def test_an_answer_without_an_end_is_no_answer() -> None:
    fold = Fold()
    fold.feed(Started(5))
    with pytest.raises(ValueError, match="not finished"):
        fold.completion()
