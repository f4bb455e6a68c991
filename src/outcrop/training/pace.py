"""How fast a run goes, over its latest steps: what is left follows from that."""

import time
from collections import deque
from typing import Final

_STEPS: Final = 50


class Pace:
    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=_STEPS)

    def add(self, tokens: int) -> None:
        """A step has trained them."""
        self._seen.append((time.monotonic(), self._seen[-1][1] + tokens))

    @property
    def tokens_per_s(self) -> float:
        (since, before), (until, after) = self._seen[0], self._seen[-1]
        return (after - before) / max(1e-6, until - since)

    def left_s(self, tokens: int) -> float:
        return tokens / self.tokens_per_s if self.tokens_per_s else 0.0
