"""A capacity without processes, for tests of what relies on one: it tells what it was asked for,
waits where it is told to, and fails as it is told to."""

import asyncio
from collections import deque

from outcrop.capacity.capacity import Pool
from outcrop.catalog.model import Model
from outcrop.config import Scripted
from outcrop.engines.protocol import Engine, EngineNotReady
from outcrop.engines.scripted import ScriptedEngine
from outcrop.stores.model_records import ModelUnit


class WatchedCapacity:
    """``held`` is the model served by ARN; ``failures`` are raised by the next reservations and
    swaps, one each; they wait until ``open`` is set."""

    def __init__(self) -> None:
        self.held: dict[str, Model] = {}
        self.asked: list[tuple[str, str]] = []
        self.failures: deque[Exception] = deque()
        self.open = asyncio.Event()
        self.open.set()
        self.arrived = asyncio.Event()

    async def reserve(self, arn: str, model: Model, units: int, unit: ModelUnit) -> None:
        await self._take("reserve", arn, model)

    async def swap(self, arn: str, model: Model) -> None:
        await self._take("swap", arn, model)

    def engine(self, arn: str) -> Engine:
        if arn not in self.held:
            raise EngineNotReady(f"nothing is reserved for {arn}")
        return ScriptedEngine(arn, Scripted())

    async def release(self, arn: str) -> None:
        self.asked.append(("release", arn))
        self.held.pop(arn, None)

    async def restore(self) -> None:
        """Nothing outlives it."""

    async def close(self) -> None:
        self.open.set()

    def pool(self) -> Pool:
        return Pool((), (), dict.fromkeys(self.held, ()), {})

    def problems(self) -> list[str]:
        return []

    async def _take(self, verb: str, arn: str, model: Model) -> None:
        self.asked.append((verb, model.id))
        self.arrived.set()
        await self.open.wait()
        if self.failures:
            raise self.failures.popleft()
        self.held[arn] = model
