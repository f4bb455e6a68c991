"""Filter patterns of events in columns: ``[ip, ..., status = 4* || status = 5*, bytes > 10]``.

Columns stand between spaces; what is in square brackets or double quotes is one column.
"""

import re
from dataclasses import dataclass
from typing import Final

from outcrop.logs.pattern_conditions import Node, read_conditions
from outcrop.logs.pattern_scanner import Scanner
from outcrop.logs.pattern_values import Comparison, InvalidPattern, compare, find_number

_NAME: Final = re.compile(r"[A-Za-z0-9_\-]+")
_PLAIN: Final = re.compile(r"[^\s,()\"%&|\[\]=!<>]+")
_COLUMN: Final = re.compile(r'\s*(\[[^\]]*\]|"(?:[^"\\]|\\.)*"|[^\s]+)')
_WITHOUT_BRACKETS: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s]+)')
_MOST_COLUMNS: Final = 1000


@dataclass(frozen=True, slots=True)
class Column:
    """Its name, and what it must fulfil."""

    name: str
    condition: Node[Comparison] | None = None


@dataclass(frozen=True, slots=True)
class ColumnPattern:
    """``before`` an ellipsis and ``after`` it; without one, ``after`` is None and the count must be
    right."""

    before: tuple[Column, ...]
    after: tuple[Column, ...] | None

    def extract(self, message: str) -> dict[str, str] | None:
        aligned = self._aligned(split(message))
        if aligned is None:
            return None
        for column, text in aligned:
            if column.condition is not None and not _column_holds(column.condition, text):
                return None
        return {f"${column.name}": text for column, text in aligned}

    def matches(self, message: str) -> bool:
        return self.extract(message) is not None

    def find(self, message: str, selector: str) -> str | None:
        found = self.extract(message)
        return None if found is None else found.get(selector)

    def _aligned(self, texts: list[str]) -> list[tuple[Column, str]] | None:
        if self.after is None:
            if len(texts) != len(self.before):
                return None
            return list(zip(self.before, texts, strict=True))
        if len(texts) < len(self.before) + len(self.after):
            return None
        ends = texts[len(texts) - len(self.after) :]
        return [*zip(self.before, texts, strict=False), *zip(self.after, ends, strict=True)]


def parse_column_pattern(text: str) -> ColumnPattern:
    scanner = Scanner(text)
    scanner.need("[")
    before, after = list[Column](), None
    while True:
        if scanner.take("..."):
            if after is not None:
                raise InvalidPattern
            after = list[Column]()
        else:
            (before if after is None else after).append(_read_column(scanner))
        if not scanner.take(","):
            break
    scanner.need("]")
    if not scanner.is_at_end:
        raise InvalidPattern
    return ColumnPattern(tuple(before), None if after is None else tuple(after))


def split(message: str) -> list[str]:
    """Looked at once: where no bracket closes any more, none opens a column."""
    found: list[str] = []
    at, last = 0, message.rfind("]")
    while len(found) <= _MOST_COLUMNS:
        match = (_COLUMN if at < last else _WITHOUT_BRACKETS).match(message, at)
        if match is None:
            break
        text, at = match[1], match.end()
        is_wrapped = len(text) > 1 and text[0] + text[-1] in ("[]", '""')
        found.append(text[1:-1] if is_wrapped else text)
    return found


def _read_column(scanner: Scanner) -> Column:
    scanner.skip_space()
    start = scanner.at
    is_grouped = False
    while scanner.take("("):
        is_grouped = True
    name = _scan_name(scanner)
    if scanner.operator() is None and not is_grouped:
        return Column(name)
    scanner.at = start

    def leaf(scanner: Scanner) -> Comparison:
        if _scan_name(scanner) != name:
            raise InvalidPattern
        sign = scanner.operator()
        if sign is None:
            raise InvalidPattern
        return compare(sign, scanner.value(_PLAIN))

    return Column(name, read_conditions(scanner, leaf))


def _scan_name(scanner: Scanner) -> str:
    name = scanner.take_match(_NAME)
    if name is None:
        raise InvalidPattern
    return name


def _column_holds(condition: Node[Comparison], text: str) -> bool:
    number = find_number(text)
    return condition.holds(lambda each: each.holds(text, number))
