"""An object on its way into a file: piece by piece, never over its quota, whole or not there.

A connection that is lost is taken up where it ended, as long as the object is the same.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, cast

from outcrop.errors import AWSError, ServiceError
from outcrop.objects.protocol import ObjectsError
from outcrop.services.bedrock.customization.refusals import JobRefused, may_pass
from outcrop.services.call import RawAnswer

CHANGED: Final = 412
"""The status of an object that is not the one that was asked for."""

_ATTEMPTS: Final = 5
_WAIT_S: Final = 0.2
_WRITTEN_BYTES: Final = 1 << 20

Fetch = Callable[..., Awaitable[RawAnswer]]
"""Asks for the object, with the parameters ``IfMatch`` and ``Range``. Raises AWS's errors."""


class Download:
    def __init__(self, fetch: Fetch, target: Path, most_bytes: int, too_large: JobRefused) -> None:
        self._fetch = fetch
        self._target = target
        self._part = _Part(target.with_name(f"{target.name}.part"))
        self._most_bytes = most_bytes
        self._too_large = too_large
        self._tag: str | None = None
        self._done_bytes = 0
        self._waiting = bytearray()

    async def run(self) -> int:
        """Its size in bytes. Raises ``too_large``, AWS's errors and ``ObjectsError``."""
        try:
            await _beside(self._part.open)
            await self._read_all()
            await _beside(self._part.become, self._target)
        finally:
            self._part.drop()
        return self._done_bytes

    async def _read_all(self) -> None:
        failure: Exception | None = None
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(_WAIT_S * attempt)
            try:
                if await self._read():
                    return
            except ObjectsError as error:
                failure = error
                await self._write()
            except AWSError as error:
                if error.status == CHANGED:
                    await self._begin_anew()
                elif not may_pass(error):
                    raise
                failure = error
        raise failure or ServiceError(
            "ServiceUnavailable", "The object was cut off again and again.", status=503
        )

    async def _read(self) -> bool:
        """Whether all of it was read."""
        asked: dict[str, str] = {}
        if self._tag is not None:
            asked["IfMatch"] = self._tag
        if self._done_bytes:
            asked["Range"] = f"bytes={self._done_bytes}-"
        answer = await self._fetch(**asked)
        self._tag = answer.headers["etag"]
        whole_bytes = self._done_bytes + int(answer.headers["content-length"])
        async with aclosing(cast("AsyncGenerator[bytes]", answer.body)) as pieces:
            async for piece in pieces:
                # Not before: a body that is not begun cannot be closed.
                if max(whole_bytes, self._done_bytes + len(self._waiting)) > self._most_bytes:
                    raise self._too_large
                self._waiting += piece
                if len(self._waiting) >= _WRITTEN_BYTES:
                    await self._write()
        await self._write()
        return self._done_bytes == whole_bytes

    async def _write(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        await _beside(self._part.write, data)
        self._done_bytes += len(data)

    async def _begin_anew(self) -> None:
        await _beside(self._part.empty)
        self._tag, self._done_bytes, self._waiting = None, 0, bytearray()


class _Part:
    """What is there of a file, for its owner's eyes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def open(self) -> None:
        """What was begun before begins anew. Nothing is written through a link."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        # What lay there before may have had other permissions.
        os.fchmod(self._descriptor, 0o600)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._open(), left) :]

    def empty(self) -> None:
        os.ftruncate(self._open(), 0)
        os.lseek(self._open(), 0, os.SEEK_SET)

    def become(self, target: Path) -> None:
        self._path.replace(target)

    def drop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self._path} is not open")
        return self._descriptor


async def _beside(work: Callable[..., None], *args: object) -> None:
    """In a thread, and to its end even for whoever is cancelled meanwhile: the file is not closed
    under it."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
