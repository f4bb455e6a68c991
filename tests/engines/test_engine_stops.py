"""Stop sequences, against a model that looks at every prefix of the text."""

import pytest
from hypothesis import given, strategies as st

from outcrop.engines.stops import StopFilter, StopMatcher
from outcrop.generation import Token

# Few letters, one of several bytes and one outside the basic plane, so that overlaps are common.
LETTERS = st.text("aab日🙂", min_size=1, max_size=5)


def naive(text: str, sequences: list[str]) -> tuple[str, str | None]:
    for end in range(1, len(text) + 1):
        complete = [sequence for sequence in sequences if text[:end].endswith(sequence)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


def run(pieces: list[str], sequences: list[str]) -> tuple[str, str | None]:
    matcher = StopMatcher(sequences)
    emitted = ""
    for piece in pieces:
        safe, matched = matcher.feed(piece)
        emitted += safe
        if matched is not None:
            return emitted, matched
    return emitted + matcher.flush(), None


@given(st.lists(LETTERS, max_size=12), st.lists(LETTERS, max_size=4))
def test_matches_the_naive_model_however_the_text_is_cut(
    pieces: list[str], sequences: list[str]
) -> None:
    assert run(pieces, sequences) == naive("".join(pieces), sequences)


@given(st.lists(LETTERS, min_size=1, max_size=12), st.lists(LETTERS, min_size=1, max_size=4))
def test_holds_back_only_what_may_begin_a_sequence(pieces: list[str], sequences: list[str]) -> None:
    matcher = StopMatcher(sequences)
    fed = emitted = ""
    for piece in pieces:
        safe, matched = matcher.feed(piece)
        if matched is not None:
            return
        fed, emitted = fed + piece, emitted + safe
        held = fed[len(emitted) :]
        assert fed.startswith(emitted)
        assert not held or any(sequence.startswith(held) for sequence in sequences)


def test_finds_a_sequence_that_overlaps_its_own_beginning() -> None:
    assert run(["xaa", "b"], ["aab"]) == ("x", "aab")
    assert run(["xaaa", "ab"], ["aab"]) == ("xaa", "aab")


def test_of_two_sequences_complete_at_one_character_the_longer_is_met() -> None:
    assert run(list("say END"), ["D", "END"]) == ("say ", "END")


def test_a_sequence_may_be_complete_inside_a_longer_one() -> None:
    assert run(["abc"], ["abcd", "b"]) == ("a", "b")


def test_refuses_an_empty_sequence() -> None:
    with pytest.raises(ValueError, match="empty"):
        StopMatcher([""])


def test_tokens_come_with_their_text_and_those_of_a_stop_sequence_never() -> None:
    stops = StopFilter(["END"])
    tokens = [Token(text, number, -0.5) for number, text in enumerate(["go", " E", "ND"])]
    fed = [stops.feed(token.text, [token]) for token in tokens]
    assert [matched for _, _, matched in fed] == [None, None, "END"]
    assert [token for _, released, _ in fed for token in released] == tokens[:2]


def test_tokens_held_back_come_out_at_the_end() -> None:
    stops = StopFilter(["END"])
    token = Token("EN", 1, -0.5)
    assert stops.feed("EN", [token]) == ("", (), None)
    assert stops.flush() == ("EN", (token,))
