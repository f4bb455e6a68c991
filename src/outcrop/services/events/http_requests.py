"""Requests to addresses that accounts choose: over TLS, without redirects, and never to link-local
addresses, where machines of clouds keep their credentials."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from outcrop.jobs.delivery import NotDelivered
from outcrop.services.events.endpoint_addresses import is_refused_host

TIMEOUT_S: Final = 5.0
"""How long AWS waits for an API destination's answer."""
_READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Sent:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes


_looking_up: Final = ThreadPoolExecutor(8, "outcrop-names")
"""Name servers may be slow: nothing else waits for these threads."""


class _Resolver(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """What aiohttp connects to is what was looked at here, and nothing that comes later."""
        loop = asyncio.get_running_loop()
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await loop.run_in_executor(_looking_up, look_up)
        addresses = [str(socket_address[0]) for *_, socket_address in found]
        if any(map(is_refused_host, addresses)):
            raise PermissionError(errno.EACCES, f"{host} has a link-local address")
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=each[0], proto=each[2], flags=flags
            )
            for each, address in zip(found, addresses, strict=True)
        ]

    async def close(self) -> None:
        """There is nothing to close."""


async def ask(request: Sent, tls: ssl.SSLContext | None = None) -> Answered:
    """Raises ``NotDelivered`` where no answer comes."""
    try:
        # Read once: whom we look at is whom we connect to.
        url = URL(request.url)
    except ValueError as error:
        raise NotDelivered("The endpoint's URL cannot be read.") from error
    # Of addresses in figures no resolver is asked.
    if url.scheme != "https" or is_refused_host(url.host or ""):
        raise NotDelivered(f"{url.scheme}://{url.host} is not asked.")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(
        resolver=_Resolver(), ssl=tls if tls is not None else True, family=socket.AF_UNSPEC
    )
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, connector=connector, auto_decompress=False
            ) as session,
            session.request(
                request.method,
                url,
                headers=dict(request.headers),
                data=request.body or None,
                allow_redirects=False,
            ) as response,
        ):
            try:
                body = await response.content.readexactly(_READ_BYTES)
            except asyncio.IncompleteReadError as ended:
                body = ended.partial
            return Answered(response.status, dict(response.headers), body)
    except TimeoutError as error:
        raise NotDelivered(f"The endpoint did not answer within {TIMEOUT_S:g} s.") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NotDelivered(f"The endpoint cannot be reached: {error}") from error
