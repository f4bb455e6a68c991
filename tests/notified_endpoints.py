"""What notifications are sent to: an HTTP listener and an SMTP server, on free ports."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import msgspec
from aiohttp import web

WAIT_S = 30.0


@dataclass
class Posted:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)


@dataclass
class HttpListener:
    """Answers with ``statuses`` in turn, and when these are used up with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list[int])
    posted: "asyncio.Queue[Posted]" = field(default_factory=lambda: asyncio.Queue[Posted]())

    async def next(self) -> Posted:
        async with asyncio.timeout(WAIT_S):
            return await self.posted.get()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self.posted.put(Posted(request.path_qs, dict(request.headers), body))
        status = self.statuses.pop(0) if self.statuses else 200
        headers = {"Location": "/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def http_listener() -> AsyncGenerator[HttpListener]:
    listener = HttpListener()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", listener.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield listener
    finally:
        await runner.cleanup()


@dataclass
class SmtpServer:
    """Takes every message, or answers RCPT with ``refusal``. With ``tls`` it offers STARTTLS."""

    port: int = 0
    refusal: str = ""
    tls: ssl.SSLContext | None = None
    secured: int = 0
    mails: "asyncio.Queue[EmailMessage]" = field(
        default_factory=lambda: asyncio.Queue[EmailMessage]()
    )

    async def next(self) -> EmailMessage:
        async with asyncio.timeout(WAIT_S):
            return await self.mails.get()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                text = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(
                    text[:-3].replace(b"\r\n..", b"\r\n."), policy=policy.default
                )
                assert isinstance(mail, EmailMessage)
                await self.mails.put(mail)
            if verb == b"STAR" and self.tls is not None:
                writer.write(b"220 go on\r\n")
                await writer.drain()
                await writer.start_tls(self.tls)
                self.secured += 1
                continue
            writer.write(self._answer(verb))
            await writer.drain()
            if verb == b"QUIT":
                return

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            return b"250-here\r\n250-STARTTLS\r\n250 8BITMIME\r\n" if self.tls else b"250 here\r\n"
        if verb == b"RCPT" and self.refusal:
            return f"{self.refusal}\r\n".encode()
        return b"221 bye\r\n" if verb == b"QUIT" else b"250 yes\r\n"


@asynccontextmanager
async def smtp_server(
    tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncGenerator[SmtpServer]:
    server = SmtpServer(tls=tls)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
