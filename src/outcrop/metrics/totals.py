"""Bedrock's metrics since this process began, in memory: what ``/metrics`` shows to Prometheus.

They count what CloudWatch's metrics count, and only what is committed there. Keys are bounded: once
there are too many, whatever is new is counted under ``OTHERS``.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LATENCY_BOUNDS_MS: Final = (
    *(5, 10, 25, 50, 100, 250, 500),
    *(1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000),
)
OTHERS: Final = "(others)"
_MOST_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Key:
    """``model`` is the model ID as callers sent it, empty for metrics of no model."""

    account: str
    region: str
    model: str


# Not frozen: added to with every call.
@dataclass(slots=True)
class Latency:
    """``buckets[i]`` counts what took at most ``LATENCY_BOUNDS_MS[i]`` and longer than the bound
    before; the last one, what took longer than all of them."""

    count: int = 0
    sum_ms: float = 0.0
    least_ms: float = 0.0
    most_ms: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_MS) + 1))

    def add(self, latency_ms: float, times: int = 1) -> None:
        self.least_ms = min(self.least_ms, latency_ms) if self.count else latency_ms
        self.most_ms = max(self.most_ms, latency_ms)
        self.count += times
        self.sum_ms += latency_ms * times
        self.buckets[bisect_left(LATENCY_BOUNDS_MS, latency_ms)] += times


class Totals:
    """``counts`` is by metric name (``metrics.names``) and key; ``latencies`` by key."""

    def __init__(self, most_keys: int = _MOST_KEYS) -> None:
        self._most_keys = most_keys
        self._keys: set[Key] = set()
        self._counts: dict[str, dict[Key, float]] = {}
        self._latencies: dict[Key, Latency] = {}

    @property
    def counts(self) -> Mapping[str, Mapping[Key, float]]:
        return self._counts

    @property
    def latencies(self) -> Mapping[Key, Latency]:
        return self._latencies

    def add(self, name: str, key: Key, number: float) -> None:
        of_name = self._counts.setdefault(name, {})
        key = self._bounded(key)
        of_name[key] = of_name.get(key, 0) + number

    def add_latency(self, key: Key, latency_ms: float, times: int = 1) -> None:
        self._latencies.setdefault(self._bounded(key), Latency()).add(latency_ms, times)

    def _bounded(self, key: Key) -> Key:
        if key not in self._keys:
            if len(self._keys) >= self._most_keys:
                return Key(OTHERS, OTHERS, OTHERS)
            self._keys.add(key)
        return key
