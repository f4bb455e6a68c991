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
from typing import Final, Protocol, cast

from outcrop.stores.network_records import NetworkInterface
from outcrop.stores.resources import Item

MAX_CONNECTIONS: Final = 2048
_PIECE_BYTES: Final = 64 * 1024
_BACKLOG: Final = 1024
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


@dataclass(frozen=True, slots=True)
class Admission:
    interface: Item[NetworkInterface] | None
    is_allowed: bool


Admit = Callable[[str], Awaitable[Admission]]
Watch = Callable[[Connection], None]
"""Told of each connection when it begins."""


class Relay:
    """The ``Entrance`` of one endpoint."""

    def __init__(self, endpoint: str, inner_port: int, admit: Admit, watch: Watch) -> None:
        self.endpoint = endpoint
        self._inner_port = inner_port
        self._admit = admit
        self._watch = watch
        self._clients: dict[int, str] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """The port: a free one for 0. Raises ``OSError``."""
        self._server = await asyncio.start_server(
            self._accept, host, port, limit=_PIECE_BYTES, backlog=_BACKLOG
        )
        return int(self._server.sockets[0].getsockname()[1])

    def find_client(self, port: int) -> str | None:
        return self._clients.get(port)

    def stop_listening(self) -> None:
        """Connections go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        self.stop_listening()
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
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if peer is None or len(self._serving) > MAX_CONNECTIONS:
            return
        address = plain_address(peer[0])
        admission = await self._admit(address)
        connection = Connection(
            interface=admission.interface,
            address=address,
            port=peer[1],
            is_accepted=admission.is_allowed,
            began_at=datetime.now(UTC),
            socket=writer.get_extra_info("socket"),
        )
        connection.count_packets()
        self._watch(connection)
        try:
            if admission.is_allowed:
                await self._relay(connection, reader, writer)
        finally:
            connection.count_packets()
            connection.ended_at = datetime.now(UTC)
            connection.socket = None

    async def _relay(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
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

        inward = asyncio.create_task(_pump(reader, inner, received))
        outward = asyncio.create_task(_pump(inner_reader, writer, sent))
        try:
            # A client that has said all still hears the answer; one that is gone ends the work.
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            if inward.done() and inward.result():
                await asyncio.wait((outward,))
            await _flush(writer)
        finally:
            inward.cancel()
            outward.cancel()
            await asyncio.wait((inward, outward))
            inner.transport.abort()
            self._clients.pop(port, None)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]
) -> bool:
    """Until the end of what ``reader`` says, which ``writer`` is told; false if either is gone."""
    try:
        while piece := await reader.read(_PIECE_BYTES):
            count(len(piece))
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        return False
    return True


async def _flush(writer: asyncio.StreamWriter) -> None:
    """What is written goes out before the connection is dropped."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


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
