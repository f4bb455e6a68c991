"""The tokens of a scored prompt that belong to the caller's own text."""

from hypothesis import given, strategies as st

from outcrop.dialects import scores
from outcrop.generation import Token


def tokens(*texts: str) -> list[Token]:
    return [Token(text, index, -1.0) for index, text in enumerate(texts)]


def test_every_token_of_a_character_that_several_make_is_listed() -> None:
    # The template's words, two pieces of 紹 without text, its last piece, and what follows it.
    scored = tokens("<user>", "\n", "", "", "紹", "介", "", "。", "", "<end>")
    placed = scores.within("紹介。", scored)
    assert [each.token.id for each in placed] == [2, 3, 4, 5, 6, 7]
    assert [(each.text, each.start, each.end) for each in placed[:3]] == [
        ("", 0, 0),
        ("", 0, 0),
        ("紹", 0, 1),
    ]


def test_words_of_the_template_are_not_taken_for_the_callers() -> None:
    template = [
        Token("<start>", 8, None, by_caller=False),
        Token("user\n", 9, None, by_caller=False),
    ]
    for prompt in ("user", "s", "start", "\n"):
        placed = scores.within(prompt, [*template, Token(prompt, 1, -1.0), template[1]])
        assert [(each.token.id, each.text) for each in placed] == [(1, prompt)]


def test_a_token_that_reaches_over_the_callers_text_is_cut_to_it() -> None:
    placed = scores.within("three", tokens("\nth", "ree<", "end>"))
    assert [(each.text, each.start, each.end) for each in placed] == [("th", 0, 2), ("ree", 2, 5)]


@given(st.lists(st.sampled_from(["", "a", "日", " b", "\n"]), max_size=12))
def test_listed_tokens_are_the_prompt_again(texts: list[str]) -> None:
    prompt = "".join(texts)
    placed = scores.within(prompt, tokens("<", *texts, ">"))
    if prompt and texts[-1]:
        assert len(placed) == len(texts)
    assert "".join(each.text for each in placed) == prompt
