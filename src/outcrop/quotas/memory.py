"""The limiter of one server: token buckets in this process's memory.

A bucket holds what was used of it, so that an empty record is a full bucket. Times are whole
microseconds and amounts whole numbers of ``PER_TOKEN``, which floats hold exactly up to quotas of
150 million a minute: nothing drifts. ``buckets.lua`` does the same arithmetic step by step.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from outcrop.quotas.limiter import Charge, LimitExceeded

PER_TOKEN: Final = 60_000_000.0
"""A quota of one a minute refills one of these every microsecond."""

MOST_BUCKETS: Final = 65_536
_LOOKED_AT_ONCE: Final = 4


class _Bucket:
    """``per_minute`` is the rate it refills at."""

    __slots__ = ("at_us", "per_minute", "used")

    def __init__(self, per_minute: int, at_us: int) -> None:
        self.used = 0.0
        self.per_minute = per_minute
        self.at_us = at_us

    def refill(self, now_us: int) -> None:
        if now_us > self.at_us:
            used = self.used - (now_us - self.at_us) * self.per_minute
            self.used = used if used > 0.0 else 0.0
        self.at_us = now_us

    def take(self, charge: Charge, now_us: int) -> float:
        """Even what does not fit. Returns what was used before.

        A higher rate holds from now on, a lower one from the first charge that fits into it: until
        then what was used under the higher one passes as fast as it would have.
        """
        self.refill(now_us)
        before, per_minute = self.used, charge.per_minute
        self.used = used = before + charge.amount * PER_TOKEN
        if per_minute > self.per_minute or used <= per_minute * PER_TOKEN:
            self.per_minute = per_minute
        return before


class MemoryLimiter:
    """Full buckets are forgotten once there are ``most_buckets``, a few with every new one; never
    one that is not full, since that would give its quota away."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, most_buckets: int = MOST_BUCKETS
    ) -> None:
        self._clock = clock
        self._most = most_buckets
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    async def take(self, charges: Sequence[Charge]) -> None:
        now_us = round(self._clock() * 1e6)
        taken: list[tuple[_Bucket, float]] = []
        fit = True
        for charge in charges:
            bucket = self._buckets.get(charge.bucket)
            if bucket is None:
                bucket = self._add(charge.bucket, charge.per_minute, now_us)
            taken.append((bucket, bucket.take(charge, now_us)))
            if bucket.used > charge.per_minute * PER_TOKEN:
                fit = False
        if not fit:
            refused = _refusal(charges, [bucket for bucket, _ in taken])
            for bucket, used in reversed(taken):
                bucket.used = used
            raise refused

    async def give_back(self, charge: Charge, amount: int) -> None:
        now_us = round(self._clock() * 1e6)
        bucket = self._buckets.get(charge.bucket)
        if bucket is None:
            if amount >= 0:
                return
            bucket = self._add(charge.bucket, charge.per_minute, now_us)
        bucket.refill(now_us)
        if not bucket.used:
            # A debt to a quota of nothing would never end.
            bucket.per_minute = max(charge.per_minute, 1)
        bucket.used = max(0.0, bucket.used - amount * PER_TOKEN)

    async def close(self) -> None:
        self._buckets.clear()

    def __len__(self) -> int:
        return len(self._buckets)

    def _add(self, name: str, per_minute: int, now_us: int) -> _Bucket:
        if len(self._buckets) >= self._most:
            self._forget_full(now_us)
        bucket = self._buckets[name] = _Bucket(per_minute, now_us)
        return bucket

    def _forget_full(self, now_us: int) -> None:
        """Looks at the few that were looked at longest ago."""
        for _ in range(min(_LOOKED_AT_ONCE, len(self._buckets))):
            name, bucket = self._buckets.popitem(last=False)
            bucket.refill(now_us)
            if bucket.used:
                self._buckets[name] = bucket


def _refusal(charges: Sequence[Charge], buckets: Sequence[_Bucket]) -> LimitExceeded:
    """For the charge that waits longest, where ``buckets`` have all charges taken from them."""
    waits_us = [
        _wait_us(charge, bucket, charges) for charge, bucket in zip(charges, buckets, strict=True)
    ]
    longest_us = max(waits_us)
    charge = charges[waits_us.index(longest_us)]
    return LimitExceeded(charge, None if math.isinf(longest_us) else longest_us / 1e6)


def _wait_us(charge: Charge, bucket: _Bucket, charges: Sequence[Charge]) -> float:
    over = bucket.used - charge.per_minute * PER_TOKEN
    if over <= 0:
        return 0
    asked = sum(each.amount for each in charges if each.bucket == charge.bucket)
    return math.inf if asked > charge.per_minute else math.ceil(over / bucket.per_minute)
