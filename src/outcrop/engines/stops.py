"""Stop sequences across pieces of text, one automaton for all of them (Aho and Corasick, 1975).

The sequence that is complete first ends the text, of several complete at one character the longest:
so the result never depends on how the text was cut into pieces. Each character is read once.
"""

from collections import deque
from collections.abc import Sequence

from outcrop.generation import Token


class StopMatcher:
    """Feed text, emit what comes back; after a match nothing more may be fed."""

    def __init__(self, sequences: Sequence[str]) -> None:
        if not all(sequences):
            raise ValueError("a stop sequence is empty")
        self._steps: list[dict[str, int]] = [{}]
        self._depth = [0]
        self._match: list[str | None] = [None]
        for sequence in sequences:
            self._insert(sequence)
        self._fail = [0] * len(self._steps)
        self._link()
        self._firsts = frozenset(self._steps[0])
        self._state = 0
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """Text that is safe to emit, and the sequence met, if any: the text then ends before it."""
        if not self._state and self._firsts.isdisjoint(text):
            return text, None
        pending = self._held + text
        for position, character in enumerate(text, len(self._held) + 1):
            state = self._state = self._next(self._state, character)
            matched = self._match[state]
            if matched is not None:
                self._held, self._state = "", 0
                return pending[: position - len(matched)], matched
        safe = len(pending) - self._depth[self._state]
        self._held = pending[safe:]
        return pending[:safe], None

    def flush(self) -> str:
        """What was held back, when the text ended without completing a sequence."""
        held, self._held, self._state = self._held, "", 0
        return held

    def _insert(self, sequence: str) -> None:
        state = 0
        for character in sequence:
            if character not in self._steps[state]:
                self._steps[state][character] = len(self._steps)
                self._steps.append({})
                self._depth.append(self._depth[state] + 1)
                self._match.append(None)
            state = self._steps[state][character]
        self._match[state] = sequence

    def _link(self) -> None:
        """Point every state at the longest other state that its text ends with."""
        queue = deque(self._steps[0].values())
        while queue:
            state = queue.popleft()
            for character, child in self._steps[state].items():
                self._fail[child] = self._next(self._fail[state], character)
                if self._match[child] is None:
                    self._match[child] = self._match[self._fail[child]]
                queue.append(child)

    def _next(self, state: int, character: str) -> int:
        while character not in self._steps[state]:
            if not state:
                return 0
            state = self._fail[state]
        return self._steps[state][character]


class StopFilter:
    """A ``StopMatcher`` that also holds tokens back until some of their text is emitted."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._matcher = StopMatcher(sequences)
        self._waiting: deque[tuple[int, Token]] = deque()
        self._received = 0
        self._emitted = 0

    def feed(
        self, text: str, tokens: Sequence[Token] = ()
    ) -> tuple[str, tuple[Token, ...], str | None]:
        """As ``StopMatcher.feed``; tokens wholly inside a stop sequence never come out."""
        start = self._received
        for token in tokens:
            self._waiting.append((start, token))
            start += len(token.text)
        self._received += len(text)
        safe, matched = self._matcher.feed(text)
        return safe, self._release(safe), matched

    def flush(self) -> tuple[str, tuple[Token, ...]]:
        safe = self._matcher.flush()
        released = self._release(safe) + tuple(token for _, token in self._waiting)
        self._waiting.clear()
        return safe, released

    def _release(self, safe: str) -> tuple[Token, ...]:
        self._emitted += len(safe)
        released: list[Token] = []
        while self._waiting and self._waiting[0][0] < self._emitted:
            released.append(self._waiting.popleft()[1])
        return tuple(released)
