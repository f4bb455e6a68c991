"""The words of a Logs Insights query."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<comment>\#[^\n]*)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<regex>/(?:[^/\\\n]|\\.)+/i?)
    | (?P<tick>`[^`]+`)
    | (?P<duration>[0-9]+(?:ms|mo|[smhdwqy])\b)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_@.]))
    | (?P<name>[A-Za-z_@][A-Za-z0-9_@.\-]*)
    | (?P<sign>!=|<=|>=|=~|[=<>(),|\[\]*])
    )""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_MOST_TOKENS: Final = 2000


class MalformedQuery(Exception):
    """``at`` is where, counted from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is text, regex, name, number, duration, sign or end."""

    kind: str
    text: str
    at: int


def tokenize(query: str) -> Sequence[Token]:
    tokens: list[Token] = []
    at, end = 0, len(query.rstrip())
    while at < end:
        found = _TOKEN.match(query, at)
        if found is None or found.lastgroup is None or len(tokens) >= _MOST_TOKENS:
            raise MalformedQuery(f"unexpected symbol found {query[at : at + 1]}", at)
        start = found.start(found.lastgroup)
        if found.lastgroup != "comment":
            tokens.append(_token(found.lastgroup, found[found.lastgroup], start))
        at = found.end()
    return [*tokens, Token("end", "", end)]


def _token(kind: str, raw: str, at: int) -> Token:
    match kind:
        case "text":
            return Token("text", _ESCAPE.sub(r"\1", raw[1:-1]), at)
        case "tick":
            return Token("name", raw[1:-1], at)
        case _:
            return Token(kind, raw, at)
