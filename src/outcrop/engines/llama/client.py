"""Speaks to the HTTP server of one engine process, and turns its failures into engine errors.

Every connection serves one request: the server's few threads must not wait on idle ones.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
import msgspec

from outcrop.engines.llama.messages import Chunk, Failure, Fault, Ids, Pieces, Properties
from outcrop.engines.llama.supervisor import Supervisor
from outcrop.engines.protocol import (
    EngineError,
    EngineFailed,
    EngineGone,
    EngineNotReady,
    EngineTimeout,
    InputTooLong,
)

_Answer = TypeVar("_Answer")

_CACHED_TEXTS = 512
_CACHED_TEXT_CHARACTERS = 4096
_MAX_EVENT_BYTES = 64 * 2**20


class LlamaClient:
    """``scales`` are those of the adapters, all of which every request names."""

    def __init__(
        self,
        name: str,
        supervisor: Supervisor,
        timeout_s: float,
        scales: Sequence[Mapping[str, int | float]] = (),
    ) -> None:
        self._name = name
        self._scales = scales
        self._supervisor = supervisor
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._cache: OrderedDict[tuple[str, bool], tuple[int, ...]] = OrderedDict()

    async def tokenize(self, text: str, *, special: bool) -> tuple[int, ...]:
        """``special`` lets the text name control tokens; nothing is added to it."""
        key = (text, special)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        body = {"content": text, "add_special": False, "parse_special": special}
        ids = tuple((await self._ask("/tokenize", body, Ids)).tokens)
        if len(text) <= _CACHED_TEXT_CHARACTERS:
            self._cache[key] = ids
            if len(self._cache) > _CACHED_TEXTS:
                self._cache.popitem(last=False)
        return ids

    async def pieces(self, text: str, *, special: bool) -> list[tuple[int, bytes]]:
        """As ``tokenize``, with the bytes of each token."""
        body = {
            "content": text,
            "add_special": False,
            "parse_special": special,
            "with_pieces": True,
        }
        answer = await self._ask("/tokenize", body, Pieces)
        return [
            (one.id, one.piece.encode() if isinstance(one.piece, str) else bytes(one.piece))
            for one in answer.tokens
        ]

    async def context(self) -> int:
        """Tokens a slot holds, prompt and answer together."""
        answer = await self._ask("/props", None, Properties)
        return answer.default_generation_settings.n_ctx

    async def metrics(self) -> dict[str, float]:
        """The engine's own counters, such as ``tokens_predicted_total``."""
        with self._translated():
            async with self._request("GET", "/metrics", None) as response:
                text = (await response.read()).decode()
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("llamacpp:"): float(value) for name, value in pairs}

    async def complete(self, body: Mapping[str, Any]) -> Chunk:
        """One short completion in one piece."""
        body = {**body, "lora": self._scales, "stream": False}
        return await self._ask("/completion", body, Chunk)

    async def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk]:
        """Ends with the chunk whose ``stop`` is true. Closing it stops the engine's work."""
        body = {**body, "lora": self._scales, "stream": True}
        with self._translated():
            async with (
                self._request("POST", "/completion", body) as response,
                aclosing(_events(response.content)) as events,
            ):
                async for event in events:
                    chunk = _chunk(self._name, event)
                    yield chunk
                    if chunk.stop:
                        return
        raise EngineGone(f"engine {self._name!r} ended its stream before the answer's end")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, path: str, body: Mapping[str, Any] | None, kind: type[_Answer]) -> _Answer:
        with self._translated():
            method = "GET" if body is None else "POST"
            async with self._request(method, path, body) as response:
                return msgspec.json.decode(await response.read(), type=kind)

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        endpoint = await self._supervisor.endpoint()
        data = None if body is None else msgspec.json.encode(body)
        headers = {"authorization": f"Bearer {endpoint.api_key}"}
        try:
            async with self._open().request(
                method, endpoint.url + path, data=data, headers=headers
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise _failure(self._name, response.status, await response.read())
                yield response
        except aiohttp.ClientConnectionError:
            await self._supervisor.settle()
            raise
        except aiohttp.ClientPayloadError:
            await self._supervisor.settle()
            raise

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except TimeoutError as error:
            raise EngineTimeout(
                f"engine {self._name!r} gave no whole answer within {self._timeout.total} seconds"
            ) from error
        except aiohttp.ClientError as error:
            raise EngineGone(f"engine {self._name!r} was lost: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EngineFailed(f"engine {self._name!r} answered nonsense: {error}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=self._timeout
            )
        return self._session


async def _events(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """The events of a server-sent stream; comments, which keep it alive, are left out."""
    rest = b""
    async for piece in content.iter_any():
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            if not event.startswith(b":"):
                yield event
        if len(rest) > _MAX_EVENT_BYTES:
            raise msgspec.DecodeError("an event of the stream is too large")


def _chunk(name: str, event: bytes) -> Chunk:
    if event.startswith((b'data: {"error"', b"error: ")):
        raise _failure(name, 0, event.partition(b": ")[2])
    return msgspec.json.decode(event.removeprefix(b"data: "), type=Chunk)


def _failure(name: str, status: int, body: bytes) -> EngineError:
    try:
        fault = msgspec.json.decode(body, type=Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        fault = Fault(message=body[:200].decode(errors="replace"))
    if fault.type == "exceed_context_size_error":
        return InputTooLong(fault.n_ctx - 1, fault.n_prompt_tokens)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return EngineNotReady(f"engine {name!r} is not ready: {fault.message}")
    return EngineFailed(f"engine {name!r} failed: {fault.message}")
