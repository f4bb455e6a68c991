"""The bridge between the HTTP server (ASGI, HTTP/1.1 and HTTP/2) and ``App.handle``.

A client that goes away cancels the work done for it: while an answer is computed or streamed, the
bridge listens for the disconnect. One that stays and takes nothing counts as gone after a while.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol, cast

import msgspec

from outcrop.server.app import STOPPING
from outcrop.server.bodies import PIECE_TIMEOUT_S, BodyReader, BodyRefused, Message, Receive
from outcrop.server.uploads import Upload
from outcrop.wire.http import Request, Response

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Work = asyncio.Task[Any]

STALL_TIMEOUT_S = 60.0
"""How long a client may take nothing of its answer. The HTTP server holds back what is not taken,
so the engine waits too, and with it whoever queues for the engine."""


class ClientGone(Exception):
    pass


class NotThroughEndpoint(Exception):
    """Somebody on this machine found the port behind a private endpoint."""


_NOT_THROUGH = "Requests come to a private endpoint at its own address."


def _refusal(status: int, code: str, message: str) -> Response:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return Response(status, headers, msgspec.json.encode({"message": message}))


def _stopping() -> Response:
    return _refusal(503, "ServiceUnavailableException", "The server is shutting down.")


class Application(Protocol):
    """What answers requests: ``App``."""

    @property
    def stream_methods(self) -> frozenset[str]: ...

    def takes_stream(self, request: Request) -> bool: ...

    async def handle(self, request: Request) -> Response: ...


class Entrance(Protocol):
    """The private endpoint before a server: its requests come through a relay of ours."""

    @property
    def endpoint(self) -> str: ...

    def find_client(self, port: int) -> str | None:
        """The address of the client that the relay serves from this port of its own."""
        ...


class Bridge:
    """The ASGI application of one gateway, or of one private endpoint of it."""

    def __init__(
        self,
        app: Application,
        *,
        entrance: Entrance | None = None,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        piece_timeout_s: float = PIECE_TIMEOUT_S,
    ) -> None:
        self._app = app
        self._entrance = entrance
        self._bodies = BodyReader(piece_timeout_s=piece_timeout_s)
        self._piece_timeout_s = piece_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._idle = asyncio.Event()
        self._idle.set()
        self._running: set[Work] = set()
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._draining:
            await _send_whole(send, _stopping())
            return
        work = cast(Work, asyncio.current_task())
        self._running.add(work)
        self._idle.clear()
        try:
            await self._serve(scope, receive, send, work)
        except ClientGone:
            return
        except NotThroughEndpoint:
            await _send_whole(send, _refusal(403, "AccessDeniedException", _NOT_THROUGH))
        finally:
            self._running.discard(work)
            if not self._running:
                self._idle.set()

    def drain(self) -> None:
        """From now on new requests are refused; running ones go on."""
        self._draining = True

    async def drained(self) -> None:
        """Returns when no request is running."""
        await self._idle.wait()

    def abort(self) -> None:
        """Ends the requests that still run: with an answer or, midway, the stream's exception."""
        for work in self._running:
            work.cancel(STOPPING)

    def _request(self, scope: Scope, body: bytes) -> Request:
        request = _request(scope, body)
        if self._entrance is None:
            return request
        client = self._entrance.find_client(int(scope["client"][1]))
        if client is None:
            raise NotThroughEndpoint
        return replace(request, endpoint=self._entrance.endpoint, client=client)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, work: Work) -> None:
        if scope["method"] in self._app.stream_methods:
            head = self._request(scope, b"")
            if self._app.takes_stream(head):
                is_http1 = scope["http_version"].startswith("1")
                await self._serve_upload(head, receive, send, work, is_http1=is_http1)
                return
        try:
            body = await self._bodies.read(receive, _declared_bytes(scope))
        except BodyRefused as refused:
            await _send_whole(send, _refusal(refused.status, refused.code, str(refused)))
            return
        request = self._request(scope, body)
        await self._answer(request, send, _Watcher(receive, work))

    async def _serve_upload(
        self, head: Request, receive: Receive, send: Send, work: Work, *, is_http1: bool
    ) -> None:
        """The body stays where it is until the handler pulls it; nobody else may receive then."""
        upload = Upload(
            receive,
            _length(head),
            waits_to_send=(head.header("expect") or "").lower() == "100-continue",
            piece_timeout_s=self._piece_timeout_s,
        )
        watcher = _Watcher(receive, work, upload.at_end)
        closing = upload.closing(send) if is_http1 else send
        await self._answer(replace(head, incoming=upload), closing, watcher)
        await upload.drain()

    async def _answer(self, request: Request, send: Send, watcher: "_Watcher") -> None:
        is_answered = False
        try:
            response = await self._app.handle(request)
            is_answered = True
            if isinstance(response.body, bytes):
                await _send_whole(send, response)
            else:
                await self._send_stream(send, response, response.body)
        except asyncio.CancelledError as error:
            if watcher.saw_it_go:
                raise ClientGone from None
            if is_answered or STOPPING not in error.args:
                raise
            await _send_whole(send, _stopping())
        finally:
            watcher.end()

    async def _send_stream(
        self, send: Send, response: Response, pieces: AsyncIterator[bytes]
    ) -> None:
        patience = _Patience(self._stall_timeout_s)
        try:
            async with aclosing(cast(Any, pieces)):
                # Before the head: only a stream that has begun ends its work when it is closed.
                piece = await anext(pieces, None)
                await send(_start(response))
                while piece is not None:
                    patience.sending += 1
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    patience.sent += 1
                    piece = await anext(pieces, None)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            patience.end()


class _Patience:
    """Cancels the running task when one piece is being sent for one to two times ``timeout_s``.

    A timer for each piece would cost a tenth of the piece's whole time; this one looks now and
    then."""

    def __init__(self, timeout_s: float) -> None:
        self.sending = 0
        self.sent = 0
        self._timeout_s = timeout_s
        self._seen = 0
        self._work = cast(Work, asyncio.current_task())
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self.sent < self.sending == self._seen:
            self._work.cancel()
            return
        self._seen = self.sending
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._look)


class _Watcher:
    """Cancels ``work`` when its client goes away; ``after`` is when one may begin to listen.

    It begins at the first turn of the event loop: an answer that is there by then costs no task."""

    def __init__(self, receive: Receive, work: Work, after: asyncio.Event | None = None) -> None:
        self.saw_it_go = False
        self._receive = receive
        self._work = work
        self._after = after
        self._task: Work | None = None
        self._beginning = asyncio.get_running_loop().call_soon(self._begin)

    def end(self) -> None:
        self._beginning.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        if self._after is not None:
            await self._after.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.saw_it_go = True
        self._work.cancel()


def _declared_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            # No body has so many digits; Python refuses to read numbers of thousands.
            return int(value[:18])
    return 0


def _length(head: Request) -> int:
    text = head.header("content-length") or ""
    return int(text[:18]) if text.isascii() and text.isdigit() else -1


def _text(raw: bytes) -> str:
    """Clients sign the bytes they send, which are UTF-8 where they are not ASCII."""
    return raw.decode("utf-8", "surrogateescape")


def _request(scope: Scope, body: bytes) -> Request:
    # Written out: a call for each name and value takes longer than all the rest.
    text = ("utf-8", "surrogateescape")
    headers = tuple(
        [(name.decode(*text).lower(), value.decode(*text)) for name, value in scope["headers"]]
    )
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
