"""What one throughput holds: its engine of the moment and where that runs.

A caller has a ``Turn``, which takes the engine at the moment it asks it for its place: so that an
engine that was replaced is asked by nobody any more, and ends what it has begun.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass

from outcrop.engines.protocol import Engine
from outcrop.engines.reserved import Gated, ReservedEngine
from outcrop.generation import EmbeddingRequest, Embeddings, Event, Generation
from outcrop.stores.model_records import ModelUnit


@dataclass(frozen=True, slots=True)
class Held:
    """Where an engine runs: on CPUs, in a replica, or anywhere where it needs neither."""

    cpus: tuple[int, ...] = ()
    replica: str | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    arn: str
    units: int
    unit: ModelUnit


@dataclass(frozen=True, slots=True)
class Served:
    """Which weights answer: the name of an engine's configuration, that of one of several models it
    serves, and the ARN of the custom model whose adapter is put on them."""

    engine: str
    model: str | None = None
    adapter: str | None = None


class Seat:
    def __init__(
        self, purchase: Purchase, held: Held, reserved: ReservedEngine, served: Served
    ) -> None:
        self.purchase = purchase
        self.held = held
        self.reserved = reserved
        self.served = served
        self._changing = asyncio.Lock()

    async def replace(self, new: ReservedEngine, served: Served) -> None:
        """Requests go to ``new`` at once. Returns when the old engine has ended what it had begun
        and is gone. Engines with several threads do not work on the same CPUs at the same time,
        since their threads spin: what comes meanwhile waits in the new one."""
        leaving = new
        try:
            async with self._changing, AsyncExitStack() as waiting:
                if isinstance(new.engine, Gated) and len(self.held.cpus) > 1:
                    await waiting.enter_async_context(new.engine.gate.paused())
                leaving, self.reserved = self.reserved, new
                self.served = served
                await leaving.drained()
        finally:
            await leaving.close()

    async def end(self) -> None:
        """What has begun is answered, then the engine is gone."""
        try:
            async with self._changing:
                await self.reserved.drained()
        finally:
            await self.reserved.close()


class Turn:
    """The engine of a seat, as one call sees it."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self.name = seat.reserved.engine.name
        self.served_by = seat.reserved.engine.served_by

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        with self._ask() as engine:
            async with aclosing(engine.generate(generation)) as events:
                async for event in events:
                    # Some engines learn by the first answer who answers.
                    self.served_by = engine.served_by
                    yield event

    async def count_tokens(self, generation: Generation) -> int:
        with self._ask() as engine:
            return await engine.count_tokens(generation)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        with self._ask() as engine:
            embeddings = await engine.embed(request)
            self.served_by = engine.served_by
            return embeddings

    async def close(self) -> None:
        """The engine is the seat's: it stays."""

    @contextmanager
    def _ask(self) -> Generator[Engine]:
        with self._seat.reserved.called() as engine:
            self.name, self.served_by = engine.name, engine.served_by
            yield engine
