"""Who waits for a message of which queue, and the sweep of what is past its retention.

Of those who wait for a queue, the first one looks; when it leaves, it is the next one's turn. A
message that is sent here wakes the first one at once; one that another process sent, or that
becomes visible by time, it finds at its next look.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from outcrop.errors import ServiceError
from outcrop.queues import messages
from outcrop.queues.attributes import Settings
from outcrop.stores.periodic import Periodic
from outcrop.stores.queue_records import Queue
from outcrop.stores.resources import Resources
from outcrop.stores.tables import now_ms

MAX_WAITING: Final = 10_000
LOOK_S: Final = 1.0

_PRUNE_S: Final = 60.0
_MAX_DATA_KEYS: Final = 1000


class DataKeys:
    """Opened KMS data keys for as long as their queues reuse them. Bounded; the oldest goes."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, ...], tuple[float, tuple[bytes, bytes]]] = OrderedDict()

    def find(self, names: tuple[str, ...], now_s: float) -> tuple[bytes, bytes] | None:
        """Plain and encrypted."""
        found = self._held.get(names)
        return found[1] if found is not None and found[0] > now_s else None

    def keep(self, names: tuple[str, ...], until_s: float, keys: tuple[bytes, bytes]) -> None:
        self._held.pop(names, None)
        self._held[names] = (until_s, keys)
        while len(self._held) > _MAX_DATA_KEYS:
            self._held.popitem(last=False)


class QueueHub:
    """``waiting`` is how many requests wait; ``has_waiting`` is set while any does."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._waiting: dict[str, dict[asyncio.Event, None]] = {}
        self.waiting = 0
        self.has_waiting = asyncio.Event()
        self._closing = asyncio.Event()
        self._pruning = Periodic("Removing old messages of queues", self.prune, _PRUNE_S)
        self.data_keys = DataKeys()

    def start(self) -> None:
        self._pruning.start()

    def stop_waiting(self) -> None:
        """Whoever waits is answered, and nobody waits from now on."""
        self._closing.set()
        for waiting in self._waiting.values():
            for event in waiting:
                event.set()

    async def close(self) -> None:
        self.stop_waiting()
        await self._pruning.close()

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    def wake(self, queue: str) -> None:
        for event in self._waiting.get(queue, ()):
            event.set()
            return

    def is_first(self, queue: str, event: asyncio.Event) -> bool:
        return next(iter(self._waiting[queue])) is event

    def enter(self, queue: str) -> asyncio.Event:
        """An event that is set when it is one's turn to look. ``leave`` gives it back."""
        if self.waiting >= MAX_WAITING:
            raise ServiceError(
                "RequestThrottled",
                f"{MAX_WAITING} requests wait for messages already. Retry, or ask without waiting.",
            )
        event = asyncio.Event()
        self._waiting.setdefault(queue, {})[event] = None
        self.waiting += 1
        self.has_waiting.set()
        return event

    def leave(self, queue: str, event: asyncio.Event) -> None:
        waiting = self._waiting[queue]
        is_first = self.is_first(queue, event)
        del waiting[event]
        self.waiting -= 1
        if not waiting:
            del self._waiting[queue]
        elif is_first:
            self.wake(queue)
        if self.waiting == 0:
            self.has_waiting.clear()

    async def prune(self) -> None:
        async with self._resources.writing() as transaction:
            retention_ms = {
                item.arn or "": 1000
                * Settings(item.record.attributes).number("MessageRetentionPeriod")
                for item in await transaction.list(Queue)
            }
            await messages.prune(transaction.connection, retention_ms, now_ms())
