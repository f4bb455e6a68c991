"""What is known of a metric in one span of time, and the statistics that follow from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from outcrop.metrics.histogram import Histogram, merged


@dataclass(frozen=True, slots=True)
class Point:
    """``histogram`` has no values for samples that came as a summary (a statistic set): where it
    holds fewer than ``samples``, nobody knows how they were distributed."""

    samples: float
    sum: float
    minimum: float
    maximum: float
    histogram: Histogram

    @classmethod
    def of(cls, counts: Mapping[float, float]) -> "Point":
        """``counts`` is how often each value came; it is not empty."""
        return cls(
            samples=sum(counts.values()),
            sum=sum(value * count for value, count in counts.items()),
            minimum=min(counts),
            maximum=max(counts),
            histogram=merged([counts]),
        )

    @property
    def average(self) -> float:
        return self.sum / self.samples

    @property
    def is_distributed(self) -> bool:
        held = sum(self.histogram.values())
        return abs(held - self.samples) <= 1e-9 * self.samples


def merge(points: Iterable[Point]) -> Point:
    """Of one point at least."""
    each = list(points)
    if len(each) == 1:
        return each[0]
    return Point(
        samples=sum(point.samples for point in each),
        sum=sum(point.sum for point in each),
        minimum=min(point.minimum for point in each),
        maximum=max(point.maximum for point in each),
        histogram=merged(point.histogram for point in each),
    )


Dimensions = tuple[tuple[str, str], ...]
"""Names and values, by name."""


def ordered(dimensions: Mapping[str, str]) -> Dimensions:
    return tuple(sorted(dimensions.items()))


@dataclass(frozen=True, slots=True)
class Sample:
    """``resolution_s`` 1 is kept by the second as well as by the minute, 60 by the minute."""

    name: str
    dimensions: Dimensions
    at_s: int
    unit: str
    point: Point
    resolution_s: int = 60
