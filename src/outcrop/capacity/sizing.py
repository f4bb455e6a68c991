"""How many CPUs a purchase needs, from what one CPU of this machine was measured to do.

A CPU is busy for the time it reads and for the time it writes, each by its own rate. So many CPUs
are assumed to do so many times the work.
"""

import math

from outcrop.capacity.capacity import CapacityShort
from outcrop.stores.model_records import EngineRate, ModelUnit

USABLE = 0.9
"""Of the measured rate, that much is sold: long prompts, several requests at a time and the
scheduler cost some of it."""


def cpus_needed(units: int, unit: ModelUnit, rate: EngineRate) -> int:
    """An engine without a rate of output makes none: of it only the input counts."""
    load = units * unit.input_tokens / (60 * rate.input_per_s)
    if rate.output_per_s:
        load += units * unit.output_tokens / (60 * rate.output_per_s)
    return max(1, math.ceil(load / USABLE))


def shortage(units: int, unit: ModelUnit, engine: str, rate: EngineRate, free: int) -> str:
    bought = _tokens(units * unit.input_tokens, units * unit.output_tokens, rate, "and")
    does = _tokens(USABLE * 60 * rate.input_per_s, USABLE * 60 * rate.output_per_s, rate, "or")
    return (
        f"{units} model unit{'s are' if units != 1 else ' is'} {bought} a minute. One CPU of this "
        f"machine does {does} a minute with the engine {engine!r}: that needs "
        f"{_cpus(cpus_needed(units, unit, rate))}, and {free} can be reserved now."
    )


def require_cpu(engine: str, free: int, reservable: int) -> None:
    """Raises ``CapacityShort`` where not even one is left."""
    if reservable == 0:
        raise CapacityShort(
            f"No CPU of this machine can be reserved for the engine {engine!r}: one stays for the "
            "gateway and for calls on demand, and cpus of [capacity] in the configuration may keep "
            "more."
        )
    if free == 0:
        raise CapacityShort(
            f"No CPU is left for the engine {engine!r}: all {reservable} that can be reserved are."
        )


def _tokens(given: float, made: float, rate: EngineRate, word: str) -> str:
    if not rate.output_per_s:
        return f"{given:,.0f} input tokens"
    return f"{given:,.0f} input {word} {made:,.0f} output tokens"


def _cpus(count: int) -> str:
    return f"{count} CPU{'s' if count != 1 else ''}"
