"""Requests to addresses that accounts choose: over TLS, without redirects, and never to link-local
addresses, where machines of clouds keep their credentials."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

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


class _Resolver(AbstractResolver):
    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if any(is_refused_host(each["host"]) for each in found):
            raise OSError(f"{host} has a link-local address")
        return found

    async def close(self) -> None:
        await self._system.close()


async def ask(request: Sent, tls: ssl.SSLContext | None = None) -> Answered:
    """Raises ``NotDelivered`` where no answer comes."""
    parts = urlsplit(request.url)
    # Of addresses in figures no resolver is asked.
    if parts.scheme != "https" or is_refused_host(parts.hostname or ""):
        raise NotDelivered(f"{parts.scheme}://{parts.hostname} is not asked.")
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
                request.url,
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
