"""What provisioned throughput needs of the machine: engine processes of their own, on CPUs that
nothing else uses."""

from dataclasses import dataclass
from typing import Protocol

from outcrop.catalog.model import Model
from outcrop.engines.protocol import Engine
from outcrop.stores.model_records import ModelUnit


class CapacityShort(Exception):
    """The pool does not hold that much; the message says what is there and what was asked."""


@dataclass(frozen=True, slots=True)
class Pool:
    """``rates`` are tokens a second of one process on one CPU, input and output, by engine."""

    cpus: tuple[int, ...]
    reservable: tuple[int, ...]
    reserved: dict[str, tuple[int, ...]]
    rates: dict[str, tuple[float, float]]


class Capacity(Protocol):
    async def reserve(self, arn: str, model: Model, units: int, unit: ModelUnit) -> None:
        """Returns when an engine of its own is ready for ``arn``. Idempotent. Raises
        ``CapacityShort``, or ``EngineError`` where the engine cannot be started."""
        ...

    async def swap(self, arn: str, model: Model) -> None:
        """The same with another model of the same base: requests go to the old engine until the
        new one is ready; the old one ends what it has begun."""
        ...

    def engine(self, arn: str) -> Engine:
        """The engine to ask. Raises ``EngineNotReady``."""
        ...

    async def release(self, arn: str) -> None:
        """Ends its engine, after what it has begun; its CPUs go back."""
        ...

    def pool(self) -> Pool: ...

    def problems(self) -> list[str]:
        """What was bought and has no engine now, and why."""
        ...
