"""And, or and parentheses over conditions, as patterns of JSON and of columns share them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from outcrop.logs.pattern_scanner import MAX_DEPTH, Scanner
from outcrop.logs.pattern_values import InvalidPattern

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node(Generic[T]):
    """One condition, or all or any of several nodes."""

    kind: Literal["one", "all", "any"]
    leaf: T | None = None
    parts: "Sequence[Node[T]]" = ()

    def holds(self, test: Callable[[T], bool]) -> bool:
        if self.leaf is not None:
            return test(self.leaf)
        if self.kind == "all":
            return all(part.holds(test) for part in self.parts)
        return any(part.holds(test) for part in self.parts)


def read_conditions(scanner: Scanner, leaf: Callable[[Scanner], T], depth: int = 0) -> Node[T]:
    """``&&`` binds more tightly than ``||``."""
    if depth > MAX_DEPTH:
        raise InvalidPattern
    choices = [_read_every(scanner, leaf, depth)]
    while scanner.take("||"):
        choices.append(_read_every(scanner, leaf, depth))
    return choices[0] if len(choices) == 1 else Node("any", parts=choices)


def _read_every(scanner: Scanner, leaf: Callable[[Scanner], T], depth: int) -> Node[T]:
    parts = [_read_one(scanner, leaf, depth)]
    while scanner.take("&&"):
        parts.append(_read_one(scanner, leaf, depth))
    return parts[0] if len(parts) == 1 else Node("all", parts=parts)


def _read_one(scanner: Scanner, leaf: Callable[[Scanner], T], depth: int) -> Node[T]:
    if not scanner.take("("):
        return Node("one", leaf=leaf(scanner))
    node = read_conditions(scanner, leaf, depth + 1)
    scanner.need(")")
    return node
