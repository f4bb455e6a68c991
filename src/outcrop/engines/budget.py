"""The memory that engines on this machine may take together.

Whoever needs room reserves it first; the least recently used idle engine is unloaded to make it. An
engine that works is never unloaded.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Shared:
    """Memory that all who name the same ``file`` have in common, such as its mapped pages."""

    file: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Held:
    size_bytes: int
    shared: Shared | None


class MemoryBudget:
    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        # By the engine itself: one that ends and the one that follows it may have one name.
        self._held: dict[Holder, _Held] = {}
        self._lock = asyncio.Lock()

    @property
    def held_bytes(self) -> int:
        return _total(self._held)

    def held_by(self, names: Collection[str]) -> int:
        """By all of these together, as the budget counts them: what they share with one another
        once, and whole also where others share it."""
        return _total({holder: one for holder, one in self._held.items() if holder.name in names})

    async def reserve(self, holder: Holder, size_bytes: int, shared: Shared | None = None) -> None:
        """``shared`` counts once, however many hold it. Raises EngineFailed when it can never fit,
        EngineBusy when all others are at work."""
        wanted = _Held(size_bytes, shared)
        alone = _total({holder: wanted})
        if alone > self.limit_bytes:
            raise EngineFailed(
                f"engine {holder.name!r} needs {_mib(alone)} MiB and engine_memory_mib is "
                f"{_mib(self.limit_bytes)}: raise it or bind a smaller model"
            )
        async with self._lock:
            while _total({**self._held, holder: wanted}) > self.limit_bytes:
                victim = self._victim(holder)
                # Taken off the books only after the memory is really free.
                await victim.unload()
                self.release(victim)
            self._held[holder] = wanted

    def release(self, holder: Holder) -> None:
        self._held.pop(holder, None)

    def release_name(self, name: str) -> None:
        for holder in [holder for holder in self._held if holder.name == name]:
            self.release(holder)

    def _victim(self, asking: Holder) -> Holder:
        idle = [holder for holder in self._held if holder is not asking and holder.idle]
        if not idle:
            raise EngineBusy(
                f"no memory for engine {asking.name!r}: every loaded engine is answering requests"
            )
        return min(idle, key=lambda holder: holder.last_used)


def _total(held: Mapping[Holder, _Held]) -> int:
    shared = {one.shared.file: one.shared.size_bytes for one in held.values() if one.shared}
    return sum(one.size_bytes for one in held.values()) + sum(shared.values())


def _mib(size_bytes: int) -> int:
    return -(-size_bytes // 2**20)
