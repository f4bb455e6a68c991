"""Whether a call may run now: what it may use is taken before it begins and settled at its end.

On demand, a request and as many tokens as it may need are taken from the account's quotas of the
model in the region; of a provisioned throughput, from what was bought. Nothing else is limited.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from outcrop.billing.usage import UsageKey
from outcrop.errors import ServiceUnavailableException
from outcrop.quotas.limiter import Charge, LimiterUnavailable, Unit
from outcrop.services.bedrock_runtime.targets import Target
from outcrop.services.call import Call
from outcrop.stores.model_records import ProvisionedModel
from outcrop.stores.resources import Item

log = logging.getLogger(__name__)

_UNAVAILABLE: Final = "Bedrock is unable to process your request."


class Demand(msgspec.Struct, frozen=True):
    """Tokens that a call may need: estimated of its input, the most that it allows of output."""

    input_tokens: int
    output_tokens: int


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Admission:
    """A call that may run in ``region``."""

    call: Call
    target: Target
    region: str
    demand: Demand
    charges: tuple[Charge, ...]

    @property
    def headers(self) -> dict[str, str]:
        """Where a call that may leave its region runs."""
        if self.target.crosses_regions or self.region != self.call.region:
            return {"x-outcrop-region": self.region}
        return {}

    async def settle(self, input_tokens: int, output_tokens: int) -> None:
        """The call has ended and used this; it is accounted to its caller."""
        self._account(input_tokens, output_tokens)
        if not self.charges:
            return
        used = {
            "requests": 1,
            "tokens": input_tokens + output_tokens,
            "input tokens": input_tokens,
            "output tokens": output_tokens,
        }
        await self._return([(charge, charge.amount - used[charge.unit]) for charge in self.charges])

    async def cancel(self) -> None:
        """The call did not begin."""
        await self._return([(charge, charge.amount) for charge in self.charges])

    def _account(self, input_tokens: int, output_tokens: int) -> None:
        call, target = self.call, self.target
        key = UsageKey(call.account, self.region, target.model.id, target.resource, call.caller.arn)
        call.serving.usage.add(key, input_tokens=input_tokens, output_tokens=output_tokens)

    async def _return(self, unused: Sequence[tuple[Charge, int]]) -> None:
        for charge, amount in unused:
            if amount:
                try:
                    await self.call.serving.limiter.give_back(charge, amount)
                except LimiterUnavailable as error:
                    # What is unused comes back by itself within a minute; what is owed is lost.
                    log.warning("unused quota of %s was not given back: %s", charge.bucket, error)
                    return


async def admit(call: Call, target: Target, region: str, demand: Demand) -> Admission:
    """Raises ``LimitExceeded``."""
    charges = (
        _on_demand(call, target, region, demand)
        if target.provisioned is None
        else _bought(target.provisioned, demand)
    )
    if charges:
        try:
            await call.serving.limiter.take(charges)
        except LimiterUnavailable as error:
            log.warning("a request was refused, as its quota cannot be counted: %s", error)
            raise ServiceUnavailableException(_UNAVAILABLE) from error
    return Admission(call, target, region, demand, charges)


def _on_demand(call: Call, target: Target, region: str, demand: Demand) -> tuple[Charge, ...]:
    if not call.serving.limits_rates:
        return ()
    amounts = {"requests": 1, "tokens": demand.input_tokens + demand.output_tokens}
    return tuple(
        Charge(rate.bucket, amounts[rate.unit], rate.per_minute, rate.unit)
        for rate in call.serving.book.rates(call.account, region, target.model)
    )


def _bought(item: Item[ProvisionedModel], demand: Demand) -> tuple[Charge, ...]:
    """What needs more than a minute holds takes the minute whole, and owes what else it uses: else
    a long prompt, or a caller who sets no limit, would never be answered."""
    units, unit = item.record.units, item.record.unit
    needs: tuple[tuple[str, Unit, int, int], ...] = (
        ("input", "input tokens", demand.input_tokens, units * unit.input_tokens),
        ("output", "output tokens", demand.output_tokens, units * unit.output_tokens),
    )
    return tuple(
        Charge(f"{item.arn}/{name}", min(tokens, holds), holds, of)
        for name, of, tokens, holds in needs
        if tokens
    )
