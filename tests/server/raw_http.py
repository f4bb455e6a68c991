"""HTTP/1.1 and HTTP/2 by hand, on the test's own event loop: one call shows one step."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
from signed_http import Ask, Reply, Signer

TIMEOUT_S = 20


@asynccontextmanager
async def connected(
    url: str, context: ssl.SSLContext | None = None
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def render(url: str, ask: Ask, *more: str) -> bytes:
    """The signed request as HTTP/1.1 writes it, with Content-Length unless ``more`` frames it."""
    headers = Signer().headers(ask, urlsplit(url).netloc)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if not any("transfer-encoding" in each for each in more):
        lines.append(f"content-length: {len(ask.body)}")
    target = f"{ask.path}?{ask.query}" if ask.query else ask.path
    head = "\r\n".join([f"{ask.method} {target} HTTP/1.1", *lines, *more])
    return head.encode("latin-1") + b"\r\n\r\n"


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    async with asyncio.timeout(TIMEOUT_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def read_reply(reader: asyncio.StreamReader, *, has_body: bool = True) -> Reply:
    status, headers = await read_head(reader)
    body = b""
    async with asyncio.timeout(TIMEOUT_S):
        if headers.get("transfer-encoding") == "chunked":
            while piece := await read_chunk(reader):
                body += piece
        elif has_body:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(status, headers, body)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a chunked body; empty at its end."""
    async with asyncio.timeout(TIMEOUT_S):
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        return (await reader.readexactly(size + 2))[:size]


@dataclass
class _Stream:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    pieces: list[bytes] = field(default_factory=list[bytes])
    is_over: bool = False


class Http2:
    """One connection. Prior knowledge in clear; ``context`` must have negotiated h2."""

    def __init__(
        self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._url = urlsplit(url)
        self._reader = reader
        self._writer = writer
        self._streams: dict[int, _Stream] = {}
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._flush()

    async def send(self, ask: Ask) -> int:
        headers = Signer().headers(ask, self._url.netloc)
        authority = headers.pop("host")
        target = f"{ask.path}?{ask.query}" if ask.query else ask.path
        pseudo = {":method": ask.method, ":scheme": self._url.scheme, ":path": target}
        stream_id = self._h2.get_next_available_stream_id()
        self._streams[stream_id] = _Stream()
        self._h2.send_headers(
            stream_id, [*pseudo.items(), (":authority", authority), *headers.items()]
        )
        self._h2.send_data(stream_id, ask.body, end_stream=True)
        self._flush()
        await self._writer.drain()
        return stream_id

    async def reply(self, stream_id: int) -> Reply:
        stream = self._streams[stream_id]
        while not stream.is_over:
            await self._receive()
        return Reply(stream.status, stream.headers, b"".join(stream.pieces))

    async def first_piece(self, stream_id: int) -> bytes:
        stream = self._streams[stream_id]
        while not stream.pieces:
            assert not stream.is_over
            await self._receive()
        return stream.pieces[0]

    def reset(self, stream_id: int) -> None:
        self._h2.reset_stream(stream_id, 8)
        self._flush()

    async def _receive(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            data = await self._reader.read(65536)
        assert data, "the connection was closed"
        for event in self._h2.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=int(number), headers=list(pairs)):
                found = {str(name): str(value) for name, value in pairs}
                self._streams[number].status = int(found.pop(":status"))
                self._streams[number].headers = found
            case h2.events.DataReceived(stream_id=int(number), data=bytes(data)):
                self._streams[number].pieces.append(data)
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            case h2.events.StreamEnded(stream_id=int(number)):
                self._streams[number].is_over = True
            case h2.events.StreamReset(stream_id=int(number)):
                self._streams[number].is_over = True
            case _:
                pass

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())


@asynccontextmanager
async def http2(url: str, context: ssl.SSLContext | None = None) -> AsyncGenerator[Http2]:
    async with connected(url, context) as (reader, writer):
        yield Http2(url, reader, writer)
