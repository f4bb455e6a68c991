"""A vocabulary of scored pieces (SentencePiece's, as of Llama 2) with llama.cpp's tokens.

A text's neighbours are joined as long as they make a token, the one with the highest score first
and of equals the leftmost. What is no token in the end is written as bytes.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Final

SPACE: Final = "\u2581"
_CACHED_WORDS: Final = 2**16
# Of language. What is longer comes once, and would be kept for nothing.
_MOST_CACHED_CHARACTERS: Final = 64
_WORDS: Final = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
_INNER_SPACE: Final = re.compile(f"[^{SPACE}]{SPACE}")

# Minus its score, where its left part stands, and how many characters it has.
_Pair = tuple[float, int, int]


class ScoredPieces:
    """``bytes_`` are the IDs of the 256 bytes."""

    def __init__(
        self, ids: Mapping[str, int], scores: Sequence[float], bytes_: Sequence[int], prefix: bool
    ) -> None:
        self._ids = ids
        self._scores = scores
        self._bytes = bytes_
        self._prefix = SPACE if prefix else ""
        # No token reaches over a space behind a word: so words are joined each by itself.
        self._in_words = not any(map(_INNER_SPACE.search, ids))
        self._short_word = lru_cache(_CACHED_WORDS)(self._join)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> list[int]:
        if not text:
            return []
        text = self._prefix + text.replace(" ", SPACE)
        if not self._in_words:
            return list(self._join(text))
        return [token for word in _WORDS.findall(text) for token in self._word(word)]

    def _word(self, word: str) -> tuple[int, ...]:
        return (self._short_word if len(word) <= _MOST_CACHED_CHARACTERS else self._join)(word)

    def _join(self, text: str) -> tuple[int, ...]:
        parts = _Parts(text)
        pairs = [pair for left in range(len(text)) if (pair := self._pair(parts, left))]
        heapify(pairs)
        while pairs:
            _, left, size = heappop(pairs)
            if not parts.join(left, size):
                continue
            for start in (parts.before[left], left):
                if start >= 0 and (pair := self._pair(parts, start)):
                    heappush(pairs, pair)
        return tuple(token for part in parts.texts if part for token in self._tokens(part))

    def _pair(self, parts: "_Parts", left: int) -> _Pair | None:
        right = parts.after[left]
        if right >= len(parts.texts):
            return None
        text = parts.texts[left] + parts.texts[right]
        token = self._ids.get(text)
        return None if token is None else (-self._scores[token], left, len(text))

    def _tokens(self, part: str) -> Sequence[int]:
        token = self._ids.get(part)
        return [self._bytes[byte] for byte in part.encode()] if token is None else (token,)


class _Parts:
    """A text in parts; one that was joined to the part on its left is empty."""

    def __init__(self, text: str) -> None:
        self.texts = list(text)
        self.before = list(range(-1, len(text) - 1))
        self.after = list(range(1, len(text) + 1))

    def join(self, left: int, size: int) -> bool:
        """Whether there still was such a pair to join."""
        right = self.after[left]
        if right >= len(self.texts) or not self.texts[left]:
            return False
        joined = self.texts[left] + self.texts[right]
        if len(joined) != size:
            return False
        self.texts[left], self.texts[right] = joined, ""
        self.after[left] = self.after[right]
        if self.after[right] < len(self.texts):
            self.before[self.after[right]] = left
        return True
