"""Sends signed requests to an S3 server and streams both bodies, holding a few pieces at most."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import aiohttp
from yarl import URL

from outcrop.objects.protocol import StoreAnswer, StoreGone, StoreRequest
from outcrop.objects.signing import Credentials, Target, sign

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 300.0
_PIECE_BYTES = 256 << 10
# What aiohttp would add by itself and S3 would then keep as the object's own, or sign otherwise.
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is and how its requests are signed. ``url`` has no path."""

    url: str
    region: str
    credentials: Credentials


class StoreClient:
    """``place`` is asked before every request: a store that was restarted is elsewhere."""

    def __init__(
        self,
        place: Callable[[], Awaitable[Place]],
        lost: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._place = place
        self._lost = lost
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: StoreRequest) -> StoreAnswer:
        place = await self._place()
        try:
            return await self._send(place, request)
        except (aiohttp.ClientError, OSError) as error:
            if self._lost is not None:
                await self._lost()
            raise StoreGone(f"The connection to the object store was lost: {error}.") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _send(self, place: Place, request: StoreRequest) -> StoreAnswer:
        url = URL(place.url)
        host = url.host_subcomponent if url.is_default_port() else f"{url.host}:{url.port}"
        headers = dict(request.headers or {})
        body, size_bytes, source = request.body, request.length, None
        if isinstance(body, bytes):
            size_bytes = len(body)
            if size_bytes > _PIECE_BYTES:
                source = _Source(_sliced(body))
        else:
            source = _Source(body)
        if size_bytes is not None:
            headers["content-length"] = str(size_bytes)
        target = Target(request.method, str(host), request.path, request.query)
        now = datetime.now(UTC)
        signed = sign(target, headers, place.credentials, place.region, now)
        query = f"?{request.query}" if request.query else ""
        try:
            response = await self._open().request(
                request.method,
                URL(f"{place.url}{request.path}{query}", encoded=True),
                headers=signed,
                data=source.pieces() if source else body or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, asyncio.CancelledError):
            if source is not None and source.error is not None:
                raise source.error from None
            raise
        if source is not None and source.error is not None:
            response.close()
            raise source.error
        named = {name.lower(): value for name, value in response.headers.items()}
        return StoreAnswer(response.status, MappingProxyType(named), _pieces(response))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S
                ),
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_NOT_ADDED,
                auto_decompress=False,
                read_bufsize=_PIECE_BYTES,
            )
        return self._session


class _Source:
    """A streamed request body that remembers why it broke off: aiohttp tells only that it did."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self.error: Exception | None = None

    async def pieces(self) -> AsyncGenerator[bytes]:
        try:
            async for piece in self._body:
                yield piece
        # Whatever it is, it is the caller's own error and goes back to the caller.
        except Exception as error:
            self.error = error
            raise


async def _sliced(body: bytes) -> AsyncGenerator[bytes]:
    """Sent whole, a large body would hold up everybody else's requests."""
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


async def _pieces(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, Any]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, OSError) as error:
        raise StoreGone(f"The object store broke off its answer: {error}.") from error
    finally:
        # A whole answer gave its connection back already; a part of one is cut off here.
        response.close()
