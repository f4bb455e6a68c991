"""Statistics of a point by the names that CloudWatch gives them: ``Sum``, ``p99.9``, ``tm90``.

Source: "CloudWatch statistics definitions" of the CloudWatch user guide. The forms with bounds in
values (``TM(150:1000)``) and what is built on them are not there.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from outcrop.metrics.histogram import rank_value, trimmed_mean
from outcrop.metrics.points import Point

SAMPLE_COUNT: Final = "SampleCount"
_SHARE = re.compile(r"(p|tm)(\d{1,3}(?:\.\d{1,10})?)", re.ASCII)

_PLAIN: Final[Mapping[str, Callable[[Point], float]]] = {
    SAMPLE_COUNT: lambda point: point.samples,
    "Sum": lambda point: point.sum,
    "Average": lambda point: point.average,
    "Minimum": lambda point: point.minimum,
    "Maximum": lambda point: point.maximum,
}


class UnknownStatistic(Exception):
    """The name of no statistic."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """``share`` is the percentage of a percentile or of a trimmed mean."""

    name: str
    share: float | None = None

    @property
    def is_percentile(self) -> bool:
        return self.name.startswith("p")

    def of(self, point: Point) -> float | None:
        """None where the samples came without their distribution, and where it is no finite
        number."""
        value = self._of(point)
        return value if value is not None and math.isfinite(value) else None

    def _of(self, point: Point) -> float | None:
        if self.share is None:
            return _PLAIN[self.name](point)
        if not point.is_distributed:
            return None
        if self.is_percentile:
            return rank_value(point.histogram, self.share / 100)
        return trimmed_mean(point.histogram, 0.0, self.share / 100)


def parse_statistic(name: str) -> Statistic:
    if name in _PLAIN:
        return Statistic(name)
    found = _SHARE.fullmatch(name)
    if found is None or not 0 <= (share := float(found[2])) <= 100:
        raise UnknownStatistic(name)
    return Statistic(name, share)
