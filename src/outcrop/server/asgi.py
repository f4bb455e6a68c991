"""The bridge between the HTTP server (ASGI, HTTP/1.1 and HTTP/2) and ``App.handle``.

A client that goes away cancels the work done for it: while an answer is computed or streamed, the
bridge listens for the disconnect.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any, cast

import msgspec

from outcrop.server.app import App
from outcrop.wire.http import Request, Response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Above InvokeModel's 25,000,000, so that its own limit can answer in AWS's words."""


_CUT_SHORT = "The request body ended before it was complete."


class ClientGone(Exception):
    pass


def _refusal(status: int, code: str, message: str) -> Response:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return Response(status, headers, msgspec.json.encode({"message": message}))


class Bridge:
    """The ASGI application of one gateway."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._draining:
            stopping = "The server is shutting down."
            await _send_whole(send, _refusal(503, "ServiceUnavailableException", stopping))
            return
        self._running += 1
        self._idle.clear()
        try:
            await self._serve(scope, receive, send)
        except ClientGone:
            return
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    def drain(self) -> None:
        """From now on new requests are refused; running ones go on."""
        self._draining = True

    async def drained(self) -> None:
        """Returns when no request is running."""
        await self._idle.wait()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read_body(receive)
        except ClientGone:
            # It may still listen: a chunk of a wrong size ends the body as a lost client does.
            await _send_whole(send, _refusal(400, "SerializationException", _CUT_SHORT))
            return
        if body is None:
            refusal = _refusal(
                413, "RequestEntityTooLargeException", f"A body has at most {MAX_BODY_BYTES} bytes."
            )
            await _send_whole(send, refusal)
            return
        work = cast("asyncio.Task[Any]", asyncio.current_task())
        watcher = asyncio.create_task(_cancel_when_gone(receive, work))
        try:
            response = await self._app.handle(_request(scope, body))
            if isinstance(response.body, bytes):
                await _send_whole(send, response)
            else:
                await _send_stream(send, response, response.body)
        except asyncio.CancelledError:
            if watcher.done():
                raise ClientGone from None
            raise
        finally:
            watcher.cancel()


async def _cancel_when_gone(receive: Receive, work: "asyncio.Task[Any]") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    work.cancel()


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or ``None`` when it is larger than anything we take."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return cast(bytes, message.get("body", b""))
    pieces: list[bytes] = []
    size_bytes = 0
    while message["type"] == "http.request":
        piece = cast(bytes, message.get("body", b""))
        size_bytes += len(piece)
        if size_bytes > MAX_BODY_BYTES:
            return None
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()
    raise ClientGone


def _text(raw: bytes) -> str:
    """Clients sign the bytes they send, which are UTF-8 where they are not ASCII."""
    return raw.decode("utf-8", "surrogateescape")


def _request(scope: Scope, body: bytes) -> Request:
    headers = tuple((_text(name).lower(), _text(value)) for name, value in scope["headers"])
    client = scope.get("client")
    return Request(
        method=scope["method"],
        raw_path=_text(scope["raw_path"]),
        raw_query=_text(scope["query_string"]),
        headers=headers,
        body=body,
        host=next((value for name, value in headers if name == "host"), ""),
        scheme=scope.get("scheme", "http"),
        client=client[0] if client else "",
    )


def _start(response: Response) -> Message:
    return {
        "type": "http.response.start",
        "status": response.status,
        "headers": [
            (name.lower().encode("latin-1"), _header_value(value))
            for name, value in response.headers.items()
        ],
    }


def _header_value(value: str) -> bytes:
    """HTTP takes printable Latin-1; a name of a model file or a peer may hold anything."""
    if not value.isascii() or not value.isprintable():
        value = "".join(one if one.isprintable() and one < "\u0100" else "?" for one in value)
    return value.encode("latin-1")


async def _send_whole(send: Send, response: Response) -> None:
    body = cast(bytes, response.body)
    response.headers["Content-Length"] = str(len(body))
    await send(_start(response))
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, response: Response, pieces: AsyncIterator[bytes]) -> None:
    await send(_start(response))
    async with aclosing(cast(Any, pieces)):
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
