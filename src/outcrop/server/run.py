"""Runs one gateway: opens the deployment, listens, says when it is ready, drains on SIGTERM."""

import asyncio
import contextlib
import gc
import ipaddress
import os
import signal
import socket
from collections.abc import Callable

import granian.constants
import granian.http
from granian.server.embed import Server as GranianServer

from outcrop.config import Config
from outcrop.server import status
from outcrop.server.app import App
from outcrop.server.asgi import Bridge
from outcrop.server.deployment import Deployment, open_deployment
from outcrop.stores.failures import StoreError

GRACE_S = 30.0
"""How long running requests may take to end after SIGTERM."""

_READY_POLL_S = 0.01


class CannotListen(StoreError):
    pass


async def serve(config: Config, on_ready: Callable[[str, Deployment], None]) -> None:
    """Returns after SIGTERM or SIGINT, when running requests have ended and engines are stopped."""
    host, port = config.server.host, _port(config.server.host, config.server.port)
    async with open_deployment(config) as deployment:
        # A server that was killed left its own, whose process ID may be another program's by now.
        status.remove(config.data_dir)
        bridge = Bridge(App(deployment))
        server = _granian(config, bridge, port)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        listening = asyncio.create_task(server.serve())
        await _answering(host, port, listening)
        scheme = "https" if config.server.tls_certificate else "http"
        url = f"{scheme}://{_shown(host)}:{port}"
        status.write(config.data_dir, status.Status(url, os.getpid()))
        # What the start made stays until the end: walking it in each full collection (0.1 s of
        # silence for every open stream) frees nothing.
        gc.freeze()
        try:
            on_ready(url, deployment)
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait((stopped, listening), return_when=asyncio.FIRST_COMPLETED)
            bridge.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bridge.drained(), GRACE_S)
        finally:
            status.remove(config.data_dir)
            server.stop()
            await listening


def _granian(config: Config, bridge: Bridge, port: int) -> GranianServer:
    certificate, key = config.server.tls_certificate, config.server.tls_key
    try:
        return GranianServer(
            bridge,
            address=config.server.host,
            port=port,
            interface=granian.constants.Interfaces.ASGINL,
            http=granian.constants.HTTPModes.auto,
            websockets=False,
            backlog=1024,
            log_enabled=False,
            http2_settings=granian.http.HTTP2Settings(max_concurrent_streams=1000),
            ssl_cert=certificate,
            ssl_key=key,
        )
    except OSError as error:
        # Among them those of OpenSSL: files that are no PEM, a key of another certificate.
        raise CannotListen(
            f"TLS with server.tls_certificate {certificate} and server.tls_key {key} is not "
            f"possible: {error.strerror or error}."
        ) from error


def _port(host: str, wanted: int) -> int:
    """``wanted``, or a free one for 0. Another listener on the port is an error here, before
    granian shares it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError as error:
            raise CannotListen(
                f"{host}:{wanted} cannot be listened on ({error.strerror}). "
                "Stop what uses it, or choose another port with --port."
            ) from error
        return int(probe.getsockname()[1])


async def _answering(host: str, port: int, listening: "asyncio.Task[None]") -> None:
    while not listening.done():
        try:
            _, writer = await asyncio.open_connection(_shown(host), port)
        except OSError:
            await asyncio.sleep(_READY_POLL_S)
        else:
            writer.close()
            return
    listening.result()
    raise CannotListen(f"The server on {host}:{port} ended before it was ready.")


def _shown(host: str) -> str:
    """Where a client on this machine reaches a listener on ``host``."""
    address = ipaddress.ip_address(host) if host != "localhost" else None
    if address is not None and address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return host
