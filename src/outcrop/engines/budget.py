"""The memory that engines on this machine may take together.

Whoever needs room reserves it first; the least recently used idle engine is unloaded to make it. An
engine that works is never unloaded.
"""

import asyncio
from typing import Protocol

from outcrop.engines.protocol import EngineBusy, EngineFailed


class Holder(Protocol):
    """What takes memory. ``last_used`` is the event loop's time of its last request."""

    name: str

    @property
    def idle(self) -> bool: ...

    @property
    def last_used(self) -> float: ...

    async def unload(self) -> None:
        """Give the memory back. What arrives meanwhile waits and then loads anew."""
        ...


class MemoryBudget:
    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._held: dict[str, tuple[Holder, int]] = {}
        self._lock = asyncio.Lock()

    @property
    def held_bytes(self) -> int:
        return sum(size for _, size in self._held.values())

    def held_by(self, name: str) -> int:
        return self._held[name][1] if name in self._held else 0

    async def reserve(self, holder: Holder, size_bytes: int) -> None:
        """Raises EngineFailed when it can never fit, EngineBusy when all others are at work."""
        if size_bytes > self.limit_bytes:
            raise EngineFailed(
                f"engine {holder.name!r} needs {_mib(size_bytes)} MiB and engine_memory_mib is "
                f"{_mib(self.limit_bytes)}: raise it or bind a smaller model"
            )
        async with self._lock:
            while self.held_bytes - self.held_by(holder.name) + size_bytes > self.limit_bytes:
                victim = self._victim(holder)
                # Taken off the books only after the memory is really free.
                await victim.unload()
                self.release(victim)
            self._held[holder.name] = (holder, size_bytes)

    def release(self, holder: Holder) -> None:
        self._held.pop(holder.name, None)

    def _victim(self, asking: Holder) -> Holder:
        idle = [
            holder
            for holder, _ in self._held.values()
            if holder.name != asking.name and holder.idle
        ]
        if not idle:
            raise EngineBusy(
                f"no memory for engine {asking.name!r}: every loaded engine is answering requests"
            )
        return min(idle, key=lambda holder: holder.last_used)


def _mib(size_bytes: int) -> int:
    return -(-size_bytes // 2**20)
