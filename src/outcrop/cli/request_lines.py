"""The lines of the request log, read: the last ones, and those to come, across rotations."""

import os
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from outcrop.server.request_log import Line

_BLOCK_BYTES: Final = 64 * 1024
_POLL_S: Final = 0.2
_ERRORS: Final = 400

Wanted = Callable[[Line], bool]
Found = tuple[bytes, Line]
"""A line as it is in the file, and read."""

_decode: Final = msgspec.json.Decoder(Line).decode


def wants(model: str | None, *, errors: bool) -> Wanted:
    """``model`` is a pattern as file names have (``anthropic.*``)."""

    def wanted(line: Line) -> bool:
        if errors and line.status < _ERRORS and not line.error_code:
            return False
        return model is None or fnmatchcase(line.model, model)

    return wanted


def read_last(files: list[Path], most: int, wanted: Wanted) -> list[Found]:
    """The last ``most``, the oldest of them first. ``files``: the newest first."""
    backwards = (raw for path in files for raw in _lines_backwards(path))
    found = (one for raw in backwards if (one := _read(raw, wanted)) is not None)
    return list(islice(found, most))[::-1]


class Follower:
    """What comes after now. When the file was renamed, its rest comes first, then the new one."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._path = path
        self._wanted = wanted
        self._file: BinaryIO | None = None
        self._rest = b""
        self._open()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def follow(self) -> Iterator[Found]:
        """Without an end."""
        while True:
            yield from self.take()
            time.sleep(_POLL_S)

    def take(self) -> Iterator[Found]:
        """What has come since."""
        if self._file is None:
            self._open()
        if self._file is None:
            return
        # Looked at before the rest is read: what is written after a rename is in the new file.
        is_renamed = not self._is_same()
        yield from self._read_on(self._file)
        if is_renamed:
            self._file.close()
            self._file = None
            self._open()
            if self._file is not None:
                yield from self._read_on(self._file)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._file = None
        self._rest = b""

    def _is_same(self) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return True
        held = os.fstat(self._file.fileno()) if self._file is not None else now
        return (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino)

    def _read_on(self, file: BinaryIO) -> Iterator[Found]:
        while block := file.read(_BLOCK_BYTES):
            *lines, self._rest = (self._rest + block).split(b"\n")
            for raw in lines:
                found = _read(raw, self._wanted)
                if found is not None:
                    yield found


def _read(raw: bytes, wanted: Wanted) -> Found | None:
    """A line that a kill cut off is passed over."""
    try:
        line = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return (raw, line) if wanted(line) else None


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        at, rest = file.seek(0, os.SEEK_END), b""
        while at > 0:
            size = min(_BLOCK_BYTES, at)
            at -= size
            file.seek(at)
            first, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
            rest = first
        yield rest
