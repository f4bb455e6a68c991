"""Bounded admission: so many requests run, so many wait in order of arrival, the rest are refused.

While a gate is paused nobody runs, and as many may wait as otherwise run or wait. A request that is
cancelled while it waits loses its place and nobody else's.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from outcrop.engines.protocol import EngineBusy, EngineNotReady


class Gate:
    def __init__(self, name: str, *, running: int, waiting: int) -> None:
        if running < 1 or waiting < 0:
            raise ValueError(f"a gate cannot hold {running} running and {waiting} waiting")
        self._name = name
        self._limit = running
        self._queue_limit = waiting
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._pauses = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        return self._empty.is_set() and not self._queue

    @asynccontextmanager
    async def admit(self) -> AsyncGenerator[None]:
        """Raises EngineBusy when the queue is full, EngineNotReady once the gate is closed."""
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None]:
        """The block begins once all who run have left, and nobody is admitted before its end."""
        self._pauses += 1
        try:
            await self._empty.wait()
            yield
        finally:
            self._pauses -= 1
            self._resume()

    def close(self) -> None:
        """Admit nobody more. Those who wait are refused, those who run go on."""
        self._closed = True
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(self._refusal())

    async def drained(self) -> None:
        """Return once nobody runs or waits."""
        await self._empty.wait()

    async def _enter(self) -> None:
        if self._closed:
            raise self._refusal()
        if self._running < self._limit and not self._pauses:
            self._run()
            return
        unused = self._limit - self._running if self._pauses else 0
        if len(self._queue) >= self._queue_limit + unused:
            raise EngineBusy(
                f"engine {self._name!r} runs {self._running} requests and {len(self._queue)} wait"
            )
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Admitted and cancelled in the same turn of the loop: the place goes on.
                self._leave()
            elif waiter in self._queue:
                self._queue.remove(waiter)
            raise

    def _run(self) -> None:
        self._running += 1
        self._empty.clear()

    def _leave(self) -> None:
        self._running -= 1
        self._resume()
        if not self._running:
            self._empty.set()

    def _resume(self) -> None:
        while self._queue and self._running < self._limit and not self._pauses:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._run()

    def _refusal(self) -> EngineNotReady:
        return EngineNotReady(f"engine {self._name!r} is shutting down")
