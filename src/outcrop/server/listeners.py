"""The listeners of all private endpoints. They follow the records: a pending endpoint comes up and
is available then; one being deleted is drained and its record removed; all come back after a
restart, each on the port that it had. One whose port is taken has failed, and is tried again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from outcrop.server.address import CannotListen
from outcrop.server.app import App
from outcrop.server.asgi import Bridge
from outcrop.server.deployment import Deployment
from outcrop.server.listener import Listener
from outcrop.stores.failures import StoreError
from outcrop.stores.network_records import VpcEndpoint
from outcrop.stores.resources import Item, Place

log = logging.getLogger(__name__)

_RETRY_S = 1.0
LOOK_AGAIN_S = 15.0
"""How often an endpoint that failed is tried again."""

_LAST_FLOWS_S = 20.0
"""How long the last flow records may take to be written when the server stops."""


class Listeners:
    def __init__(self, deployment: Deployment, app: App, host: str) -> None:
        self._deployment = deployment
        self._resources = deployment.state.stores.resources
        self._app = app
        self._host = host
        self._flows = deployment.flows
        self._up: dict[str, Listener] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns when all endpoints that can listen do."""
        self._deployment.endpoints.on_change = self._changed.set
        await self._follow(retries=True)
        self._tasks = [
            asyncio.create_task(self._run(), name="outcrop-endpoints"),
            asyncio.create_task(self._flows.run(), name="outcrop-flow-logs"),
        ]
        for task in self._tasks:
            task.add_done_callback(_tell_of_death)

    def stop_listening(self) -> None:
        for listener in self._up.values():
            listener.stop_listening()

    def bridges(self) -> Sequence[Bridge]:
        """Of those that are up: they are drained together with the server's own."""
        return [listener.bridge for listener in self._up.values()]

    async def close(self) -> None:
        """Their requests have ended. An endpoint that was leaving goes on leaving at the start."""
        tasks = [*self._tasks, *self._leaving.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(listener.stop() for listener in self._up.values()))
        if self._tasks:
            await self._write_last_flows()

    async def _write_last_flows(self) -> None:
        try:
            async with asyncio.timeout(_LAST_FLOWS_S):
                await self._flows.look(everything=True)
        except (StoreError, SQLAlchemyError, TimeoutError) as error:
            log.error("the last flow records were not written: %s", error or "no time was left")

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._changed.wait()
            try:
                await self._follow(retries=not self._changed.is_set())
            except (StoreError, SQLAlchemyError) as error:
                log.warning("private endpoints were not followed; trying again: %s", error)
                await asyncio.sleep(_RETRY_S)
                self._changed.set()

    async def _follow(self, *, retries: bool = False) -> None:
        """``retries``: those that failed before, too."""
        self._changed.clear()
        items = await self._resources.snapshot(VpcEndpoint)
        kept = {item.name for item in items}
        for name, listener in self._up.items():
            if name not in kept:
                # It went with its account.
                self._leave(listener.place)
        for item in items:
            match item.record.state:
                case "deleting":
                    self._leave(item.place)
                case "failed" if not retries:
                    pass
                case _ if item.name not in self._up:
                    await self._raise(item)
                case _:
                    pass

    async def _raise(self, item: Item[VpcEndpoint]) -> None:
        try:
            listener = Listener(self._deployment, self._app, self._flows, item)
            await listener.start(self._host)
        except (OSError, CannotListen) as error:
            if item.record.state != "failed":
                log.error("the endpoint %s cannot listen: %s", item.name, error)
            await self._put(item, state="failed", failure=f"It cannot listen: {error}")
            return
        self._up[item.name] = listener
        await self._put(item, state="available", host=self._host, port=listener.port, failure=None)

    async def _put(self, item: Item[VpcEndpoint], **changes: Any) -> None:
        """Unless it says so already, or is being deleted meanwhile."""
        async with self._resources.writing() as transaction:
            current = await transaction.find(VpcEndpoint, item.place)
            if current is None or current.record.state == "deleting":
                return
            record = msgspec.structs.replace(current.record, **changes)
            if record != current.record:
                await transaction.put(replace(current, record=record))

    def _leave(self, place: Place) -> None:
        if place.name not in self._leaving:
            task = asyncio.create_task(self._remove(place))
            self._leaving[place.name] = task
            task.add_done_callback(_tell_of_death)

    async def _remove(self, place: Place) -> None:
        listener = self._up.get(place.name)
        if listener is not None:
            await listener.drain()
            await listener.stop()
            del self._up[place.name]
        await self._forget(place)
        del self._leaving[place.name]

    async def _forget(self, place: Place) -> None:
        while True:
            try:
                async with self._resources.writing() as transaction:
                    if await transaction.find(VpcEndpoint, place) is not None:
                        await transaction.remove(VpcEndpoint, place)
                return
            except (StoreError, SQLAlchemyError) as error:
                log.warning("endpoint %s is not removed; trying again: %s", place.name, error)
                await asyncio.sleep(_RETRY_S)


def _tell_of_death(task: asyncio.Task[None]) -> None:
    """A bug that ends the following is told at once, not when the server stops."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.critical("private endpoints are no longer followed", exc_info=error)
