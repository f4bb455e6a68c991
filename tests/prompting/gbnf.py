"""A recognizer of GBNF, so that tests can ask whether a grammar accepts a text."""

import re
from collections.abc import Callable

Matcher = Callable[[int], frozenset[int]]

_TOKEN = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[A-Za-z][A-Za-z0-9-]*|\{[0-9]+(?:,[0-9]*)?\}|[()|*+?])'
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def accepts(grammar: str, text: str) -> bool:
    return len(text) in _Recognizer(grammar, text).match("root", 0)


class _Recognizer:
    def __init__(self, grammar: str, text: str) -> None:
        self._text = text
        self._memo: dict[tuple[str, int], frozenset[int]] = {}
        self._rules: dict[str, Matcher] = {}
        for line in grammar.splitlines():
            name, body = line.split(" ::= ", 1)
            self._tokens = self._tokenize(body)
            self._rules[name] = self._alternatives()
            assert not self._tokens, f"cannot read {body!r}"

    def match(self, name: str, at: int) -> frozenset[int]:
        key = (name, at)
        if key not in self._memo:
            # An empty answer while it is being computed: left recursion would show as a refusal.
            self._memo[key] = frozenset()
            self._memo[key] = self._rules[name](at)
        return self._memo[key]

    @staticmethod
    def _tokenize(body: str) -> list[str]:
        tokens: list[str] = []
        at = 0
        while at < len(body.rstrip()):
            found = _TOKEN.match(body, at)
            assert found, f"not GBNF at {body[at:]!r}"
            tokens.append(found[1])
            at = found.end()
        return tokens

    def _alternatives(self) -> Matcher:
        branches = [self._sequence()]
        while self._tokens[:1] == ["|"]:
            self._tokens.pop(0)
            branches.append(self._sequence())
        return lambda at: frozenset[int]().union(*(branch(at) for branch in branches))

    def _sequence(self) -> Matcher:
        items: list[Matcher] = []
        while self._tokens and self._tokens[0] not in "|)":
            items.append(self._repeated(self._atom()))

        def match(at: int) -> frozenset[int]:
            ends = frozenset({at})
            for item in items:
                ends = frozenset[int]().union(*(item(end) for end in ends))
            return ends

        return match

    def _repeated(self, item: Matcher) -> Matcher:
        token = self._tokens[0] if self._tokens else ""
        if token not in ("*", "+", "?") and not token.startswith("{"):
            return item
        self._tokens.pop(0)
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(token) or _counts(token)

        def match(at: int) -> frozenset[int]:
            ends: set[int] = {at} if low == 0 else set()
            reached, count = frozenset({at}), 0
            while reached and count != high:
                reached = frozenset[int]().union(*(item(end) for end in reached))
                count += 1
                if count >= low:
                    if reached <= ends:
                        break
                    ends |= reached
            return frozenset(ends)

        return match

    def _atom(self) -> Matcher:
        token = self._tokens.pop(0)
        if token == "(":
            inner = self._alternatives()
            assert self._tokens.pop(0) == ")"
            return inner
        if token[0] == '"':
            literal = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), token[1:-1])
            return lambda at: (
                frozenset({at + len(literal)})
                if self._text.startswith(literal, at)
                else frozenset()
            )
        if token[0] == "[":
            allowed = re.compile(token, re.DOTALL)
            return lambda at: frozenset({at + 1}) if allowed.match(self._text, at) else frozenset()
        return lambda at: self.match(token, at)


def _counts(token: str) -> tuple[int, int | None]:
    low, comma, high = token[1:-1].partition(",")
    return int(low), int(high) if high else None if comma else int(low)
