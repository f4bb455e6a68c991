"""Notices what other processes write, such as the command line beside a running server.

One small query every ``interval_s``; a topic whose counter moved is read anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from outcrop.identity import SealedSecretError
from outcrop.stores.database import Database
from outcrop.stores.failures import StoreError
from outcrop.stores.tables import changes

log = logging.getLogger(__name__)

Reload = Callable[[], Awaitable[None]]


class ChangeWatcher:
    """``reload`` is called by topic, once at the start and after each change; ``flush`` every
    ``flush_interval_s`` and when closed. ``versions`` is what has been read of each topic; whoever
    takes in its own writes moves it on."""

    def __init__(
        self,
        database: Database,
        reload: Mapping[str, Reload],
        flush: Reload,
        *,
        versions: dict[str, int] | None = None,
        interval_s: float = 0.4,
        flush_interval_s: float = 5.0,
    ) -> None:
        self._database = database
        self._reload = reload
        self._flush = flush
        self._interval_s = interval_s
        self._flush_interval_s = flush_interval_s
        self._versions = {} if versions is None else versions
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="outcrop-change-watcher")
        self._task.add_done_callback(_tell_of_death)

    async def close(self) -> None:
        if self._task is not None:
            self._stop.set()
            await self._task
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        flush_at = loop.time() + self._flush_interval_s
        while not self._stop.is_set():
            await self._survive(self.poll)
            if loop.time() >= flush_at:
                await self._survive(self._flush)
                flush_at = loop.time() + self._flush_interval_s
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._stop.wait()
            except TimeoutError:
                continue
        await self._survive(self._flush)

    async def poll(self) -> None:
        """One look; a topic counts as read only when its reload succeeded."""
        async with self._database.read() as connection:
            rows = (await connection.execute(sa.select(changes.c.topic, changes.c.version))).all()
        for topic, version in rows:
            reload = self._reload.get(topic)
            # Own writes may have moved it on since the rows were read.
            if reload is not None and self._versions.get(topic, -1) < version:
                await reload()
                self._versions[topic] = version

    async def _survive(self, step: Reload) -> None:
        """A database that is busy or unreadable for a while must not end the watching."""
        try:
            await step()
        except (StoreError, SQLAlchemyError, SealedSecretError) as error:
            log.warning("changes beside this server were not taken in; trying again: %s", error)


def _tell_of_death(task: asyncio.Task[None]) -> None:
    """A bug that ends the watching is told at once, not when the server stops."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.critical("changes beside this server are no longer noticed", exc_info=error)
