"""What ``filter`` asks: read, and answered for a row."""

from collections.abc import Callable
from typing import Any, Final

from outcrop.logs.insights_query import (
    Among,
    Both,
    Compare,
    Either,
    Field,
    Like,
    Literals,
    Not,
    Operand,
    Present,
    Test,
)
from outcrop.logs.insights_tokens import MalformedQuery
from outcrop.logs.insights_words import MAX_DEPTH, Words
from outcrop.logs.regexes import InvalidRegex, compile_regex

Value = str | float | bool | None
Find = Callable[[str], Value]

_SIGNS: Final = ("=", "!=", "<=", ">=", "<", ">")


def read_test(words: Words, depth: int = 0) -> Test:
    """``and`` binds more tightly than ``or``."""
    if depth > MAX_DEPTH:
        raise MalformedQuery("the filter is nested too deeply", words.next.at)
    parts = [_both(words, depth)]
    while words.take_word("or"):
        parts.append(_both(words, depth))
    return parts[0] if len(parts) == 1 else Either(parts)


def _both(words: Words, depth: int) -> Test:
    parts = [_one(words, depth)]
    while words.take_word("and"):
        parts.append(_one(words, depth))
    return parts[0] if len(parts) == 1 else Both(parts)


def _one(words: Words, depth: int) -> Test:
    if words.take_word("not"):
        if depth > MAX_DEPTH:
            raise MalformedQuery("the filter is nested too deeply", words.next.at)
        return Not(_one(words, depth + 1))
    if words.take("("):
        test = read_test(words, depth + 1)
        words.need(")")
        return test
    if words.next.kind == "name" and words.next.text.lower() == "ispresent":
        words.name()
        words.need("(")
        field = Field(words.name().text)
        words.need(")")
        return Present(field)
    return _comparison(words)


def _comparison(words: Words) -> Test:
    left = _operand(words)
    if words.take_word("not"):
        test = _like(words, left) or _among(words, left)
        if test is None:
            raise words.unexpected()
        return Not(test)
    test = _like(words, left) or _among(words, left)
    if test is not None:
        return test
    for sign in _SIGNS:
        if words.take(sign):
            return Compare(left, sign, _operand(words))
    raise words.unexpected()


def _operand(words: Words) -> Operand:
    literal = _literal(words)
    if literal is not None:
        return literal
    token = words.name()
    if words.next.text == "(":
        raise MalformedQuery(f"unknown or unsupported function {token.text}", token.at)
    return Field(token.text)


def _literal(words: Words) -> Literals | None:
    text = words.take_kind("text")
    if text is not None:
        return text.text
    number = words.take_kind("number")
    return None if number is None else float(number.text)


def _like(words: Words, of: Operand) -> Test | None:
    is_match = words.take("=~")
    if not is_match and not words.take_word("like"):
        return None
    regex = words.take_kind("regex")
    if regex is not None:
        return Like(of, regex.text, _compiled(regex.text, regex.at))
    text = words.take_kind("text")
    if text is None:
        raise words.unexpected()
    return Like(of, text.text, _compiled(f"/{text.text}/", text.at) if is_match else None)


def _compiled(source: str, at: int) -> Any:
    inside = source.removesuffix("i")[1:-1].replace("\\/", "/")
    try:
        return compile_regex(inside, ignore_case=source.endswith("/i"))
    except InvalidRegex as error:
        raise MalformedQuery("the regular expression is not valid", at) from error


def _among(words: Words, of: Operand) -> Test | None:
    if not words.take_word("in"):
        return None
    words.need("[")
    values: list[Literals] = []
    while not values or words.take(","):
        value = _literal(words)
        if value is None:
            raise words.unexpected()
        values.append(value)
    words.need("]")
    return Among(of, values)


def holds(test: Test, find: Find) -> bool:
    match test:
        case Compare():
            return _compares(_value(test.left, find), test.sign, _value(test.right, find))
        case Like():
            value = text_of(_value(test.of, find))
            if value is None:
                return False
            return test.text in value if test.regex is None else bool(test.regex.search(value))
        case Among():
            value = _value(test.of, find)
            return any(_compares(value, "=", each) for each in test.values)
        case Present():
            return find(test.field.name) is not None
        case Not():
            return not holds(test.of, find)
        case Both():
            return all(holds(part, find) for part in test.parts)
        case Either():
            return any(holds(part, find) for part in test.parts)


def number_of(value: Value) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(value) if len(value) <= 64 else None
    except ValueError:
        return None


def text_of(value: Value) -> str | None:
    """As results show it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def _value(operand: Operand, find: Find) -> Value:
    return find(operand.name) if isinstance(operand, Field) else operand


def _compares(left: Value, sign: str, right: Value) -> bool:
    """By number where both are; a missing value equals nothing."""
    if left is None or right is None:
        return sign == "!=" and left is not right
    one, other = number_of(left), number_of(right)
    if one is not None and other is not None:
        return _ordered(one, sign, other)
    return _ordered(text_of(left) or "", sign, text_of(right) or "")


def _ordered(one: Any, sign: str, other: Any) -> bool:
    match sign:
        case "=":
            return one == other
        case "!=":
            return one != other
        case "<":
            return one < other
        case "<=":
            return one <= other
        case ">":
            return one > other
        case _:
            return one >= other
