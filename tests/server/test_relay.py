"""The relay of a private endpoint by itself, before a server that the test plays: who is let in,
what is held in memory, and when either side is given up."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from outcrop.server.relay import Admission, Connection, Relay

TIMEOUT_S = 30
MIB = 2**20
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Relayed:
    """``ended`` is set whenever the server behind sees the end of a connection."""

    port: int
    relay: Relay
    allowed: bool = True
    asked: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    watched: list[Connection] = field(default_factory=list[Connection])
    inner_peers: list[int] = field(default_factory=list[int])
    clients: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])
    running: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def relayed(talk: Talk, **limits: float) -> AsyncGenerator[Relayed]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.running += 1
        found.quiet.clear()
        found.inner_peers.append(writer.get_extra_info("peername")[1])
        try:
            await talk(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            found.running -= 1
            if not found.running:
                found.quiet.set()

    async def admit(address: str, is_here: bool) -> Admission:
        found.asked.append((address, is_here))
        return Admission(None, found.allowed)

    inner = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = int(inner.sockets[0].getsockname()[1])
    watched: list[Connection] = []
    relay = Relay("vpce-1", port, admit, watched.append, **limits)
    found = Relayed(await relay.take_port("127.0.0.1", 0), relay, watched=watched)
    await relay.listen()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield found
    finally:
        for client in found.clients:
            client.transport.abort()
        await relay.close()
        inner.close()


async def connect(
    found: Relayed, **where: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", found.port, **where)
    found.clients.append(writer)
    return reader, writer


async def ended(found: Relayed) -> None:
    """The first connection is over for the relay, too."""
    # Nothing tells of that: the relay has no event for it.
    while found.watched[0].ended_at is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(MIB):
        writer.write(piece)
        await writer.drain()


async def test_who_is_not_admitted_is_closed_before_a_byte_is_read() -> None:
    async with relayed(echo) as found:
        found.allowed = False
        reader, _ = await connect(found, local_addr=("127.0.0.2", 0))
        assert await reader.read() == b""
        (refused,) = found.watched
    assert found.asked == [("127.0.0.2", True)]
    assert (refused.address, refused.is_accepted, refused.traffic.bytes_in) == (
        "127.0.0.2",
        False,
        0,
    )
    assert refused.ended_at is not None
    assert found.inner_peers == []


async def test_a_client_is_known_by_its_port_as_long_as_it_is_there() -> None:
    async with relayed(echo) as found:
        reader, writer = await connect(found, local_addr=("127.0.0.3", 0))
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        (port,) = found.inner_peers
        assert found.relay.find_client(port) == "127.0.0.3"
        assert found.relay.find_client(port + 1) is None
        writer.close()
        await found.quiet.wait()
        await ended(found)
        assert found.relay.find_client(port) is None
    traffic = found.watched[0].traffic
    assert (traffic.bytes_in, traffic.bytes_out) == (1, 1)


async def test_a_client_that_does_not_read_costs_little_and_is_given_up() -> None:
    """64 MiB would be sent: what is taken of it is what the kernel and the relay hold back."""
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(1)
        for _ in range(64):
            writer.write(bytes(MIB))
            await writer.drain()
            sent += 1

    async with relayed(pour, stall_s=0.3) as found:
        _, writer = await connect(found, limit=1024)
        writer.write(b"a")
        await found.quiet.wait()
        assert sent < 32
        await ended(found)


async def test_a_client_that_reads_slowly_gets_everything() -> None:
    size_bytes = 16 * MIB

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(bytes(size_bytes))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with relayed(pour, stall_s=1.0) as found:
        reader, writer = await connect(found, limit=64 * 1024)
        writer.write(b"a")
        got = 0
        while piece := await reader.read(256 * 1024):
            got += len(piece)
            await asyncio.sleep(0.01)
        assert got == size_bytes


async def test_a_client_that_never_begins_is_given_up() -> None:
    async with relayed(echo, first_s=0.05) as found:
        reader, _ = await connect(found)
        assert await reader.read() == b""
    assert found.inner_peers == []


async def test_what_was_said_last_is_heard_when_the_relay_ends() -> None:
    """And who has not begun does not hold it up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(bytes(4 * MIB))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with relayed(answer) as found:
        silent, _ = await connect(found)
        reader, writer = await connect(found)
        writer.write(b"a")
        assert len(await reader.readexactly(10)) == 10
        closing = asyncio.create_task(found.relay.close(grace_s=TIMEOUT_S))
        assert await silent.read() == b""
        assert len(await reader.read()) == 4 * MIB - 10
        await closing


async def test_a_client_that_has_said_all_hears_the_answer() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read()
        writer.write(said * 2)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with relayed(answer_at_the_end) as found:
        reader, writer = await connect(found)
        writer.write(bytes(MIB))
        writer.write_eof()
        assert len(await reader.read()) == 2 * MIB


async def test_an_early_refusal_is_heard_while_the_body_is_still_sent() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"no" * 10_000)
        writer.write_eof()
        # Reads no more, and goes away when the answer is out.
        await asyncio.sleep(0.1)

    async with relayed(refuse) as found:
        reader, writer = await connect(found)
        writer.write(bytes(8 * MIB))
        assert len(await reader.readexactly(20_000)) == 20_000


async def test_a_client_that_is_gone_ends_the_work_behind() -> None:
    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"begun")
        assert await reader.read() == b""

    async with relayed(work) as found:
        reader, writer = await connect(found)
        writer.write(b"a")
        assert await reader.readexactly(5) == b"begun"
        writer.transport.abort()
        await found.quiet.wait()


async def test_two_hundred_at_once_are_kept_apart() -> None:
    async with relayed(echo) as found:

        async def talk(number: int) -> bytes:
            reader, writer = await connect(found)
            text = f"{number:03}".encode() * 1000
            writer.write(text)
            heard = await reader.readexactly(len(text))
            everybody.append(number)
            if len(everybody) == 200:
                together.set()
            await together.wait()
            writer.close()
            return heard[:3]

        everybody: list[int] = []
        together = asyncio.Event()
        heard = await asyncio.gather(*map(talk, range(200)))
        assert heard == [f"{number:03}".encode() for number in range(200)]
        await found.quiet.wait()
    assert len(found.watched) == 200


async def test_a_port_that_is_taken_is_told_before_anything_listens() -> None:
    async with relayed(echo) as found:

        async def nobody(_address: str, _is_here: bool) -> Admission:
            return Admission(None, is_allowed=False)

        other = Relay("vpce-2", 1, nobody, found.watched.append)
        with pytest.raises(OSError, match="in use"):
            await other.take_port("127.0.0.1", found.port)
