"""Requests to addresses that accounts choose: over TLS, without redirects, and never to link-local
addresses, where machines of clouds keep their credentials."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from outcrop.jobs.delivery import NotDelivered
from outcrop.outward.addresses import is_refused_host
from outcrop.outward.connections import connector

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
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, connector=connector(tls), auto_decompress=False
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
