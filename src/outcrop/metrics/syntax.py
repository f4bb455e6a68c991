"""Metric math as text, parsed into a tree: ``SUM(METRICS()) / IF(m1 > 3, 60, PERIOD(m2))``.

Source: "Using math expressions with CloudWatch metrics" of the CloudWatch user guide. Only what a
token can be is accepted; nothing is ever evaluated as code.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_MOST_DEPTH: Final = 50
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z][A-Za-z0-9_]*)
    |(?P<text>"[^"]*"|'[^']*')
    |(?P<sign><=|>=|==|!=|&&|\|\||[-+*/^<>()\[\],])
    )""",
    re.VERBOSE | re.ASCII,
)


class ExpressionError(Exception):
    """What is wrong with an expression, or with what it is asked to compute."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """The ID of another query, or a word in capitals that a function knows (``REPEAT``)."""

    name: str


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """A minus."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    function: str
    arguments: tuple["Node", ...]


Node = Number | Text | Name | Array | Unary | Binary | FunctionCall


def parse(text: str) -> Node:
    parser = _Parser(_tokens(text))
    node = parser.expression()
    parser.end()
    return node


def names_in(node: Node) -> set[str]:
    """The queries that it needs; ``METRICS()`` needs others that it does not name."""
    match node:
        case Name(name):
            return {name} if name[0].islower() else set()
        case Array(parts) | FunctionCall(_, parts):
            return {name for part in parts for name in names_in(part)}
        case Unary(operand):
            return names_in(operand)
        case Binary(_, left, right):
            return names_in(left) | names_in(right)
        case Number() | Text():
            return set()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while text[position:].strip():
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            at = len(text) - len(text[position:].lstrip())
            raise ExpressionError(f"{text[at]!r} at position {at + 1} is not expected.")
        kind = found.lastgroup
        tokens.append(_Token(kind, found[kind], found.start(kind) + 1))
        position = found.end()
    return tokens


# From the loosest to the closest.
_LEVELS: Final[tuple[tuple[str, ...], ...]] = (
    ("OR", "||"),
    ("AND", "&&"),
    ("<", ">", "<=", ">=", "==", "!="),
    ("+", "-"),
    ("*", "/"),
)
_SAME: Final = {"||": "OR", "&&": "AND"}


class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def expression(self) -> Node:
        return self._deeper(lambda: self._level(0))

    def end(self) -> None:
        if self._next < len(self._tokens):
            raise self._unexpected()

    def _level(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        node = self._level(level + 1)
        while (sign := self._take(*_LEVELS[level])) is not None:
            node = Binary(_SAME.get(sign, sign), node, self._level(level + 1))
        return node

    def _unary(self) -> Node:
        if self._take("-") is not None:
            return Unary(self._deeper(self._unary))
        return self._power()

    def _power(self) -> Node:
        node = self._atom()
        if self._take("^") is None:
            return node
        return Binary("^", node, self._deeper(self._unary))

    def _atom(self) -> Node:
        if self._take("(") is not None:
            node = self.expression()
            self._expect(")")
            return node
        if self._take("[") is not None:
            return Array(self._list("]"))
        if self._next == len(self._tokens):
            raise self._unexpected()
        token = self._tokens[self._next]
        self._next += 1
        match token.kind:
            case "number":
                return Number(float(token.text))
            case "text":
                return Text(token.text[1:-1])
            case "name" if token.text not in ("AND", "OR"):
                if self._take("(") is not None:
                    return FunctionCall(token.text, self._list(")"))
                return Name(token.text)
            case _:
                self._next -= 1
                raise self._unexpected()

    def _list(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        if self._take(end) is not None:
            return ()
        while True:
            items.append(self.expression())
            if self._take(",") is None:
                self._expect(end)
                return tuple(items)

    def _take(self, *texts: str) -> str | None:
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            if token.kind != "text" and token.text in texts:
                self._next += 1
                return token.text
        return None

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            raise self._unexpected()

    def _deeper(self, parse_part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise ExpressionError("It is nested too deeply.")
        node = parse_part()
        self._depth -= 1
        return node

    def _unexpected(self) -> ExpressionError:
        if self._next == len(self._tokens):
            return ExpressionError("It ends too early.")
        token = self._tokens[self._next]
        return ExpressionError(f"{token.text!r} at position {token.at} is not expected.")
