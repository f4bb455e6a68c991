"""JSON of filter and redrive policies as tokens, each with the place that AWS's errors name.

AWS reads them with Jackson, whose location is where the reader stands: after the opening quote of
a string, after a whole number or word, and of a field's name after the begin of its value.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec

Kind = Literal["{", "}", "[", "]", "name", "string", "number", "word"]
Scalar = str | int | float | bool | None

MAX_DEPTH: Final = 64
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(
    r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,63})(?:\.[0-9]{1,64})?(?:[eE][+-]?[0-9]{1,2})?")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Token:
    """``end`` is the offset at which Jackson stands. A number's ``value`` is its text."""

    kind: Kind
    value: str | bool | None
    end: int


class MalformedJson(Exception):
    """The text is Jackson's."""


def read_tokens(text: str) -> list[Token]:
    reader = _Reader(text)
    reader.value(0)
    reader.skip()
    if reader.at != len(text):
        raise reader.unexpected("was expecting the end of the text")
    return reader.tokens


def place_of(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return f"line: {line}, column: {column}"


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self.tokens: list[Token] = []

    def skip(self) -> None:
        found = _SPACE.match(self._text, self.at)
        self.at = found.end() if found else self.at

    def value(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._flaw(f"Document nesting depth exceeds the maximum allowed ({MAX_DEPTH})")
        self.skip()
        match self._text[self.at : self.at + 1]:
            case "{":
                self._object(depth)
            case "[":
                self._array(depth)
            case '"':
                start = self.at
                self.tokens.append(Token("string", self._string(), start + 1))
            case _:
                self._scalar()

    def _object(self, depth: int) -> None:
        self._mark("{")
        if self._found("}"):
            return
        while True:
            if self._text[self.at : self.at + 1] != '"':
                raise self.unexpected("was expecting double-quote to start field name")
            index = len(self.tokens)
            self.tokens.append(Token("name", self._string(), 0))
            self.skip()
            if self._text[self.at : self.at + 1] != ":":
                raise self.unexpected("was expecting a colon to separate field name and value")
            self.at += 1
            self.value(depth + 1)
            name = self.tokens[index]
            self.tokens[index] = replace(name, end=self.tokens[index + 1].end)
            if self._found("}"):
                return
            self._comma("Object")

    def _array(self, depth: int) -> None:
        self._mark("[")
        if self._found("]"):
            return
        while True:
            self.value(depth + 1)
            if self._found("]"):
                return
            self._comma("Array")

    def _mark(self, bracket: Literal["{", "}", "[", "]"]) -> None:
        self.at += 1
        self.tokens.append(Token(bracket, None, self.at))

    def _found(self, bracket: Literal["}", "]"]) -> bool:
        self.skip()
        found = self._text.startswith(bracket, self.at)
        if found:
            self._mark(bracket)
        return found

    def _comma(self, of: str) -> None:
        if self._text[self.at : self.at + 1] != ",":
            raise self.unexpected(f"was expecting comma to separate {of} entries")
        self.at += 1
        self.skip()

    def _string(self) -> str:
        found = _STRING.match(self._text, self.at)
        if found is None:
            raise self._flaw("Unexpected end-of-input or an illegal character in a string value")
        self.at = found.end()
        try:
            return msgspec.json.decode(found[0], type=str)
        except (msgspec.DecodeError, UnicodeError) as error:
            # Half of a surrogate pair.
            raise self._flaw("A string has an incomplete surrogate pair") from error

    def _scalar(self) -> None:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self.at):
                self.at += len(word)
                self.tokens.append(Token("word", value, self.at))
                return
        found = _NUMBER.match(self._text, self.at)
        if found is None:
            raise self.unexpected("was expecting a JSON String, Number, Array, Object or token")
        self.at = found.end()
        self.tokens.append(Token("number", found[0], self.at))

    def unexpected(self, expecting: str) -> MalformedJson:
        if self.at >= len(self._text):
            return self._flaw("Unexpected end-of-input")
        character = self._text[self.at]
        return self._flaw(
            f"Unexpected character ('{character}' (code {ord(character)})): {expecting}"
        )

    def _flaw(self, text: str) -> MalformedJson:
        source = "REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"
        return MalformedJson(f"{text}\n at [Source: {source}; {place_of(self._text, self.at)}]")
