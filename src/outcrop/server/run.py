"""Runs one gateway: opens the deployment, listens, says when it is ready, drains on SIGTERM."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from outcrop.config import Config
from outcrop.server import status
from outcrop.server.address import check_plain_http, choose_port, endpoint_url, resolve
from outcrop.server.app import App
from outcrop.server.asgi import Bridge
from outcrop.server.deployment import Deployment, open_deployment
from outcrop.server.http_server import answering, http_server
from outcrop.server.listeners import Listeners

GRACE_S = 30.0
"""How long running requests may take to end after SIGTERM; a second signal ends the wait."""

_ABORT_S = 5.0
"""How long they may take once they were told to end, and the HTTP server after them."""


async def serve(config: Config, on_ready: Callable[[str, Deployment], None]) -> None:
    """Returns after SIGTERM or SIGINT, when running requests have ended and engines are stopped."""
    address = await resolve(config.server.host)
    check_plain_http(config.server, address)
    entrance = await resolve(config.endpoints.host)
    check_plain_http(config.server, entrance, "endpoints.host")
    port = choose_port(address, config.server.port)
    async with open_deployment(config) as deployment:
        # A server that was killed left its own, whose process ID may be another program's by now.
        status.remove(config.data_dir)
        app = App(deployment)
        bridge = Bridge(app)
        server = http_server(config, bridge, address, port)
        listeners = Listeners(deployment, app, entrance)
        stopping, hurrying = _signals()
        listening = asyncio.create_task(server.serve())
        try:
            await answering(address, port, listening)
            await listeners.start()
            url = endpoint_url(config.server, port)
            status.write(config.data_dir, status.Status(url, os.getpid()))
            # What the start made stays until the end: walking it in each full collection (0.1 s of
            # silence for every open stream) frees nothing.
            gc.freeze()
            on_ready(url, deployment)
            await _either(stopping.wait(), listening)
            listeners.stop_listening()
            await _drain(deployment, (bridge, *listeners.bridges()), hurrying)
        finally:
            await listeners.close()
            status.remove(config.data_dir)
            server.stop()
            await asyncio.wait((listening,), timeout=_ABORT_S)


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first and by the second SIGTERM or SIGINT."""
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: (second if first.is_set() else first).set())
    return first, second


async def _drain(
    deployment: Deployment, bridges: Sequence[Bridge], hurrying: asyncio.Event
) -> None:
    for bridge in bridges:
        bridge.drain()
    deployment.records.stop_waiting()
    await _either(_drained(bridges), hurrying.wait(), timeout_s=GRACE_S)
    for bridge in bridges:
        bridge.abort()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ABORT_S):
            await _drained(bridges)


async def _drained(bridges: Sequence[Bridge]) -> None:
    for bridge in bridges:
        await bridge.drained()


async def _either(
    *events: Coroutine[Any, Any, object] | asyncio.Task[None], timeout_s: float | None = None
) -> None:
    """Returns when the first has happened; what was waited for otherwise is dropped."""
    tasks = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, event in zip(tasks, events, strict=True):
            if task is not event:
                task.cancel()
