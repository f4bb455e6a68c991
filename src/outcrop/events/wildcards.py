"""Texts with ``*`` in them, as event patterns have them: ``\\*`` and ``\\\\`` are the characters.

Matching takes one pass over the text, however many wildcards there are.
"""

from typing import Final

MOST_WILDCARDS: Final = 5
"""In one text. AWS tells no number; this is the least that it was seen to refuse, less one."""


class InvalidWildcard(Exception):
    pass


class Wildcard:
    def __init__(self, text: str) -> None:
        self._parts = _split(text)

    @property
    def wildcards(self) -> int:
        return len(self._parts) - 1

    def matches(self, text: str) -> bool:
        first, *middle = self._parts
        if not middle:
            return text == first
        last = middle.pop()
        if len(text) < len(first) + len(last):
            return False
        if not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


def _split(text: str) -> list[str]:
    """The texts between the wildcards."""
    parts, part, at = list[str](), list[str](), 0
    while at < len(text):
        character = text[at]
        if character == "*":
            if text[at + 1 : at + 2] == "*":
                raise InvalidWildcard(f"Consecutive wildcard characters at pos {_byte(text, at)}")
            parts.append("".join(part))
            part = []
        elif character == "\\":
            at += 1
            if text[at : at + 1] not in ("*", "\\"):
                raise InvalidWildcard(f"Invalid escape character at pos {_byte(text, at - 1)}")
            part.append(text[at])
        else:
            part.append(character)
        at += 1
    return [*parts, "".join(part)]


def _byte(text: str, at: int) -> int:
    """As AWS counts: bytes, the quotation mark in front included."""
    return 1 + len(text[:at].encode("utf-8", "surrogatepass"))
