"""JSON as policies are read: with the offsets of objects, without duplicate keys, of bounded depth.

Standard decoders keep the last of two equal keys; a policy with two ``Condition`` elements must
not lose one of them silently.
"""

import re
from dataclasses import dataclass

import msgspec

_MAX_DEPTH = 16
_SPACE = re.compile(r"[ \t\r\n]*")
# The end of the text counts as one: slicing there yields nothing.
_SPACES = " \t\r\n"
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class JsonError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is written: 1.10 and 1.1 differ as text."""

    text: str


@dataclass(frozen=True, slots=True)
class Array:
    """``begins`` are the offsets after the bracket or comma before each item."""

    items: "list[Value]"
    begins: list[int]
    ends: list[int]


@dataclass(frozen=True, slots=True)
class Object:
    """``begin`` and ``end`` are the offsets after the opening and the closing brace."""

    members: "dict[str, Value]"
    begin: int
    end: int


Value = Object | Array | Number | str | bool | None


def read_json(text: str) -> Value:
    reader = _Reader(text)
    value = reader.value(0)
    if reader.skip() != len(text):
        raise JsonError
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def skip(self) -> int:
        """To the next token: its offset."""
        if self._text[self._at : self._at + 1] not in _SPACES:
            return self._at
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def value(self, depth: int) -> Value:
        if depth > _MAX_DEPTH:
            raise JsonError
        self.skip()
        match self._text[self._at : self._at + 1]:
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"':
                return self._string()
            case _:
                return self._scalar()

    def _object(self, depth: int) -> Object:
        self._at += 1
        begin = self._at
        members: dict[str, Value] = {}
        if self._found("}"):
            return Object(members, begin, self._at)
        while True:
            self.skip()
            key = self._string()
            if key in members or not self._found(":"):
                raise JsonError
            members[key] = self.value(depth + 1)
            if self._found("}"):
                return Object(members, begin, self._at)
            if not self._found(","):
                raise JsonError

    def _array(self, depth: int) -> Array:
        self._at += 1
        array = Array([], [], [])
        begin = self._at
        if self._found("]"):
            return array
        while True:
            array.begins.append(begin)
            array.items.append(self.value(depth + 1))
            array.ends.append(self._at)
            if self._found("]"):
                return array
            if not self._found(","):
                raise JsonError
            begin = self._at

    def _found(self, token: str) -> bool:
        at = self.skip()
        found = self._text.startswith(token, at)
        self._at += len(token) * found
        return found

    def _string(self) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            raise JsonError
        self._at = match.end()
        if "\\" not in match[0]:
            return match[0][1:-1]
        try:
            return msgspec.json.decode(match[0], type=str)
        except msgspec.DecodeError as error:
            # Half of a surrogate pair.
            raise JsonError from error

    def _scalar(self) -> Value:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            raise JsonError
        self._at = match.end()
        return Number(match[0])
