"""What things cost, exactly: decimals as they were written, never sums of floats.

A ledger keeps prices as text beside what was counted at them; a cost is made of both when read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Final, Self

from outcrop.catalog.model import Model
from outcrop.config import Capacity
from outcrop.stores.model_records import Commitment, ModelUnit

NANO: Final = 1_000_000_000
"""Costs are whole nano-dollars."""

_UNKNOWN: Final = "-"
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per 1,000 tokens; None where nobody knows."""

    input: Decimal | None = None
    output: Decimal | None = None

    @classmethod
    def of(cls, model: Model) -> Self:
        return cls(_find(model.prices, "input"), _find(model.prices, "output"))

    def render(self) -> str:
        return f"{_render(self.input)}/{_render(self.output)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        input, _, output = text.partition("/")
        return cls(_parse(input), _parse(output))

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """Nano-dollars. What has no price costs nothing: ``covers`` tells of it."""
        exact = (
            Fraction(self.input or 0) * input_tokens + Fraction(self.output or 0) * output_tokens
        )
        return whole(exact / 1000)

    def covers(self, input_tokens: int, output_tokens: int) -> bool:
        """Whether a price is known for all that was used."""
        return (self.input is not None or not input_tokens) and (
            self.output is not None or not output_tokens
        )


UNKNOWN: Final = Prices()


def training_prices(model: Model) -> Prices:
    """Of the tokens that a job trains, which are counted as input."""
    return Prices(input=_find(model.prices, "training"))


def unit_of(model: Model, capacity: Capacity, commitment: Commitment | None) -> ModelUnit:
    """A model unit as it is sold now. What the catalog does not say of the model is the
    configuration's (tokens), or not charged for (the price)."""
    return ModelUnit(
        input_tokens=model.model_unit.get("input_tokens", capacity.input_tokens),
        output_tokens=model.model_unit.get("output_tokens", capacity.output_tokens),
        hourly_price=model.unit_prices.get(commitment or "none", 0.0),
    )


def hourly_price(unit: ModelUnit, units: int) -> Decimal:
    """US dollars an hour for so many units."""
    return _decimal(unit.hourly_price) * units


def reserved_cost(hourly: Decimal, seconds: int) -> int:
    """Nano-dollars."""
    return whole(Fraction(hourly) * seconds / _HOUR_S)


def whole(dollars: Fraction) -> int:
    """Nano-dollars, the half to the even."""
    return round(dollars * NANO)


def dollars(nano: int) -> Decimal:
    return Decimal(nano) / NANO


def cents(nano: int) -> Decimal:
    """Dollars with two decimals, as a bill shows them."""
    return dollars(nano).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _find(prices: Mapping[str, float], name: str) -> Decimal | None:
    return _decimal(prices[name]) if name in prices else None


def _decimal(price: float) -> Decimal:
    """What was written in the file: the shortest decimal that is this float."""
    return Decimal(repr(price))


def _render(price: Decimal | None) -> str:
    return _UNKNOWN if price is None else render(price)


def render(price: Decimal) -> str:
    """Plain digits, the same for the same price."""
    text = format(price, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _parse(text: str) -> Decimal | None:
    return None if text == _UNKNOWN else Decimal(text)
