"""Work on the database that is done again and again beside requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from outcrop.stores.failures import StoreError

log = logging.getLogger(__name__)


class Periodic:
    """Does ``step`` at once and every ``interval_s`` from then on, until it is closed. What the
    database or the disk fails is told and done the next time; a bug is told and ends it. ``what``
    names the work in the server's log ("Removing old metrics")."""

    def __init__(self, what: str, step: Callable[[], Awaitable[object]], interval_s: float) -> None:
        self._what = what
        self._step = step
        self._interval_s = interval_s
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_closing(self) -> bool:
        """A step that takes long looks here, and ends early."""
        return self._closing.is_set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"outcrop: {self._what}")
        self._task.add_done_callback(self._tell_of_death)

    async def close(self) -> None:
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task = None

    async def attempt(self) -> None:
        """One step, whose failure is told."""
        try:
            await self._step()
        except (StoreError, SQLAlchemyError, OSError) as error:
            log.warning("%s failed, and is tried again: %s", self._what, error)

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self.attempt()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._closing.wait()

    def _tell_of_death(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.critical("%s is no longer done", self._what, exc_info=error)
