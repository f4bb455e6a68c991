"""Patterns of actions, resources and condition values: ``*``, ``?`` and ``${variables}``, compiled.

Matching takes time linear in the value whatever the pattern is: equality, a prefix or a chain of
``str.find`` where that is enough, else one automaton whose states are the bits of an integer.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Keys = Mapping[str, str | tuple[str, ...]]
Matcher = Callable[[str], bool]

# ${key}, ${key, 'default'} and the escapes ${*} ${?} ${$}.
_VARIABLE = re.compile(r"\$\{(?:([*?$])|([^{}$,'*?]+)(?:,\s*'([^']*)'\s*)?)\}")
# Colons that separate the parts of an ARN.
_ARN_COLONS = 5


@dataclass(frozen=True, slots=True)
class Wildcard:
    """``*`` or ``?``; within one part of an ARN it stops at the part's end."""

    many: bool
    crosses: bool


@dataclass(frozen=True, slots=True)
class Variable:
    key: str
    default: str | None


_STAR, _ANY = Wildcard(True, True), Wildcard(False, True)
_PART_STAR, _PART_ANY = Wildcard(True, False), Wildcard(False, False)
Token = str | Wildcard | Variable
Tokens = tuple[Token, ...]


class MalformedVariable(Exception):
    pass


def tokenize(text: str, *, wildcards: bool, variables: bool) -> Tokens:
    tokens: list[Token] = []
    at = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        tokens += _literal(text[at : found.start()], wildcards, variables)
        escaped, key, default = found.groups()
        tokens.append(escaped or Variable(key.strip().lower(), default))
        at = found.end()
    return (*tokens, *_literal(text[at:], wildcards, variables))


def _literal(text: str, wildcards: bool, variables: bool) -> list[Token]:
    if variables and "${" in text:
        raise MalformedVariable(text)
    if not wildcards:
        return [text] if text else []
    pieces = re.split(r"([*?])", text)
    marks: dict[str, Token] = {"*": _STAR, "?": _ANY}
    return [marks.get(piece, piece) for piece in pieces if piece]


def variables_of(tokens: Tokens) -> frozenset[str]:
    return frozenset(token.key for token in tokens if isinstance(token, Variable))


def resolve(tokens: Tokens, keys: Keys) -> Tokens | None:
    """The tokens with the request's values as literal text; None if one has no single value."""
    done: list[Token] = []
    for token in tokens:
        if isinstance(token, Variable):
            value = keys.get(token.key)
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 else None
            value = token.default if value is None else value
            if value is None:
                return None
            done.append(value)
        else:
            done.append(token)
    return tuple(done)


def compile_tokens(tokens: Tokens) -> Matcher:
    """A matcher of whole values for tokens without variables."""
    if all(isinstance(token, str) for token in tokens):
        return "".join(token for token in tokens if isinstance(token, str)).__eq__
    if all(isinstance(token, str) or token is _STAR for token in tokens):
        return _compile_stars(tokens)
    return _compile_automaton(tokens)


def _compile_stars(tokens: Tokens) -> Matcher:
    pieces = [""]
    for token in tokens:
        if isinstance(token, str):
            pieces[-1] += token
        else:
            pieces.append("")
    first, *middle, last = pieces
    middle = [piece for piece in middle if piece]
    if not middle and not last:
        return lambda value: value.startswith(first)
    shortest = len(first) + len(last)

    def matches(value: str) -> bool:
        if len(value) < shortest or not (value.startswith(first) and value.endswith(last)):
            return False
        at, end = len(first), len(value) - len(last)
        for piece in middle:
            found = value.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches


def _compile_automaton(tokens: Tokens) -> Matcher:
    """Bit ``i`` of the state says that the first ``i`` single-character tokens are matched."""
    steps: dict[str, int] = {}
    any_step = part_step = loops = part_loops = 0
    bit = 1
    for token in tokens:
        if isinstance(token, str):
            for character in token:
                steps[character] = steps.get(character, 0) | bit
                bit <<= 1
        elif isinstance(token, Wildcard) and token.many:
            loops |= bit if token.crosses else 0
            part_loops |= 0 if token.crosses else bit
        else:
            any_step |= bit if token == _ANY else 0
            part_step |= 0 if token == _ANY else bit
            bit <<= 1
    accepting = bit

    def matches(value: str) -> bool:
        state = 1
        for character in value:
            step, loop = steps.get(character, 0) | any_step, loops
            if character != ":":
                step, loop = step | part_step, loop | part_loops
            state = ((state & step) << 1) | (state & loop)
            if not state:
                return False
        return bool(state & accepting)

    return matches


def within_arn_parts(tokens: Tokens, *, strictly: bool) -> Tokens:
    """A wildcard inside one of the first parts of an ARN stays in that part.

    In a resource a ``*`` at the end of its part goes on beyond the colon (IAM's reference of
    Resource); in an ARN condition each part is compared by itself.
    """
    colons = 0
    done: list[Token] = []
    for index, token in enumerate(tokens):
        if isinstance(token, str):
            colons += token.count(":")
        elif isinstance(token, Wildcard) and colons < _ARN_COLONS:
            following = tokens[index + 1] if index + 1 < len(tokens) else ":"
            ends_part = isinstance(following, str) and following.startswith(":")
            free = token.many and ends_part and not strictly
            token = token if free else _part_token(token)
        done.append(token)
    return tuple(done)


def _part_token(token: Wildcard) -> Wildcard:
    return _PART_STAR if token.many else _PART_ANY


class PatternSet:
    """Patterns of which one must match: those with variables are compiled when they are asked."""

    __slots__ = ("_templates", "matches", "variables")

    def __init__(self, patterns: Sequence[Tokens]) -> None:
        exact: set[str] = set()
        prefixes: list[str] = []
        compiled: list[Matcher] = []
        templates: list[Tokens] = []
        for tokens in patterns:
            match tokens:
                case ():
                    exact.add("")
                case (str(text),):
                    exact.add(text)
                case (Wildcard(many=True, crosses=True),):
                    prefixes.append("")
                case (str(text), Wildcard(many=True, crosses=True)):
                    prefixes.append(text)
                case _ if variables_of(tokens):
                    templates.append(tokens)
                case _:
                    compiled.append(compile_tokens(tokens))
        self._templates = tuple(templates)
        self.variables = frozenset[str]().union(*map(variables_of, templates))
        self.matches: Callable[[str, Keys], bool] = _match_any(
            frozenset(exact), tuple(prefixes), tuple(compiled), self._templates
        )

    def resolves(self, keys: Keys) -> bool:
        """Whether the request has a value for each variable."""
        return all(resolve(tokens, keys) is not None for tokens in self._templates)


def _match_any(
    exact: frozenset[str],
    prefixes: tuple[str, ...],
    compiled: tuple[Matcher, ...],
    templates: tuple[Tokens, ...],
) -> Callable[[str, Keys], bool]:
    """The least that has to be asked: most sets are a few names or one prefix."""
    if "" in prefixes:
        return lambda _value, _keys: True
    if not compiled and not templates:
        if not prefixes:
            return lambda value, _keys: value in exact
        return lambda value, _keys: value.startswith(prefixes) or value in exact

    def matches(value: str, keys: Keys) -> bool:
        return (
            value in exact
            or value.startswith(prefixes)
            or any(matcher(value) for matcher in compiled)
            or any(_matches_template(tokens, value, keys) for tokens in templates)
        )

    return matches


def _matches_template(tokens: Tokens, value: str, keys: Keys) -> bool:
    resolved = resolve(tokens, keys)
    return resolved is not None and _compile_resolved(resolved)(value)


# The same few values of the same caller come again and again.
_compile_resolved = lru_cache(maxsize=256)(compile_tokens)
