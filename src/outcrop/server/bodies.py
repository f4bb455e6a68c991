"""Request bodies, read whole before anything else: the signature covers them.

While a body is read nobody knows whose it is, so size, time and memory are bounded for everybody.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Above InvokeModel's 25,000,000, so that its own limit can answer in AWS's words."""

MAX_HELD_BYTES = 16 * MAX_BODY_BYTES
"""Of all bodies that are still on their way."""

PIECE_TIMEOUT_S = 30.0
BODY_TIMEOUT_S = 300.0


class BodyRefused(Exception):
    """``status`` and ``code`` are those of the answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BodyReader:
    """``piece_timeout_s`` is the longest silence, ``timeout_s`` the time for the whole body."""

    def __init__(
        self,
        *,
        max_held_bytes: int = MAX_HELD_BYTES,
        piece_timeout_s: float = PIECE_TIMEOUT_S,
        timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._max_held_bytes = max_held_bytes
        self._piece_timeout_s = piece_timeout_s
        self._timeout_s = timeout_s
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    async def read(self, receive: Receive, declared_bytes: int = 0) -> bytes:
        """``declared_bytes`` is the Content-Length, 0 where there is none."""
        if declared_bytes > MAX_BODY_BYTES:
            raise _too_large()
        try:
            async with asyncio.timeout(self._piece_timeout_s) as patience:
                message = await receive()
                if message["type"] == "http.request" and not message.get("more_body", False):
                    return cast(bytes, message.get("body", b""))
                return await self._read_on(message, receive, patience)
        except TimeoutError as error:
            raise BodyRefused(
                408, "RequestTimeoutException", "The request body did not arrive in time."
            ) from error

    async def _read_on(
        self, message: Message, receive: Receive, patience: asyncio.Timeout
    ) -> bytes:
        now = asyncio.get_running_loop().time
        end = now() + self._timeout_s
        pieces: list[bytes] = []
        size_bytes = 0
        try:
            while message["type"] == "http.request":
                piece = cast(bytes, message.get("body", b""))
                pieces.append(piece)
                size_bytes += len(piece)
                self._held_bytes += len(piece)
                self._check(size_bytes)
                if not message.get("more_body", False):
                    return b"".join(pieces)
                patience.reschedule(min(now() + self._piece_timeout_s, end))
                message = await receive()
        finally:
            self._held_bytes -= size_bytes
        # The client may still listen: a chunk of a wrong size ends the body as a lost client does.
        raise BodyRefused(
            400, "SerializationException", "The request body ended before it was complete."
        )

    def _check(self, size_bytes: int) -> None:
        if size_bytes > MAX_BODY_BYTES:
            raise _too_large()
        if self._held_bytes > self._max_held_bytes:
            raise BodyRefused(
                503,
                "ServiceUnavailableException",
                "Too many large requests are on their way. Try your request again.",
            )


def _too_large() -> BodyRefused:
    return BodyRefused(
        413, "RequestEntityTooLargeException", f"A body has at most {MAX_BODY_BYTES} bytes."
    )
