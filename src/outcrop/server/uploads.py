"""Bodies that are handled while they arrive: pulled piece by piece, never gathered.

The next piece is asked for when the last one is used, so a slow reader slows the sender down
(the HTTP server holds back what is not taken). Whoever fails gets S3's error for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast

from outcrop.errors import ServiceError
from outcrop.server.bodies import PIECE_TIMEOUT_S, Message, Receive

DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_TIMEOUT_S = 10.0
"""What is still read of a body after the answer: a client that sends before it listens would
otherwise lose the answer with the connection."""


class Upload:
    """The ``Incoming`` of one request. ``waits_to_send`` says that the client sends nothing before
    it is asked to (``Expect: 100-continue``); the first pull asks."""

    def __init__(
        self,
        receive: Receive,
        declared_bytes: int,
        *,
        waits_to_send: bool = False,
        piece_timeout_s: float = PIECE_TIMEOUT_S,
    ) -> None:
        self.declared_bytes = declared_bytes
        self.is_over = False
        """Nothing more comes: the body is complete, or its client is gone or silent."""
        self.at_end = asyncio.Event()
        """Set when the body is complete; only then may somebody else listen to the client."""
        self._receive = receive
        self._waits_to_send = waits_to_send
        self._piece_timeout_s = piece_timeout_s

    async def pieces(self) -> AsyncGenerator[bytes]:
        while not self.is_over:
            piece = await self._pull()
            if piece:
                yield piece

    def closing(self, send: Callable[[Message], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Of HTTP/1: an answer to a client that was never asked for its body ends the connection.
        It may send the body or not, so what comes next cannot be told from it."""

        async def send_or_close(message: Message) -> None:
            if self._waits_to_send and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        return send_or_close

    async def drain(self) -> None:
        """Reads on for a while and forgets what it reads. Never fails."""
        if self._waits_to_send:
            return
        left_bytes = DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not self.is_over and left_bytes > 0:
                    left_bytes -= len(await self._pull())
        except (TimeoutError, ServiceError):
            self.is_over = True

    async def _pull(self) -> bytes:
        self._waits_to_send = False
        try:
            async with asyncio.timeout(self._piece_timeout_s):
                message = await self._receive()
        except TimeoutError as error:
            self.is_over = True
            raise ServiceError("RequestTimeout", _TOO_SLOW, status=400) from error
        if message["type"] != "http.request":
            self.is_over = True
            raise ServiceError("IncompleteBody", _BROKEN_OFF, status=400)
        if not message.get("more_body", False):
            self.is_over = True
            self.at_end.set()
        return cast(bytes, message.get("body", b""))


_TOO_SLOW = (
    "Your socket connection to the server was not read from or written to within the timeout "
    "period. Idle connections will be closed."
)
_BROKEN_OFF = "The request body terminated unexpectedly"
