"""Runs one gateway: opens the deployment, listens, says when it is ready, drains on SIGTERM."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import granian.constants
import granian.http
from granian.server.embed import Server as GranianServer

from outcrop.config import Config
from outcrop.server import status
from outcrop.server.address import (
    CannotListen,
    check_plain_http,
    choose_port,
    endpoint_url,
    reachable,
    resolve,
)
from outcrop.server.app import App
from outcrop.server.asgi import Bridge
from outcrop.server.deployment import Deployment, open_deployment

GRACE_S = 30.0
"""How long running requests may take to end after SIGTERM; a second signal ends the wait."""

_ABORT_S = 5.0
"""How long they may take once they were told to end, and the HTTP server after them."""

MAX_HEADERS_BYTES = 64 * 1024

_READY_POLL_S = 0.01


async def serve(config: Config, on_ready: Callable[[str, Deployment], None]) -> None:
    """Returns after SIGTERM or SIGINT, when running requests have ended and engines are stopped."""
    address = await resolve(config.server.host)
    check_plain_http(config.server, address)
    port = choose_port(address, config.server.port)
    async with open_deployment(config) as deployment:
        # A server that was killed left its own, whose process ID may be another program's by now.
        status.remove(config.data_dir)
        bridge = Bridge(App(deployment))
        server = _granian(config, bridge, address, port)
        stopping, hurrying = _signals()
        listening = asyncio.create_task(server.serve())
        try:
            await _answering(address, port, listening)
            url = endpoint_url(config.server, port)
            status.write(config.data_dir, status.Status(url, os.getpid()))
            # What the start made stays until the end: walking it in each full collection (0.1 s of
            # silence for every open stream) frees nothing.
            gc.freeze()
            on_ready(url, deployment)
            await _either(stopping.wait(), listening)
            await _drain(bridge, hurrying)
        finally:
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


async def _drain(bridge: Bridge, hurrying: asyncio.Event) -> None:
    bridge.drain()
    await _either(bridge.drained(), hurrying.wait(), timeout_s=GRACE_S)
    bridge.abort()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(bridge.drained(), _ABORT_S)


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


def _granian(config: Config, bridge: Bridge, address: str, port: int) -> GranianServer:
    certificate, key = config.server.tls_certificate, config.server.tls_key
    try:
        return GranianServer(
            bridge,
            address=address,
            port=port,
            interface=granian.constants.Interfaces.ASGINL,
            http=granian.constants.HTTPModes.auto,
            websockets=False,
            backlog=1024,
            log_enabled=False,
            http2_settings=granian.http.HTTP2Settings(
                max_concurrent_streams=1000, max_headers_size=MAX_HEADERS_BYTES
            ),
            ssl_cert=certificate,
            ssl_key=key,
            # rustls speaks 1.2 and 1.3 with ephemeral keys only, so all of it has forward secrecy.
            ssl_protocol_min=granian.constants.SSLProtocols.tls12,
        )
    except OSError as error:
        # Among them those of OpenSSL: files that are no PEM, a key of another certificate.
        raise CannotListen(
            f"TLS with server.tls_certificate {certificate} and server.tls_key {key} is not "
            f"possible: {error.strerror or error}."
        ) from error


async def _answering(address: str, port: int, listening: "asyncio.Task[None]") -> None:
    while not listening.done():
        try:
            _, writer = await asyncio.open_connection(reachable(address), port)
        except OSError:
            await asyncio.sleep(_READY_POLL_S)
        else:
            writer.close()
            return
    listening.result()
    raise CannotListen(f"The server on {address}:{port} ended before it was ready.")
