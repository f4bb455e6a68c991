"""How often which values came, for percentiles: exact for few values, else within one percent.

A histogram is how often each value came. One of too many different values rounds each to its bin;
bins are as wide as one percent of their value. Rounding twice changes nothing, so histograms can be
merged in any order.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

Histogram = Mapping[float, float]
"""How often (values) each number (keys) came."""

EXACT_VALUES: Final = 64
_ERROR: Final = 0.01
_GROWTH: Final = math.log((1 + _ERROR) / (1 - _ERROR))


def merged(histograms: Iterable[Histogram]) -> Histogram:
    counts: dict[float, float] = {}
    for histogram in histograms:
        for value, count in histogram.items():
            counts[value] = counts.get(value, 0.0) + count
    return _rounded(counts) if len(counts) > EXACT_VALUES else counts


def rank_value(histogram: Histogram, share: float) -> float:
    """The least value that ``share`` (0 to 1) of all values do not exceed."""
    ordered = sorted(histogram.items())
    # Sums of shares such as 0.9 * 10 miss a whole number by little.
    wanted = share * sum(count for _, count in ordered) * (1 - 1e-12)
    reached = 0.0
    for value, count in ordered:
        reached += count
        if reached >= wanted:
            return value
    return ordered[-1][0]


def trimmed_mean(histogram: Histogram, low: float, high: float) -> float | None:
    """The mean of the values between two shares of the ordered values; values that lie on an edge
    count in part."""
    total = sum(histogram.values())
    first, last = low * total, high * total
    reached = weight = weighted = 0.0
    for value, count in sorted(histogram.items()):
        part = max(0.0, min(reached + count, last) - max(reached, first))
        weight += part
        weighted += part * value
        reached += count
    return weighted / weight if weight > 0 else None


def encode(histogram: Histogram) -> bytes:
    flat = [_plain(number) for pair in sorted(histogram.items()) for number in pair]
    return msgspec.msgpack.encode(flat)


def decode(data: bytes) -> Histogram:
    flat = msgspec.msgpack.decode(data, type=list[float])
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _plain(number: float) -> float | int:
    """Whole numbers take fewer bytes."""
    return int(number) if abs(number) < 2**53 and number == int(number) else number


def _rounded(counts: Histogram) -> Histogram:
    rounded: dict[float, float] = {}
    for value, count in counts.items():
        kept = _bin(value)
        rounded[kept] = rounded.get(kept, 0.0) + count
    return rounded


def _bin(value: float) -> float:
    """The middle of the value's bin. It is the middle of its own bin as well: it lies half a bin
    from the edges, far more than floating point is wrong by."""
    if value == 0:
        return 0.0
    number = math.floor(math.log(abs(value)) / _GROWTH)
    return math.copysign(math.exp((number + 0.5) * _GROWTH), value)
