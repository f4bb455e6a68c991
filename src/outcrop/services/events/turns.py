"""Whose turn it is at a destination: as often as it may be asked, and few at a time.

A destination that is slow gets one delivery at a time and rests in between, so that it holds up
those to others no more than a little. Whoever has to wait is told for how long, and is no failure.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from outcrop.jobs.queue import RetryLater

_AT_ONCE: Final = 8
_SLOW_S: Final = 4.0
_REST: Final = 2.0
"""How many times as long as it took, a slow destination is left alone."""
_LONGEST_S: Final = 60.0
_LEAST_S: Final = 0.1
"""The wait for others to end."""
_MOST_KEPT: Final = 1000
_MOST_PLACES: Final = 20_000


@dataclass(slots=True)
class _Destination:
    next_s: float = 0.0
    running: int = 0
    took_s: float = 0.0

    def pause_s(self, rate_per_s: float) -> float:
        rest_s = self.took_s * (1 + _REST) if self.took_s > _SLOW_S else 0.0
        return max(1 / rate_per_s, rest_s)

    @property
    def at_once(self) -> int:
        return 1 if self.took_s > _SLOW_S else _AT_ONCE


class Turns:
    """Each that has to wait has a place in the line, which the process forgets when it ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._destinations: OrderedDict[str, _Destination] = OrderedDict()
        self._places: OrderedDict[tuple[str, str], float] = OrderedDict()

    @contextmanager
    def turn(self, arn: str, delivery: str, rate_per_s: float) -> Generator[None]:
        """Raises ``RetryLater``. The longer it is held, the rarer the next ones."""
        destination = self._enter(arn, delivery, rate_per_s)
        began_s = self._clock()
        destination.running += 1
        try:
            yield
        finally:
            destination.running -= 1
            destination.took_s = self._clock() - began_s
            if destination.took_s > _SLOW_S:
                rest_s = destination.took_s * _REST
                destination.next_s = max(destination.next_s, self._clock() + rest_s)

    def _enter(self, arn: str, delivery: str, rate_per_s: float) -> _Destination:
        destination = self._destinations.setdefault(arn, _Destination())
        self._destinations.move_to_end(arn)
        self._forget_old()
        now_s, pause_s = self._clock(), destination.pause_s(rate_per_s)
        place_s = self._places.pop((arn, delivery), None)
        if place_s is None or (place_s <= now_s and destination.running >= destination.at_once):
            place_s = max(destination.next_s, now_s)
            if destination.running >= destination.at_once:
                place_s = max(place_s, now_s + max(pause_s, destination.took_s, _LEAST_S))
            if place_s - now_s > _LONGEST_S:
                # Too far away to know how fast it will be then.
                raise RetryLater(timedelta(seconds=_LONGEST_S))
            destination.next_s = place_s + pause_s
        if place_s > now_s:
            self._places[arn, delivery] = place_s
            while len(self._places) > _MOST_PLACES:
                self._places.popitem(last=False)
            raise RetryLater(timedelta(seconds=place_s - now_s))
        return destination

    def _forget_old(self) -> None:
        for arn in list(self._destinations)[: max(len(self._destinations) - _MOST_KEPT, 0)]:
            if not self._destinations[arn].running:
                del self._destinations[arn]
