"""An append-only file of records, in segments: what was appended outlives the process.

A record is one ``write`` of its length, its CRC-32 and its bytes. What a kill cut off at the end
was never acknowledged and is cut off for good when the journal is opened again.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEGMENT_BYTES: Final = 16 * 1024 * 1024

_HEAD: Final = struct.Struct("<II")
_SUFFIX: Final = ".journal"
_DIGITS: Final = 12
_CLOSED: Final = -1

_Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """``offset`` bytes into a segment."""

    segment: int
    offset: int


START: Final = Position(0, 0)


class Journal:
    """One process appends. ``append`` writes to the page cache and returns: some microseconds."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        folder.mkdir(mode=0o700, exist_ok=True)
        self._segment = max(self._segments(), default=0)
        self._file = self._open(self._segment)
        self._size = _whole_bytes(self._path(self._segment))
        os.ftruncate(self._file, self._size)

    @property
    def end(self) -> Position:
        return Position(self._segment, self._size)

    def append(self, record: bytes) -> None:
        """Raises ``OSError``; nothing of the record is kept then."""
        if self._size >= self._segment_bytes:
            self._next_segment()
        framed = _HEAD.pack(len(record), zlib.crc32(record)) + record
        try:
            written = os.write(self._file, framed)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        if written < len(framed):
            os.ftruncate(self._file, self._size)
            raise OSError(f"{self._path(self._segment)} takes no more bytes")
        self._size += written

    def read(self, start: Position, max_bytes: int) -> tuple[list[bytes], Position]:
        """Whole records from ``start`` on, at least one if there is one, and where to go on."""
        segments = [number for number in sorted(self._segments()) if number >= start.segment]
        end = self.end
        for number in segments:
            offset = start.offset if number == start.segment else 0
            known = end.offset if number == end.segment else None
            records, offset = _read(self._path(number), offset, max_bytes, known)
            if records:
                return records, Position(number, offset)
        return [], max(start, Position(end.segment, 0) if start.segment < end.segment else start)

    def bytes_after(self, position: Position) -> int:
        """How much lies behind it."""
        total = -position.offset
        for number in self._segments():
            if number >= position.segment:
                total += self._path(number).stat().st_size
        return max(0, total)

    def forget_before(self, position: Position) -> None:
        """Removes the segments that lie before it whole."""
        for number in self._segments():
            if number < position.segment:
                self._path(number).unlink(missing_ok=True)

    def close(self) -> None:
        """What is appended from now on raises ``OSError``."""
        if self._file != _CLOSED:
            os.close(self._file)
        # Another file may get the number of this one.
        self._file = _CLOSED

    def _segments(self) -> Iterator[int]:
        for file in self._folder.glob(f"*{_SUFFIX}"):
            if file.stem.isdecimal():
                yield int(file.stem)

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:0{_DIGITS}}{_SUFFIX}"

    def _open(self, segment: int) -> int:
        return os.open(self._path(segment), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def _next_segment(self) -> None:
        file = self._open(self._segment + 1)
        os.close(self._file)
        self._file, self._segment, self._size = file, self._segment + 1, 0


def _read(path: Path, offset: int, max_bytes: int, known: int | None) -> tuple[list[bytes], int]:
    """``known`` is how much of the file is written; what lies beyond is being written now."""
    records: list[bytes] = []
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return records, offset
    with file:
        file.seek(offset)
        taken = 0
        while taken < max_bytes and (known is None or offset < known):
            record = _read_one(file.read(_HEAD.size), file.read)
            if record is None:
                break
            records.append(record)
            offset += _HEAD.size + len(record)
            taken += len(record)
    return records, offset


def _read_one(head: bytes, read: _Read) -> bytes | None:
    if len(head) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack(head)
    record = read(length)
    if len(record) < length or zlib.crc32(record) != checksum:
        return None
    return record


def _whole_bytes(path: Path) -> int:
    """How many bytes at the beginning of the file are whole records."""
    offset = 0
    with path.open("rb") as file:
        while (record := _read_one(file.read(_HEAD.size), file.read)) is not None:
            offset += _HEAD.size + len(record)
    return offset
