"""A query's tokens, taken one after the other."""

from typing import Final

from outcrop.logs.insights_tokens import MalformedQuery, Token, tokenize

MAX_DEPTH: Final = 50


class Words:
    def __init__(self, query: str) -> None:
        self._tokens = tokenize(query)
        self._at = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    @property
    def is_at_end(self) -> bool:
        return self.next.kind == "end"

    def take(self, sign: str) -> bool:
        if self.next.kind != "sign" or self.next.text != sign:
            return False
        self._at += 1
        return True

    def need(self, sign: str) -> None:
        if not self.take(sign):
            raise self.unexpected()

    def take_word(self, word: str) -> bool:
        if self.next.kind != "name" or self.next.text.lower() != word:
            return False
        self._at += 1
        return True

    def take_kind(self, kind: str) -> Token | None:
        token = self.next
        if token.kind != kind:
            return None
        self._at += 1
        return token

    def name(self) -> Token:
        token = self.take_kind("name")
        if token is None:
            raise self.unexpected()
        return token

    def until(self, sign: str) -> str:
        """What stands before the sign, which is taken too."""
        parts: list[str] = []
        while not self.take(sign):
            if self.is_at_end:
                raise self.unexpected()
            parts.append(", " if self.next.text == "," else self.next.text)
            self._at += 1
        return "".join(parts)

    def unexpected(self) -> MalformedQuery:
        if self.is_at_end:
            return MalformedQuery("unexpected end of the query", self.next.at)
        return MalformedQuery(f"unexpected symbol found {self.next.text}", self.next.at)
