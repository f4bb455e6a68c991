"""What decides whether, where and how much a model answers, and what that costs."""

from dataclasses import dataclass, field
from typing import Literal

from outcrop.billing.usage import UsageMeter
from outcrop.capacity.capacity import Capacity
from outcrop.config import Capacity as CapacityConfig, Training
from outcrop.quotas.book import QuotaBook
from outcrop.quotas.limiter import Limiter


@dataclass(frozen=True, slots=True)
class Serving:
    """One for a deployment. ``regions`` are those that calls across regions may go to; with
    ``limits_rates`` off no quota of requests or tokens a minute holds."""

    book: QuotaBook
    limiter: Limiter
    usage: UsageMeter
    capacity: Capacity
    capacity_config: CapacityConfig
    regions: tuple[str, ...]
    access_default: Literal["none", "all"] = "none"
    limits_rates: bool = True
    training: Training = field(default_factory=Training)
