"""Prompts of every turn format, as turns."""

import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from outcrop.dialects import turns
from outcrop.dialects.turns import Prompt
from outcrop.generation import Text, Turn

Parse = Callable[[str], Prompt]

CLAUDE, TITAN = turns.parse_claude_prompt, turns.parse_titan_prompt
LLAMA, MISTRAL = turns.parse_llama_prompt, turns.parse_mistral_prompt
LLAMA_3 = "<|start_header_id|>{}<|end_header_id|>\n\n{}"

CASES: list[tuple[Parse, str, str | None, list[tuple[str, str]]]] = [
    (CLAUDE, "\n\nHuman: Hi\n\nAssistant:", None, [("user", "Hi")]),
    (CLAUDE, "Human: Hi\n\nAssistant:", None, [("user", "Hi")]),
    (CLAUDE, "Be brief.\n\nHuman:Hi\n\nAssistant: ", "Be brief.", [("user", "Hi")]),
    (
        CLAUDE,
        "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: I say ",
        None,
        [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "I say ")],
    ),
    (CLAUDE, "\n\nHuman: a\n\nHuman: b\n\nAssistant:", None, [("user", "a\n\nb")]),
    (CLAUDE, "Human: the\nHuman: b\n\nAssistant:", None, [("user", "the\nHuman: b")]),
    (CLAUDE, " plain \n", None, [("user", " plain \n")]),
    (CLAUDE, "", None, [("user", "")]),
    (CLAUDE, "\n\nHuman:\n\nAssistant:", None, [("user", "")]),
    (CLAUDE, "Say\n\nAssistant: x", None, [("user", "Say"), ("assistant", "x")]),
    (TITAN, "User: Hi\nBot:", None, [("user", "Hi")]),
    (
        TITAN,
        "You help.\nUser: a\nBot: b\nUser: c\nBot: d",
        "You help.",
        [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
    ),
    (TITAN, "The User: field", None, [("user", "The User: field")]),
    (LLAMA, "hello", None, [("user", "hello")]),
    (LLAMA, "<s>[INST] Hi [/INST]", None, [("user", "Hi")]),
    (
        LLAMA,
        "<s>[INST] <<SYS>>\nBe safe.\n<</SYS>>\n\nHi [/INST] Ho </s><s>[INST] He [/INST]",
        "Be safe.",
        [("user", "Hi"), ("assistant", "Ho"), ("user", "He")],
    ),
    (LLAMA, "[INST] Hi [/INST] Sure, ", None, [("user", "Hi"), ("assistant", "Sure, ")]),
    (
        LLAMA,
        "<|begin_of_text|>"
        + LLAMA_3.format("system", "S<|eot_id|>")
        + LLAMA_3.format("user", "U<|eot_id|>")
        + LLAMA_3.format("assistant", ""),
        "S",
        [("user", "U")],
    ),
    (
        LLAMA,
        LLAMA_3.format("user", "U<|eot_id|>") + LLAMA_3.format("assistant", "It is "),
        None,
        [("user", "U"), ("assistant", "It is ")],
    ),
    (LLAMA, "<|begin_of_text|>Once upon", None, [("user", "Once upon")]),
    (
        MISTRAL,
        "<s>[INST] a [/INST] b</s>[INST] c [/INST]",
        None,
        [("user", "a"), ("assistant", "b"), ("user", "c")],
    ),
    (MISTRAL, "Rule.[INST] a [/INST]", None, [("user", "Rule.\n\na")]),
    (MISTRAL, "\n\nHuman: a", None, [("user", "\n\nHuman: a")]),
]


@pytest.mark.parametrize(("parse", "prompt", "system", "said"), CASES)
def test_a_prompt_becomes_its_turns(
    parse: Parse, prompt: str, system: str | None, said: list[tuple[str, str]]
):
    expected = tuple(
        Turn("assistant" if role == "assistant" else "user", (Text(text),)) for role, text in said
    )
    assert parse(prompt) == (system, expected)


MARKERS: dict[Parse, str] = {
    CLAUDE: r"Human:|Assistant:",
    TITAN: r"User:|Bot:",
    LLAMA: r"</?s>|\[/?INST\]|<</?SYS>>|<\|start_header_id\|>\s*"
    r"(system|user|assistant|ipython|tool)\s*<\|end_header_id\|>|<\|(begin_of_text|eot_id|eom_id|end_of_text)\|>",
    MISTRAL: r"</?s>|\[/?INST\]|<</?SYS>>",
}
PIECES = [
    "\n\nHuman:", "\n\nAssistant:", "\nUser:", "\nBot:", "<s>", "</s>", "[INST]", "[/INST]",
    "<<SYS>>", "<</SYS>>", "<|begin_of_text|>", "<|eot_id|>", LLAMA_3.format("user", ""),
    LLAMA_3.format("assistant", ""), LLAMA_3.format("system", ""), LLAMA_3.format("odd", ""),
    "\n", " ", "🌋", "text", "[", "<|",
]  # fmt: skip
PROMPTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12).map("".join)


def _letters(parse: Parse, text: str) -> list[str]:
    return sorted(re.sub(r"\s", "", re.sub(MARKERS[parse], "", text)))


@pytest.mark.parametrize("parse", list(MARKERS))
@given(prompt=PROMPTS)
def test_nothing_outside_markers_is_lost(parse: Parse, prompt: str):
    system, said = parse(prompt)
    texts = [part.text for turn in said for part in turn.parts if isinstance(part, Text)]
    kept = [letter for text in (system or "", *texts) for letter in _letters(parse, text)]
    assert sorted(kept) == _letters(parse, prompt)


@pytest.mark.parametrize("parse", list(MARKERS))
@given(prompt=PROMPTS)
def test_turns_alternate_and_are_never_none(parse: Parse, prompt: str):
    _, said = parse(prompt)
    assert said
    assert all(one.role != two.role for one, two in itertools.pairwise(said))
