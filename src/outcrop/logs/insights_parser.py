"""Reads the simple forms of Logs Insights queries: fields, display, filter, sort, limit, stats by
field and bin(), parse by a glob, dedup. Whatever else is refused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar, cast, get_args

from outcrop.logs.insights_query import (
    Aggregate,
    Bin,
    Command,
    Dedup,
    Field,
    Fields,
    Filter,
    Function,
    Limit,
    Named,
    Parse,
    Sort,
    Stats,
)
from outcrop.logs.insights_tests import read_test
from outcrop.logs.insights_tokens import MalformedQuery, Token
from outcrop.logs.insights_words import Words

MOST_ROWS: Final = 10_000
_MOST_COMMANDS: Final = 50
_MOST_DIGITS: Final = 9
_FUNCTIONS: Final = get_args(Function)
_UNITS_MS: Final[Mapping[str, int]] = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
Part = TypeVar("Part")


def parse_query(query: str) -> Sequence[Command]:
    """Raises ``MalformedQuery``."""
    words = Words(query)
    commands: list[Command] = []
    words.take("|")
    while True:
        commands.append(_command(words))
        if words.is_at_end:
            return commands
        words.need("|")
        if len(commands) >= _MOST_COMMANDS:
            raise MalformedQuery("too many commands", words.next.at)


def _command(words: Words) -> Command:
    token = words.name()
    read = _COMMANDS.get(token.text.lower())
    if read is None:
        raise MalformedQuery(f"unknown or unsupported command {token.text}", token.at)
    return read(words)


def _fields(words: Words) -> Fields:
    return Fields(_several(words, _named), replaces=False)


def _display(words: Words) -> Fields:
    return Fields(_several(words, _named), replaces=True)


def _filter(words: Words) -> Filter:
    return Filter(read_test(words))


def _sort(words: Words) -> Sort:
    return Sort(_several(words, _sorted_by))


def _limit(words: Words) -> Limit:
    token = words.take_kind("number")
    digits = token.text.lstrip("0") if token else ""
    if not digits.isdigit() or len(digits) > _MOST_DIGITS or int(digits) > MOST_ROWS:
        raise MalformedQuery(f"limit takes a number from 1 to {MOST_ROWS}", words.next.at)
    return Limit(int(digits))


def _dedup(words: Words) -> Dedup:
    return Dedup(_several(words, lambda each: Field(each.name().text)))


def _stats(words: Words) -> Stats:
    aggregates = _several(words, _aggregate)
    by: Sequence[Named | Bin] = _several(words, _grouped_by) if words.take_word("by") else ()
    return Stats(aggregates, by)


def _parse(words: Words) -> Parse:
    field = Field(words.name().text)
    glob = words.take_kind("text")
    if glob is None:
        raise MalformedQuery("parse takes a pattern in quotes with *", words.next.at)
    if not words.take_word("as"):
        raise MalformedQuery("parse takes names after as", words.next.at)
    names = _several(words, lambda each: each.name().text)
    parts = glob.text.split("*")
    if len(names) != len(parts) - 1 or not names:
        raise MalformedQuery("parse takes one name for each *", glob.at)
    return Parse(field, parts, names)


_COMMANDS: Final[Mapping[str, Callable[[Words], Command]]] = {
    "fields": _fields,
    "display": _display,
    "filter": _filter,
    "sort": _sort,
    "order": _sort,
    "limit": _limit,
    "head": _limit,
    "dedup": _dedup,
    "stats": _stats,
    "parse": _parse,
}


def _several(words: Words, read: Callable[[Words], Part]) -> list[Part]:
    found = [read(words)]
    while words.take(","):
        found.append(read(words))
    return found


def _named(words: Words) -> Named:
    token = words.name()
    _refuse_function(words, token)
    return Named(Field(token.text), _alias(words, token.text))


def _alias(words: Words, otherwise: str) -> str:
    return words.name().text if words.take_word("as") else otherwise


def _sorted_by(words: Words) -> tuple[Field, bool]:
    token = words.name()
    if token.text.lower() == "by" and words.next.kind == "name":
        token = words.name()
    shown = _call_text(words, token)
    descending = words.take_word("desc")
    if not descending:
        words.take_word("asc")
    return Field(shown), descending


def _call_text(words: Words, token: Token) -> str:
    """``count(*)`` is the name of a column that has no other."""
    if not words.take("("):
        return token.text
    inside = words.until(")")
    return f"{token.text}({inside})"


def _aggregate(words: Words) -> Aggregate:
    token = words.name()
    function = token.text.lower()
    if function not in _FUNCTIONS:
        raise MalformedQuery(f"unknown or unsupported function {token.text}", token.at)
    words.need("(")
    field = _argument(words, function)
    percent, shown = 0.0, "*" if field is None else field.name
    if function == "pct":
        words.need(",")
        number = words.take_kind("number")
        percent = float(number.text) if number else -1.0
        if number is None or not 0 <= percent <= 100:
            raise MalformedQuery("pct takes a field and a number from 0 to 100", words.next.at)
        shown = f"{shown}, {number.text}"
    words.need(")")
    name = _alias(words, f"{token.text}({shown})")
    return Aggregate(cast(Function, function), field, name, percent)


def _argument(words: Words, function: str) -> Field | None:
    if function == "count" and (words.take("*") or words.next.text == ")"):
        return None
    return Field(words.name().text)


def _grouped_by(words: Words) -> Named | Bin:
    token = words.name()
    if token.text.lower() != "bin":
        _refuse_function(words, token)
        return Named(Field(token.text), _alias(words, token.text))
    words.need("(")
    duration = words.take_kind("duration")
    width_ms = _width_ms(duration.text) if duration else None
    if duration is None or not width_ms:
        raise MalformedQuery("bin takes a time such as 5m", words.next.at)
    words.need(")")
    return Bin(width_ms, _alias(words, f"bin({duration.text})"))


def _width_ms(duration: str) -> int | None:
    unit = duration.lstrip("0123456789")
    count = duration[: len(duration) - len(unit)]
    return int(count) * _UNITS_MS[unit] if unit in _UNITS_MS and len(count) <= 9 else None


def _refuse_function(words: Words, token: Token) -> None:
    if words.next.text == "(":
        raise MalformedQuery(f"unknown or unsupported function {token.text}", token.at)
