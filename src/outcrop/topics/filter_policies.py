"""Filter policies of subscriptions: read, checked as SNS checks them, and what they let pass.

The order of the checks and the places that errors name are observable; recordings hold them.
Source: "Amazon SNS subscription filter policies" of the developer guide.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from outcrop.topics.filter_patterns import (
    AnythingBut,
    BadCidr,
    Equal,
    Exists,
    IgnoringCase,
    Numeric,
    Pattern,
    Prefix,
    Suffix,
    parse_cidr,
)
from outcrop.topics.policy_json import MalformedJson, Token, place_of, read_tokens

Scope = Literal["MessageAttributes", "MessageBody"]

_MAX_KEYS: Final = 5
_MAX_COMBINATIONS: Final = 150
_MAX_SOURCE: Final = 500
_BOUNDS: Final = ("<", "<=")


class BadFilterPolicy(Exception):
    """Its text is AWS's, without what names the parameter. ``is_whole`` says that it does not
    begin with the name of the attribute either."""

    def __init__(self, text: str, *, is_whole: bool = False) -> None:
        super().__init__(text)
        self.is_whole = is_whole


@dataclass(frozen=True, slots=True)
class Fields:
    """All of ``members`` must fit, and of each of ``choices`` (``$or``) one."""

    members: "Mapping[str, Fields | tuple[Pattern, ...]]"
    choices: "tuple[tuple[Fields, ...], ...]" = ()


def parse_filter_policy(text: str, scope: Scope) -> Fields:
    try:
        tokens = read_tokens(text)
    except MalformedJson as error:
        raise BadFilterPolicy(f"failed to parse JSON. {error}") from error
    fields = _Reader(text, tokens).policy()
    if len(fields.members) + len(fields.choices) > _MAX_KEYS:
        raise BadFilterPolicy(f"Filter policy can not have more than {_MAX_KEYS} keys")
    if scope == "MessageAttributes" and _is_nested(fields):
        text = "Filter policy scope MessageAttributes does not support nested filter policy"
        raise BadFilterPolicy(text, is_whole=True)
    if _combinations(fields, 1) > _MAX_COMBINATIONS:
        raise BadFilterPolicy("Filter policy is too complex")
    return fields


def _is_nested(fields: Fields) -> bool:
    return any(isinstance(each, Fields) for each in fields.members.values()) or any(
        _is_nested(each) for choice in fields.choices for each in choice
    )


def _combinations(fields: Fields, depth: int) -> int:
    """The values of each array times its level, multiplied; alternatives add up."""
    total = 1
    for each in fields.members.values():
        inner = _combinations(each, depth + 1) if isinstance(each, Fields) else len(each) * depth
        total *= inner
    for choice in fields.choices:
        total *= sum(_combinations(each, depth) for each in choice)
    return total


class _Reader:
    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0

    def policy(self) -> Fields:
        first = self._next()
        if first.kind != "{":
            raise self._flaw("Filter is not an object", first)
        return self._fields()

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _flaw(self, text: str, token: Token) -> BadFilterPolicy:
        source = self._text
        if len(source) > _MAX_SOURCE:
            cut = len(source) - _MAX_SOURCE
            source = f'{source[:_MAX_SOURCE]}"[truncated {cut} chars]'
        else:
            source = f'{source}"'
        where = place_of(self._text, token.end)
        return BadFilterPolicy(f'{text}\n at [Source: (String)"{source}; {where}]')

    def _fields(self) -> Fields:
        """After the brace."""
        members: dict[str, Fields | tuple[Pattern, ...]] = {}
        choices: list[tuple[Fields, ...]] = []
        while (name := self._next()).kind != "}":
            key = str(name.value)
            value = self._next()
            if key == "$or" and value.kind == "[" and self._is_choice():
                choices.append(tuple(self._alternatives()))
            elif value.kind == "{":
                members[key] = self._fields()
            elif value.kind == "[":
                members[key] = tuple(self._patterns())
            else:
                raise self._flaw(f'"{key}" must be an object or an array', value)
        if not members and not choices:
            raise self._flaw("Empty objects are not allowed", self._tokens[self._at - 1])
        return Fields(members, tuple(choices))

    def _is_choice(self) -> bool:
        """``$or`` is a name like others where its items are no objects of fields."""
        if self._peek().kind != "{":
            return False
        name = self._tokens[self._at + 1]
        return name.kind == "name" and name.value not in _OPERATORS

    def _alternatives(self) -> Iterator[Fields]:
        while (item := self._next()).kind != "]":
            if item.kind != "{":
                raise self._flaw("Only objects are allowed in array of $or relationship", item)
            yield self._fields()

    def _patterns(self) -> Iterator[Pattern]:
        """After the bracket."""
        if self._peek().kind == "]":
            raise self._flaw("Empty arrays are not allowed", self._next())
        while (item := self._next()).kind != "]":
            match item.kind:
                case "{":
                    yield self._expression(item)
                case "[":
                    text = "Match value must be String, number, true, false, or null"
                    raise self._flaw(text, item)
                case _:
                    yield Equal(_scalar(item))

    def _expression(self, brace: Token) -> Pattern:
        name = self._next()
        if name.kind != "name":
            raise self._flaw("Empty objects are not allowed", brace)
        read = _OPERATORS.get(str(name.value))
        if read is None:
            raise self._flaw(f"Unrecognized match type {name.value}", name)
        pattern = read(self, str(name.value))
        self._end()
        return pattern

    def _end(self) -> None:
        after = self._next()
        if after.kind != "}":
            raise self._flaw("Only one key allowed in match expression", after)

    def text(self, operator: str) -> str:
        value = self._next()
        if value.kind != "string":
            raise self._flaw(f"{operator} match pattern must be a string", value)
        return str(value.value)

    def exists(self, _operator: str) -> Pattern:
        value = self._next()
        if value.kind != "word" or value.value is None:
            raise self._flaw("exists match pattern must be either true or false.", value)
        return Exists(bool(value.value))

    def cidr(self, _operator: str) -> Pattern:
        # The real service names the wrong operator here.
        try:
            return parse_cidr(self.text("prefix"))
        except BadCidr as error:
            raise BadFilterPolicy(str(error)) from error

    def anything_but(self, operator: str) -> Pattern:
        value = self._next()
        match value.kind:
            case "{":
                return self._anything_but_affix()
            case "[":
                return AnythingBut(values=tuple(self._excluded(operator)))
            case "string" | "number":
                return AnythingBut(values=(_scalar(value),))
            case _:
                text = f"{operator} match pattern must be a string or a number"
                raise self._flaw(text, value)

    def _anything_but_affix(self) -> Pattern:
        name = self._next()
        if name.value not in ("prefix", "suffix"):
            shown = "" if name.value is None else name.value
            raise self._flaw(f"Unsupported anything-but pattern: {shown}", name)
        text = self.text(str(name.value))
        self._end()
        return AnythingBut(pattern=Prefix(text) if name.value == "prefix" else Suffix(text))

    def _excluded(self, operator: str) -> "Iterator[str | Decimal]":
        if self._peek().kind == "]":
            raise self._flaw("Empty arrays are not allowed", self._next())
        kinds: set[str] = set()
        while (item := self._next()).kind != "]":
            kinds.add(item.kind)
            if item.kind not in ("string", "number") or len(kinds) > 1:
                text = f"Inside {operator} list, all values must be strings or all numbers"
                raise self._flaw(text, item)
            value = _scalar(item)
            yield value if isinstance(value, str) else Decimal(str(value))

    def numeric(self, _operator: str) -> Pattern:
        opening = self._next()
        if opening.kind != "[":
            raise self._flaw("Value of numeric must be an array.", opening)
        first = self._comparison()
        second = self._next()
        if second.kind == "]":
            return Numeric((first,))
        if first[0] not in (">", ">="):
            raise self._flaw("Too many elements in numeric expression", second)
        if second.value not in _BOUNDS:
            raise self._flaw(f"Bad numeric range operator: {_shown(second)}", second)
        upper = (str(second.value), self._number(str(second.value)))
        closing = self._next()
        if closing.kind != "]":
            raise self._flaw("Too many terms in numeric range expression", closing)
        if first[1] >= upper[1]:
            raise self._flaw("Bottom must be less than top", closing)
        return Numeric((first, upper))

    def _comparison(self) -> tuple[str, Decimal]:
        token = self._next()
        if token.kind != "string":
            raise self._flaw(f"Invalid member in numeric match: {_shown(token)}", token)
        operator = str(token.value)
        if operator not in ("=", "<", "<=", ">", ">="):
            raise self._flaw(f"Unrecognized numeric range operator: {operator}", token)
        return operator, self._number(operator)

    def _number(self, operator: str) -> Decimal:
        token = self._next()
        if token.kind != "number":
            raise self._flaw(f"Value of {operator} must be numeric", token)
        return Decimal(str(token.value))


def _scalar(token: Token) -> str | Decimal | bool | None:
    return Decimal(str(token.value)) if token.kind == "number" else token.value


def _shown(token: Token) -> str:
    if token.kind in ("string", "number"):
        return str(token.value)
    words = {True: "true", False: "false", None: "null"}
    return (
        words[bool(token.value) if token.value is not None else None]
        if (token.kind == "word")
        else token.kind
    )


_OPERATORS: Final[Mapping[str, Callable[[_Reader, str], Pattern]]] = {
    "prefix": lambda reader, name: Prefix(reader.text(name)),
    "suffix": lambda reader, name: Suffix(reader.text(name)),
    "equals-ignore-case": lambda reader, name: IgnoringCase(reader.text(name).casefold()),
    "anything-but": _Reader.anything_but,
    "numeric": _Reader.numeric,
    "exists": _Reader.exists,
    "cidr": _Reader.cidr,
}
