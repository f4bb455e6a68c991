"""Reads filter patterns of JSON and of columns from left to right: signs, names, values."""

import re
from typing import Final

from outcrop.logs.pattern_values import (
    MAX_REGEXES,
    OPERATORS,
    InvalidPattern,
    Value,
    plain_value,
    quoted_value,
    regex_value,
)

MAX_DEPTH: Final = 50
_SPACE: Final = re.compile(r"\s*")
_WORD: Final = re.compile(r"[A-Za-z]+")


class Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._regexes = 0

    def skip_space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        if found:
            self.at = found.end()

    def take(self, literal: str) -> bool:
        self.skip_space()
        if not self.text.startswith(literal, self.at):
            return False
        self.at += len(literal)
        return True

    def need(self, literal: str) -> None:
        if not self.take(literal):
            raise InvalidPattern

    def take_match(self, pattern: re.Pattern[str]) -> str | None:
        self.skip_space()
        found = pattern.match(self.text, self.at)
        if found is None or found.end() == self.at:
            return None
        self.at = found.end()
        return found[0]

    def take_words(self, *words: str) -> bool:
        """In any case; all of them or none."""
        start = self.at
        for word in words:
            self.skip_space()
            found = _WORD.match(self.text, self.at)
            if found is None or found[0].upper() != word:
                self.at = start
                return False
            self.at = found.end()
        return True

    def operator(self) -> str | None:
        return next((sign for sign in OPERATORS if self.take(sign)), None)

    def value(self, plain: re.Pattern[str]) -> Value:
        """``plain`` matches values without quotes."""
        self.skip_space()
        if self.text.startswith('"', self.at):
            return quoted_value(self.quoted())
        if self.text.startswith("%", self.at):
            return regex_value(self.regex())
        found = self.take_match(plain)
        if found is None or not found.strip():
            raise InvalidPattern
        return plain_value(found.strip())

    def quoted(self) -> str:
        """The text in quotes; a backslash keeps a quote or itself."""
        quote, parts = self.text[self.at], list[str]()
        self.at += 1
        while self.at < len(self.text):
            one = self.text[self.at]
            self.at += 1
            if one == quote:
                return "".join(parts)
            if one == "\\" and self.text[self.at : self.at + 1] in (quote, "\\"):
                one = self.text[self.at]
                self.at += 1
            parts.append(one)
        raise InvalidPattern

    def regex(self) -> str:
        self._regexes += 1
        end = self.text.find("%", self.at + 1)
        if end < 0 or self._regexes > MAX_REGEXES:
            raise InvalidPattern
        source, self.at = self.text[self.at + 1 : end], end + 1
        return source

    @property
    def is_at_end(self) -> bool:
        self.skip_space()
        return self.at == len(self.text)
