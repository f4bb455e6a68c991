"""Filter patterns of CloudWatch Logs, as metric filters, subscriptions, searches and Live Tail use
them: terms, columns, or JSON.

Source: "Filter pattern syntax" of the CloudWatch Logs user guide. Terms are looked for anywhere in
an event, case counts.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

from outcrop.logs.pattern_columns import parse_column_pattern
from outcrop.logs.pattern_json import (
    first as first_of_json,
    parse_json_pattern,
    parse_selector,
    read_document,
)
from outcrop.logs.pattern_scanner import Scanner
from outcrop.logs.pattern_values import InvalidPattern, read_regex

__all__ = ["FilterPattern", "InvalidPattern", "compile_pattern"]

MAX_CHARACTERS: Final = 1024
_PLAIN_TERM: Final = re.compile(r"\w+")
_TERM: Final = re.compile(r"[^\s\"]+")


class FilterPattern(Protocol):
    def matches(self, message: str) -> bool: ...

    def extract(self, message: str) -> dict[str, str] | None:
        """What it names in a message that it matches; None where it does not."""
        ...

    def find(self, message: str, selector: str) -> str | None:
        """What ``$.name`` or ``$name`` is in a message that it matches."""
        ...


@dataclass(frozen=True, slots=True)
class Term:
    """``sign`` is "?" for one of several, "-" for one that must not be there."""

    text: str
    sign: str = ""
    regex: Any = None

    def is_in(self, message: str) -> bool:
        if self.regex is not None:
            return self.regex.search(message) is not None
        return self.text in message


@dataclass(frozen=True, slots=True)
class TermPattern:
    """Optional terms count only where there are no others, as in AWS."""

    needed: tuple[Term, ...]
    refused: tuple[Term, ...]
    optional: tuple[Term, ...]

    def matches(self, message: str) -> bool:
        if self.optional and not self.needed and not self.refused:
            return any(term.is_in(message) for term in self.optional)
        return all(term.is_in(message) for term in self.needed) and not any(
            term.is_in(message) for term in self.refused
        )

    def extract(self, message: str) -> dict[str, str] | None:
        return {} if self.matches(message) else None

    def find(self, message: str, selector: str) -> str | None:
        """Events of JSON have their properties under any pattern."""
        document = read_document(message)
        try:
            asked = parse_selector(selector)
        except InvalidPattern:
            return None
        return None if document is None else first_of_json(document, asked)


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> FilterPattern:
    """Raises ``InvalidPattern``."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidPattern
    stripped = text.strip()
    if stripped.startswith("{"):
        return parse_json_pattern(stripped)
    if stripped.startswith("["):
        return parse_column_pattern(stripped)
    return _parse_terms(stripped)


def _parse_terms(text: str) -> TermPattern:
    scanner, terms = Scanner(text), list[Term]()
    while not scanner.is_at_end:
        terms.append(_read_term(scanner))
    return TermPattern(
        tuple(term for term in terms if not term.sign),
        tuple(term for term in terms if term.sign == "-"),
        tuple(term for term in terms if term.sign == "?"),
    )


def _read_term(scanner: Scanner) -> Term:
    sign = "?" if scanner.take("?") else "-" if scanner.take("-") else ""
    rest = scanner.text[scanner.at : scanner.at + 1]
    if rest == '"':
        return Term(scanner.quoted(), sign)
    if rest == "%":
        source = scanner.regex()
        return Term(source, sign, read_regex(source))
    word = scanner.take_match(_TERM) if rest and not rest.isspace() else None
    if word is None:
        raise InvalidPattern
    if not _PLAIN_TERM.fullmatch(word):
        raise InvalidPattern(f"Invalid character(s) in term '{word}'")
    return Term(word, sign)
