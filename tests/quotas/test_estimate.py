"""What a prompt is estimated at, of which everything that a model reads is a part."""

import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from outcrop.generation import (
    CachePoint,
    Document,
    Generation,
    Image,
    Part,
    Reasoning,
    S3Location,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Video,
)
from outcrop.quotas.estimate import (
    DOCUMENT_TOKENS,
    IMAGE_TOKENS,
    VIDEO_TOKENS,
    estimate_texts,
    estimate_tokens,
)

NOTHING = Generation((Turn("user", ()),), 10)
S3 = S3Location("s3://bucket/key")
PNG = Image("png", b"...")


def saying(*parts: Part) -> Generation:
    return replace(NOTHING, turns=(Turn("user", parts),))


def document(data: bytes | S3Location | tuple[str, ...], format: str = "txt") -> Document:
    return Document(format, "", data)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("fives", 2),
        ("日本語", 3),
        ("日本a", 3),
        ("😀", 1),
        ("\ud800", 1),
        ("a" * 4000, 1000),
    ],
)
def test_four_ascii_characters_are_a_token_and_any_other_is_one(text: str, tokens: int) -> None:
    assert estimate_texts([text]) == tokens
    assert estimate_tokens(saying(Text(text))) == tokens


def test_a_prompt_is_rounded_up_once_and_texts_to_embed_each() -> None:
    assert estimate_tokens(saying(*[Text("a")] * 4)) == 1
    assert estimate_texts(["a"] * 4) == 4
    assert estimate_texts([]) == 0


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        (Text("abcd"), 1),
        (Reasoning("abcd", signature="s" * 400), 1),
        (CachePoint(), 0),
        (PNG, IMAGE_TOKENS),
        (Image("png", S3), IMAGE_TOKENS),
        (Video("mp4", b"..."), VIDEO_TOKENS),
        (document(b"abcd" * 10), 10),
        (document(b"abcd" * 10, "json"), 10),
        (document("日本".encode()), 2),
        (document("日本abcd".encode("utf-16")), 3),
        (document(b"\xfd\xfd"), 2),
        (document(("abcd", "efgh")), 2),
        (document(b"%PDF", "pdf"), DOCUMENT_TOKENS),
        (document(S3), DOCUMENT_TOKENS),
        (Document("txt", "name", b"", context="says" * 2), 3),
        (ToolUse("id", "name", {}), 2),
        (ToolUse("id", "four", {"city": "日本"}), 6),
        (ToolResult("id", "abcd", media=(PNG, document(b"abcd"))), 2 + IMAGE_TOKENS),
    ],
)
def test_every_part_of_a_prompt_counts(part: Part, tokens: int) -> None:
    assert estimate_tokens(saying(part)) == tokens


def test_system_and_tools_count() -> None:
    tool = Tool("four", "describes", {"type": "object", "properties": {"n": {"type": "integer"}}})
    asked = replace(NOTHING, system="a" * 40)
    assert estimate_tokens(asked) == 10
    # Within two tokens of the quarter of its text that it is.
    assert 25 <= estimate_tokens(replace(asked, tools=(tool,))) <= 30


def test_of_a_prompt_that_is_cut_no_more_counts_than_is_left() -> None:
    long = replace(saying(Text("a" * 400)), max_input_tokens=30)
    assert estimate_tokens(long) == 100
    assert estimate_tokens(replace(long, truncate="start")) == 30
    assert estimate_tokens(replace(saying(Text("abcd")), truncate="end", max_input_tokens=30)) == 1


@pytest.mark.parametrize("number", [0, -1, 7, 10**400, 1.5, float("nan"), True, None])
def test_any_number_of_json_counts(number: Any) -> None:
    assert estimate_tokens(saying(ToolUse("id", "", {"n": number}))) >= 2


def test_a_number_of_more_digits_than_python_writes_counts() -> None:
    assert estimate_tokens(saying(ToolUse("id", "", {"n": 10**10_000}))) >= 2500


def test_arguments_nested_without_end_are_counted() -> None:
    nested: Any = "innermost"
    for _ in range(100_000):
        nested = [nested]
    assert estimate_tokens(saying(ToolUse("id", "name", {"nested": nested}))) > 25_000


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=4)
documents = st.builds(
    Document,
    st.sampled_from(["txt", "html", "pdf"]),
    st.text(),
    st.one_of(st.binary(), st.just(S3), st.lists(st.text()).map(tuple)),
    context=st.none() | st.text(),
)
media = st.one_of(st.just(PNG), st.just(Video("mp4", b"")), documents)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, st.text()),
    st.builds(Reasoning, st.text()),
    st.just(CachePoint()),
    st.builds(ToolUse, st.text(), st.text(), json_objects),
    st.builds(ToolResult, st.text(), st.text(), media=st.lists(media, max_size=2).map(tuple)),
    media,
)
turns = st.builds(Turn, st.sampled_from(["user", "assistant"]), st.lists(parts).map(tuple))
tools = st.builds(Tool, st.text(), st.text(), json_objects)
prompts = st.builds(
    Generation,
    st.lists(turns, min_size=1, max_size=4).map(tuple),
    st.integers(0, 1000),
    system=st.none() | st.text(),
    tools=st.lists(tools, max_size=3).map(tuple),
)


@settings(max_examples=50)
@given(prompts, turns, tools, st.text())
def test_more_to_read_is_never_less(prompt: Generation, turn: Turn, tool: Tool, text: str) -> None:
    before = estimate_tokens(prompt)
    assert before >= 0
    longer = replace(prompt, turns=(*prompt.turns, turn))
    assert estimate_tokens(longer) >= before
    assert estimate_tokens(replace(prompt, tools=(*prompt.tools, tool))) >= before
    assert estimate_tokens(replace(prompt, system=(prompt.system or "") + text)) >= before


@given(st.text(), st.text())
def test_a_text_and_more_is_as_much_as_both_give_or_take_one(text: str, more: str) -> None:
    whole = estimate_texts([text + more])
    assert estimate_texts([text, more]) - 1 <= whole <= estimate_texts([text, more])


@pytest.mark.parametrize("unit", ["a", "日", "a日"])
def test_ten_times_the_text_takes_about_ten_times_as_long(unit: str) -> None:
    """By the time this process had, the best of several: a quadratic one would take a hundred."""

    def took_s(length: int) -> float:
        prompt = saying(Text(unit * length), ToolUse("id", "name", {"x": [unit] * (length // 100)}))
        best_s = float("inf")
        for _ in range(5):
            start_s = time.process_time()
            estimate_tokens(prompt)
            best_s = min(best_s, time.process_time() - start_s)
        return best_s

    assert took_s(2_000_000) < 40 * took_s(200_000)
