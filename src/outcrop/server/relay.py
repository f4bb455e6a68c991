"""The address of a private endpoint: connections are let in or refused, relayed and counted.

Behind it is an HTTP server on a loopback port of its own. It knows a client by the port from which
the relay connects to it; whoever else finds that port is nobody's client and is refused.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Literal, Protocol, cast

from outcrop.stores.network_records import NetworkInterface
from outcrop.stores.resources import Item

MAX_CONNECTIONS: Final = 2048
_PIECE_BYTES: Final = 64 * 1024
_BACKLOG: Final = 1024
_FIRST_S: Final = 30.0
"""How long a client may take to begin."""

_STALL_S: Final = 60.0
"""How long one may take nothing of what it is being sent."""

_KEEP_ALIVE_S: Final = 60
"""After so long without a word, the kernel asks whether the client is still there."""

# struct tcp_info of Linux: tcpi_segs_out and tcpi_segs_in, since 4.2.
_SEGMENTS: Final = struct.Struct("=II")
_SEGMENTS_AT: Final = 136


@dataclass(slots=True)
class Traffic:
    """What a connection carried so far. Bytes are of the payload (of TLS, as encrypted); packets
    are None where the kernel does not count them."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int | None = None
    packets_out: int | None = None


@dataclass(slots=True, eq=False)
class Connection:
    """``interface`` is the network interface that it came to."""

    interface: Item[NetworkInterface] | None
    address: str
    port: int
    is_accepted: bool
    began_at: datetime
    ended_at: datetime | None = None
    traffic: Traffic = field(default_factory=Traffic)
    socket: "Countable | None" = None

    def count_packets(self) -> None:
        """While the connection is open."""
        found = _segments(self.socket) if self.socket is not None else None
        if found is not None:
            self.traffic.packets_out, self.traffic.packets_in = found


class Countable(Protocol):
    """The sockets of asyncio and of uvloop."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Admission:
    interface: Item[NetworkInterface] | None
    is_allowed: bool


Admit = Callable[[str, bool], Awaitable[Admission]]
"""By the client's address, and whether it is on this machine."""

Watch = Callable[[Connection], None]
"""Told of each connection when it begins."""


class Relay:
    """The ``Entrance`` of one endpoint."""

    def __init__(
        self,
        endpoint: str,
        inner_port: int,
        admit: Admit,
        watch: Watch,
        *,
        first_s: float = _FIRST_S,
        stall_s: float = _STALL_S,
    ) -> None:
        self.endpoint = endpoint
        self._inner_port = inner_port
        self._admit = admit
        self._watch = watch
        self._first_s = first_s
        self._stall_s = stall_s
        self._clients: dict[int, str] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def take_port(self, host: str, port: int) -> int:
        """The port: a free one for 0. Nobody is let in yet. Raises ``OSError``."""
        self._server = await asyncio.start_server(
            self._accept, host, port, limit=_PIECE_BYTES, backlog=_BACKLOG, start_serving=False
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def listen(self) -> None:
        """Raises ``OSError``."""
        if self._server is not None:
            await self._server.start_serving()

    def find_client(self, port: int) -> str | None:
        return self._clients.get(port)

    def stop_listening(self) -> None:
        """Connections go on, but for those that have not said anything."""
        if self._server is not None:
            self._server.close()
        for task in self._silent:
            task.cancel()

    async def close(self, *, grace_s: float = 0) -> None:
        """``grace_s``: for what the server behind, which has ended, said last."""
        self.stop_listening()
        if self._serving and grace_s:
            await asyncio.wait(self._serving, timeout=grace_s)
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        except OSError:
            # The client is gone, or the server behind is.
            pass
        except asyncio.CancelledError:
            # ``close`` ends it. asyncio's streams log a task that ends as cancelled as an error.
            pass
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if peer is None or len(self._serving) > MAX_CONNECTIONS:
            return
        address = plain_address(peer[0])
        here = plain_address(writer.get_extra_info("sockname")[0])
        # Who comes from the address that it came to is this machine, loopback or not.
        is_here = address == here or ip_address(address).is_loopback
        admission = await self._admit(address, is_here)
        counted: Countable | None = writer.get_extra_info("socket")
        connection = Connection(
            interface=admission.interface,
            address=address,
            port=peer[1],
            is_accepted=admission.is_allowed,
            began_at=datetime.now(UTC),
            socket=counted,
        )
        _keep_alive(counted)
        connection.count_packets()
        self._watch(connection)
        try:
            if admission.is_allowed:
                await self._relay(connection, reader, writer)
        finally:
            connection.count_packets()
            connection.ended_at = datetime.now(UTC)
            connection.socket = None

    async def _first(self, reader: asyncio.StreamReader) -> bytes:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._silent.add(task)
        try:
            async with asyncio.timeout(self._first_s):
                return await reader.read(_PIECE_BYTES)
        finally:
            self._silent.discard(task)

    async def _relay(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first = await self._first(reader)
        if not first:
            return
        inner_reader, inner = await asyncio.open_connection(
            "127.0.0.1", self._inner_port, limit=_PIECE_BYTES
        )
        port = int(inner.get_extra_info("sockname")[1])
        self._clients[port] = connection.address
        traffic = connection.traffic

        def received(size: int) -> None:
            traffic.bytes_in += size

        def sent(size: int) -> None:
            traffic.bytes_out += size

        received(len(first))
        inner.write(first)
        inward = asyncio.create_task(_pump(reader, inner, received))
        outward = asyncio.create_task(_pump(inner_reader, writer, sent, self._stall_s))
        try:
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            if inward.done() and inward.result() != "source gone":
                # A client that has said all, or that is not listened to, still hears the answer.
                await asyncio.wait((outward,))
            if outward.done() and outward.result() != "target gone":
                await _flush(writer, self._stall_s)
        finally:
            inward.cancel()
            outward.cancel()
            await asyncio.wait((inward, outward))
            inner.transport.abort()
            self._clients.pop(port, None)


_Ended = Literal["said all", "source gone", "target gone"]


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    count: Callable[[int], None],
    stall_s: float | None = None,
) -> _Ended:
    """Until the end of what ``reader`` says, which ``writer`` is told. A writer that takes nothing
    for ``stall_s`` counts as gone."""
    writer.transport.set_write_buffer_limits(high=_PIECE_BYTES)
    while True:
        try:
            piece = await reader.read(_PIECE_BYTES)
        except OSError:
            return "source gone"
        try:
            if not piece:
                if writer.can_write_eof():
                    writer.write_eof()
                return "said all"
            count(len(piece))
            writer.write(piece)
            await _taken(writer, stall_s)
        except OSError:
            return "target gone"


async def _taken(writer: asyncio.StreamWriter, stall_s: float | None) -> None:
    if stall_s is None or writer.transport.get_write_buffer_size() <= _PIECE_BYTES:
        await writer.drain()
    else:
        await _patiently(writer, asyncio.ensure_future(writer.drain()), stall_s)


async def _flush(writer: asyncio.StreamWriter, stall_s: float) -> None:
    """What is written goes out before the connection is dropped."""
    writer.close()
    with contextlib.suppress(OSError):
        await _patiently(writer, asyncio.ensure_future(writer.wait_closed()), stall_s)


async def _patiently(
    writer: asyncio.StreamWriter, done: asyncio.Future[Any], stall_s: float
) -> None:
    """Raises ``TimeoutError`` when nothing of what is written has gone out for ``stall_s``."""
    left_bytes = writer.transport.get_write_buffer_size()
    try:
        while not (await asyncio.wait((done,), timeout=stall_s))[0]:
            before_bytes, left_bytes = left_bytes, writer.transport.get_write_buffer_size()
            if left_bytes >= before_bytes:
                raise TimeoutError
        await done
    finally:
        done.cancel()


def _keep_alive(client: Countable | None) -> None:
    idle = getattr(socket, "TCP_KEEPIDLE", None)
    if client is None or idle is None:
        return
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, idle, _KEEP_ALIVE_S)


def plain_address(address: str) -> str:
    """An IPv4 client of an IPv6 socket is an IPv4 client."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _segments(counted: Countable) -> tuple[int, int] | None:
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        told = counted.getsockopt(socket.IPPROTO_TCP, option, 256)
    except (OSError, TypeError, ValueError):
        # The connection is gone: what was counted last stands.
        return None
    if len(told) < _SEGMENTS_AT + _SEGMENTS.size:
        return None
    sent, received = _SEGMENTS.unpack_from(told, _SEGMENTS_AT)
    return int(sent), int(received)
