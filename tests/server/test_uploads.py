"""Bodies that are handled while they arrive, over real sockets: never gathered, never endless."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import granian.constants
from granian.server.embed import Server as GranianServer
from raw_http import connected, http2, read_head, read_reply
from signed_http import Ask

from outcrop.errors import ServiceError
from outcrop.server.address import choose_port
from outcrop.server.asgi import Bridge
from outcrop.server.uploads import Upload
from outcrop.wire.http import Request, Response

MIB = 1024 * 1024
HEAD = "PUT {} HTTP/1.1\r\nhost: a\r\n{}\r\n"

Answer = Callable[[Upload], Awaitable[bytes]]


class Echo:
    """An application whose PUT takes its body as a stream; ``failures`` is what reading raised."""

    stream_methods = frozenset({"PUT"})

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.failures: asyncio.Queue[BaseException] = asyncio.Queue()

    def takes_stream(self, request: Request) -> bool:
        return request.raw_path == "/stream"

    async def handle(self, request: Request) -> Response:
        if request.incoming is None:
            return Response(200, {}, f"whole {len(request.body)}".encode())
        assert isinstance(request.incoming, Upload)
        assert request.body == b""
        try:
            return Response(200, {}, await self._answer(request.incoming))
        except ServiceError as error:
            self.failures.put_nowait(error)
            return Response(error.status, {}, error.code.encode())
        except asyncio.CancelledError as error:
            self.failures.put_nowait(error)
            raise


@asynccontextmanager
async def serving(app: Echo, *, piece_timeout_s: float = 30.0) -> AsyncGenerator[str]:
    port = choose_port("127.0.0.1", 0)
    bridge = Bridge(app, piece_timeout_s=piece_timeout_s)
    server = GranianServer(
        bridge,
        address="127.0.0.1",
        port=port,
        interface=granian.constants.Interfaces.ASGINL,
        http=granian.constants.HTTPModes.auto,
        websockets=False,
        log_enabled=False,
    )
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                break
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        bridge.abort()
        await bridge.drained()
        server.stop()
        await asyncio.wait((running,), timeout=5)


def head(size: int | None, *more: str, path: str = "/stream") -> bytes:
    length = [] if size is None else [f"content-length: {size}"]
    return HEAD.format(path, "".join(f"{line}\r\n" for line in [*length, *more])).encode()


async def count(upload: Upload) -> bytes:
    total = 0
    async for piece in upload.pieces():
        assert piece
        total += len(piece)
    return f"{upload.declared_bytes} {total}".encode()


async def refuse(upload: Upload) -> bytes:
    raise ServiceError("AccessDenied", "Access Denied", status=403)


async def test_a_body_reaches_the_handler_as_it_was_sent() -> None:
    sent = bytes(range(256)) * 4096

    async def gather(upload: Upload) -> bytes:
        return b"".join([piece async for piece in upload.pieces()])

    async with serving(Echo(gather)) as url, connected(url) as (reader, writer):
        writer.write(head(len(sent)) + sent)
        assert (await read_reply(reader)).body == sent
        writer.write(head(3) + b"two")
        assert (await read_reply(reader)).body == b"two"


async def test_an_empty_body_and_one_of_unknown_length_are_told_apart() -> None:
    async with serving(Echo(count)) as url, connected(url) as (reader, writer):
        writer.write(head(0))
        assert (await read_reply(reader)).body == b"0 0"
        writer.write(head(None, "transfer-encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n")
        assert (await read_reply(reader)).body == b"-1 3"


async def test_other_paths_of_the_method_are_read_whole() -> None:
    async with serving(Echo(count)) as url, connected(url) as (reader, writer):
        writer.write(head(5, path="/other") + b"abcde")
        assert (await read_reply(reader)).body == b"whole 5"


async def test_a_slow_reader_slows_the_sender_down() -> None:
    sent = pulled = most_ahead = 0
    total = 256 * MIB

    async def read_slowly(upload: Upload) -> bytes:
        nonlocal pulled
        async for piece in upload.pieces():
            pulled += len(piece)
            # The sender may run as far ahead as it is let.
            for _ in range(20):
                await asyncio.sleep(0)
        return str(pulled).encode()

    async def send(writer: asyncio.StreamWriter) -> None:
        nonlocal sent, most_ahead
        piece = bytes(MIB)
        writer.write(head(total))
        while sent < total:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            most_ahead = max(most_ahead, sent - pulled)

    async with serving(Echo(read_slowly)) as url, connected(url) as (reader, writer):
        sending = asyncio.create_task(send(writer))
        async with asyncio.timeout(120):
            await sending
        assert (await read_reply(reader)).body == str(total).encode()
    assert most_ahead < 32 * MIB


async def test_over_http2_too() -> None:
    async with serving(Echo(count)) as url, http2(url) as connection:
        number = await connection.send(Ask("PUT", "/stream", body=b"x" * 10_000))
        reply = await connection.reply(number)
    assert reply.body.split() == [b"-1", b"10000"]


async def test_a_client_that_expects_it_is_asked_for_its_body() -> None:
    async with serving(Echo(count)) as url, connected(url) as (reader, writer):
        writer.write(head(3, "expect: 100-continue"))
        assert (await read_head(reader))[0] == 100
        writer.write(b"abc")
        assert (await read_reply(reader)).body == b"3 3"


async def test_a_client_that_is_refused_is_not_asked_for_its_body() -> None:
    async with serving(Echo(refuse)) as url, connected(url) as (reader, writer):
        writer.write(head(3, "expect: 100-continue"))
        reply = await read_reply(reader)
        # It may send it all the same, so nothing more is read as a request.
        assert reply.headers["connection"] == "close"
        async with asyncio.timeout(20):
            assert await reader.read() == b""
    assert (reply.status, reply.body) == (403, b"AccessDenied")


async def test_a_client_that_was_asked_for_its_body_keeps_its_connection() -> None:
    async def refuse_at_the_end(upload: Upload) -> bytes:
        await count(upload)
        return await refuse(upload)

    async with serving(Echo(refuse_at_the_end)) as url, connected(url) as (reader, writer):
        for _ in range(2):
            writer.write(head(3, "expect: 100-continue"))
            assert (await read_head(reader))[0] == 100
            writer.write(b"abc")
            assert (await read_reply(reader)).status == 403


async def test_an_answer_in_the_middle_reaches_a_client_that_sends_first() -> None:
    async with serving(Echo(refuse)) as url, connected(url) as (reader, writer):
        writer.write(head(32 * MIB))
        for _ in range(32):
            writer.write(bytes(MIB))
            await writer.drain()
        assert (await read_reply(reader)).status == 403
        # Whoever was refused may ask again on the same connection.
        writer.write(head(3) + b"abc")
        assert (await read_reply(reader)).status == 403


async def test_a_client_that_falls_silent_is_told_so() -> None:
    async with (
        serving(Echo(count), piece_timeout_s=0.05) as url,
        connected(url) as (reader, writer),
    ):
        writer.write(head(10) + b"half")
        reply = await read_reply(reader)
    assert (reply.status, reply.body) == (400, b"RequestTimeout")


async def test_a_client_that_goes_away_midway_ends_the_handler() -> None:
    app = Echo(count)
    async with serving(app) as url:
        async with connected(url) as (_, writer):
            writer.write(head(10) + b"half")
            await writer.drain()
        async with asyncio.timeout(20):
            failure = await app.failures.get()
    assert isinstance(failure, ServiceError)
    assert failure.code == "IncompleteBody"


async def test_a_client_that_goes_away_after_its_body_ends_the_handler() -> None:
    read = asyncio.Event()

    async def read_and_wait(upload: Upload) -> bytes:
        answer = await count(upload)
        read.set()
        await asyncio.Future()
        return answer

    app = Echo(read_and_wait)
    async with serving(app) as url:
        async with connected(url) as (_, writer):
            writer.write(head(4) + b"body")
            async with asyncio.timeout(20):
                await read.wait()
        async with asyncio.timeout(20):
            failure = await app.failures.get()
    assert isinstance(failure, asyncio.CancelledError)


async def test_what_is_left_of_a_body_is_not_read_for_ever() -> None:
    received = 0

    async def endless() -> dict[str, object]:
        nonlocal received
        received += MIB
        return {"type": "http.request", "body": bytes(MIB), "more_body": True}

    upload = Upload(endless, -1)
    await upload.drain()
    assert 0 < received <= 65 * MIB
