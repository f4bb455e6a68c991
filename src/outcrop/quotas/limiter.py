"""What a limiter of rates is: counts per minute under names, taken all at once or not at all.

A count is a token bucket: it holds a minute's worth and refills evenly. What was reserved and not
used comes back; what was used beyond it is owed.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Unit = Literal["requests", "tokens", "input tokens", "output tokens"]


class Charge(msgspec.Struct, frozen=True):
    """``amount`` of what ``bucket`` allows ``per_minute``."""

    bucket: str
    amount: int
    per_minute: int
    unit: Unit


class LimitExceeded(Exception):
    """Nothing was taken. ``retry_after_s`` is when the charge would pass if nobody else came; None
    where it never will, since it is more than a whole minute's worth."""

    def __init__(self, charge: Charge, retry_after_s: float | None) -> None:
        super().__init__(f"{charge.bucket} allows {charge.per_minute} {charge.unit} a minute")
        self.charge = charge
        self.retry_after_s = retry_after_s


class LimiterUnavailable(Exception):
    """The store that counts are shared in does not answer."""


class Limiter(Protocol):
    async def take(self, charges: Sequence[Charge]) -> None:
        """Raises ``LimitExceeded`` for the one that must wait longest, ``LimiterUnavailable``."""
        ...

    async def give_back(self, charge: Charge, amount: int) -> None:
        """Of what ``charge`` took, ``amount`` was not used; a negative amount is owed."""
        ...

    async def close(self) -> None: ...
