"""The HTTP server: granian, on one address, with the configured TLS."""

import asyncio

import granian.constants
import granian.http
from granian.server.embed import Server as GranianServer

from outcrop.config import Config
from outcrop.server.address import CannotListen, reachable
from outcrop.server.asgi import Bridge

MAX_HEADERS_BYTES = 64 * 1024

_READY_POLL_S = 0.01


def http_server(config: Config, bridge: Bridge, address: str, port: int) -> GranianServer:
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


async def answering(address: str, port: int, listening: "asyncio.Task[None]") -> None:
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
