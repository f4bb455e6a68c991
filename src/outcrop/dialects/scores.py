"""Tokens of a scored prompt, laid over the text the caller sent.

An engine scores the prompt it read, chat template included; a caller asked about their own text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outcrop.generation import Token


@dataclass(frozen=True, slots=True)
class Placed:
    """A token and where it stands in a text, in characters."""

    token: Token
    text: str
    start: int
    end: int


def place(tokens: Sequence[Token]) -> Iterator[Placed]:
    """Tokens one after the other from the start of their own text."""
    at = 0
    for token in tokens:
        yield Placed(token, token.text, at, at + len(token.text))
        at += len(token.text)


def within(prompt: str, tokens: Sequence[Token]) -> list[Placed]:
    """The tokens that hold characters of ``prompt``, cut to them; all the caller's when it is not
    found whole in their text, as after truncation."""
    tokens = [token for token in tokens if token.by_caller]
    text = "".join(token.text for token in tokens)
    first = text.find(prompt)
    if first < 0:
        return list(place(tokens))
    last = first + len(prompt)
    return [
        Placed(
            each.token,
            each.text[max(first - each.start, 0) : last - each.start],
            max(each.start, first) - first,
            min(each.end, last) - first,
        )
        for each in place(tokens)
        # A token that holds only the first bytes of a character has no text, and stands before it.
        if each.start < last and (each.end > first or each.start == first)
    ]
