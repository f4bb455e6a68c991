"""One private endpoint that is up: its relay, and the HTTP server behind that."""

import asyncio
import contextlib
from typing import Final

from granian.server.embed import Server as GranianServer

from outcrop.server.address import choose_port
from outcrop.server.admission import Gate
from outcrop.server.app import App
from outcrop.server.asgi import Bridge
from outcrop.server.deployment import Deployment
from outcrop.server.endpoint_app import EndpointApp
from outcrop.server.flow_recorder import FlowRecorder
from outcrop.server.http_server import answering, http_server
from outcrop.server.relay import Connection, Relay
from outcrop.stores.network_records import VpcEndpoint
from outcrop.stores.resources import Item

DRAIN_S: Final = 30.0
"""How long the requests of a deleted endpoint may take to end."""

_STOP_S: Final = 5.0
_LAST_S: Final = 2.0
"""How long clients may take to hear what was answered before the end."""

_LOOPBACK: Final = "127.0.0.1"


class Listener:
    def __init__(
        self, deployment: Deployment, app: App, flows: FlowRecorder, item: Item[VpcEndpoint]
    ) -> None:
        self._deployment = deployment
        self._flows = flows
        self._inner_port = choose_port(_LOOPBACK, 0)
        self._relay = Relay(
            item.name,
            self._inner_port,
            Gate(deployment.state.stores.resources, item.place).admit,
            self._follow,
        )
        served = EndpointApp(app, deployment.router, item.record.service)
        self.bridge = Bridge(served, entrance=self._relay)
        self.place = item.place
        self.port = item.record.port or 0
        self._server: GranianServer | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, host: str) -> None:
        """Raises ``OSError`` or ``CannotListen``; what was begun is taken back then."""
        config = self._deployment.config
        try:
            self.port = await self._relay.take_port(host, self.port)
            server = http_server(config, self.bridge, _LOOPBACK, self._inner_port)
            self._server, self._serving = server, asyncio.create_task(server.serve())
            await answering(_LOOPBACK, self._inner_port, self._serving)
            await self._relay.listen()
        except BaseException:
            await self.stop()
            raise

    def stop_listening(self) -> None:
        self._relay.stop_listening()

    async def drain(self) -> None:
        """New connections and requests are refused; running ones end, or are ended."""
        self.stop_listening()
        self.bridge.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.bridge.drained()
        self.bridge.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self.bridge.drained()

    async def stop(self) -> None:
        """What was answered still goes out."""
        self.stop_listening()
        if self._server is not None and self._serving is not None:
            self._server.stop()
            await asyncio.wait((self._serving,), timeout=_STOP_S)
        await self._relay.close(grace_s=_LAST_S)

    def _follow(self, connection: Connection) -> None:
        self._flows.follow(connection, self.port)
