"""And, or and parentheses over conditions, as patterns of JSON and of columns share them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from outcrop.logs.pattern_scanner import MAX_DEPTH, Scanner
from outcrop.logs.pattern_values import InvalidPattern

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Every(Generic[T]):
    parts: "Sequence[Node[T]]"


@dataclass(frozen=True, slots=True)
class Some(Generic[T]):
    parts: "Sequence[Node[T]]"


Node = T | Every[T] | Some[T]


def read_conditions(scanner: Scanner, leaf: Callable[[Scanner], T], depth: int = 0) -> "Node[T]":
    """``&&`` binds more tightly than ``||``."""
    if depth > MAX_DEPTH:
        raise InvalidPattern
    choices = [_read_every(scanner, leaf, depth)]
    while scanner.take("||"):
        choices.append(_read_every(scanner, leaf, depth))
    return choices[0] if len(choices) == 1 else Some(choices)


def _read_every(scanner: Scanner, leaf: Callable[[Scanner], T], depth: int) -> "Node[T]":
    parts = [_read_one(scanner, leaf, depth)]
    while scanner.take("&&"):
        parts.append(_read_one(scanner, leaf, depth))
    return parts[0] if len(parts) == 1 else Every(parts)


def _read_one(scanner: Scanner, leaf: Callable[[Scanner], T], depth: int) -> "Node[T]":
    if not scanner.take("("):
        return leaf(scanner)
    node = read_conditions(scanner, leaf, depth + 1)
    scanner.need(")")
    return node


def holds(node: "Node[T]", test: Callable[[T], bool]) -> bool:
    match node:
        case Every():
            return all(holds(part, test) for part in node.parts)
        case Some():
            return any(holds(part, test) for part in node.parts)
        case _:
            return test(node)
