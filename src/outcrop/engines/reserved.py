"""An engine of its own for one buyer of throughput, beside the one of the same name on demand."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from outcrop.engines.gate import Gate
from outcrop.engines.protocol import Engine, EngineNotReady


@runtime_checkable
class Process(Protocol):
    """An engine that runs in a process of ours."""

    @property
    def pid(self) -> int | None: ...

    async def start(self) -> None: ...

    async def move(self) -> None: ...


@runtime_checkable
class Fitted(Protocol):
    """An engine whose server is given the adapter that it is to answer with."""

    async def fit(self) -> None: ...


@runtime_checkable
class Gated(Protocol):
    @property
    def gate(self) -> Gate: ...


async def start(engine: Engine) -> None:
    """Returns when it can answer, as far as that shows before it is asked."""
    if isinstance(engine, Process):
        await engine.start()
    elif isinstance(engine, Fitted):
        await engine.fit()


class ReservedEngine:
    """``cpus`` is empty where the engine needs none of this machine."""

    def __init__(
        self, engine: Engine, cpus: tuple[int, ...], freed: Callable[[], None] | None = None
    ) -> None:
        self.engine = engine
        self.cpus = cpus
        self._freed = freed
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def idle(self) -> bool:
        return self._idle.is_set()

    @property
    def failure(self) -> str:
        """Why its process does not run, where it should."""
        return str(getattr(self.engine, "failure", None) or "")

    async def start(self, wait_s: float) -> None:
        """Returns when it can answer. Raises EngineError where it cannot."""
        try:
            async with asyncio.timeout(wait_s):
                await start(self.engine)
        except TimeoutError as error:
            raise EngineNotReady(
                f"engine {self.engine.name!r} was not ready after {wait_s:.0f} seconds"
            ) from error

    @contextmanager
    def called(self) -> Generator[Engine]:
        """A call, from before it asks for its place until it has ended."""
        self._calls += 1
        self._idle.clear()
        try:
            yield self.engine
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def drained(self) -> None:
        """Returns once no call is in it; those to come are the caller's affair."""
        await self._idle.wait()

    async def close(self) -> None:
        await self.engine.close()
        if self._freed is not None:
            self._freed()
