"""One HTTP connection pool to an OpenAI-compatible server; transport errors become engine errors.

The API key goes into the session's headers and nowhere else.
"""

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec

from outcrop.config import ConfigError, OpenAI
from outcrop.engines.openai import failures
from outcrop.engines.protocol import EngineFailed, EngineGone, EngineNotReady, EngineTimeout

CONNECT_TIMEOUT_S = 10.0
_ERROR_BODY_BYTES = 64 << 10
_ANSWER_BYTES = 256 << 20

Answer = TypeVar("Answer")


class Client:
    """``url`` is the base that ends in ``/v1``; ``root`` is the same without it."""

    def __init__(self, name: str, config: OpenAI) -> None:
        self.url = config.url.rstrip("/")
        self.root = self.url.removesuffix("/v1")
        self._headers = {"Content-Type": "application/json", **_authorization(name, config)}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=config.timeout_s
        )
        self._name = name
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @asynccontextmanager
    async def post(self, url: str, body: Any) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The response to a POST, its status 200; leaving early closes the connection."""
        with _transport_errors():
            async with await self._send(url, msgspec.json.encode(body)) as response:
                await _check(response)
                yield response

    async def ask(self, url: str, body: Any, answer: type[Answer]) -> Answer:
        async with self.post(url, body) as response:
            return _decode(await _read(response), answer)

    async def tell(self, url: str, body: Any) -> None:
        """A POST whose answer says nothing more than that it was done."""
        async with self.post(url, body) as response:
            await _read(response)

    async def get(self, url: str, answer: type[Answer]) -> Answer:
        with _transport_errors():
            async with self._open().get(url) as response:
                await _check(response)
                return _decode(await _read(response), answer)

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _send(self, url: str, body: bytes) -> aiohttp.ClientResponse:
        """A pooled connection that the server has just closed shows only when it is used: then the
        request, of which the server has answered nothing, goes out once more on another."""
        try:
            return await self._open().post(url, data=body)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            return await self._open().post(url, data=body)

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            # A request that lost its connection to the closing would try it on another.
            raise EngineNotReady(f"engine {self._name!r} is shutting down")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=0),
            )
        return self._session


@contextmanager
def _transport_errors() -> Generator[None]:
    try:
        yield
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        raise EngineTimeout("the server did not answer within the engine's time limit") from error
    except aiohttp.ClientConnectorError as error:
        raise EngineGone(f"the server cannot be reached: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineGone(f"the connection to the server was lost: {error}") from error


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        body = await response.content.read(_ERROR_BODY_BYTES)
        raise failures.failure(response.status, failures.message(body))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _ANSWER_BYTES:
            raise EngineFailed("the server's answer is too long")
    return bytes(body)


def _decode(body: bytes, answer: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineFailed(f"the server's answer cannot be read: {error}") from error


def _authorization(name: str, config: OpenAI) -> dict[str, str]:
    if config.api_key_env is None:
        return {}
    key = os.environ.get(config.api_key_env)
    if not key:
        raise ConfigError(
            f"engines.{name}.api_key_env: the environment variable {config.api_key_env} is not set"
        )
    return {"Authorization": f"Bearer {key}"}
