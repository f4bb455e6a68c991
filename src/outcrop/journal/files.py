"""An append-only file of records, in segments: what was appended outlives the process.

A record is one ``write`` of a mark, its length, its CRC-32 and its bytes. What a kill cut off at
the end was never acknowledged and is cut off for good when the journal is opened again. Damage in
the middle costs the records that it hit: reading goes on at the next mark of a whole record.
"""

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 16 * 1024 * 1024
MARK: Final = b"\xf5\x00oc"
"""No UTF-8 has its first byte, so that hardly any record holds it."""

_HEAD: Final = struct.Struct("<4sII")
_SUFFIX: Final = ".journal"
_DIGITS: Final = 12
_CLOSED: Final = -1


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
        self._is_torn = False
        os.ftruncate(self._file, self._size)
        self.opened_at = self.end
        """What lies behind it, this process appended."""

    @property
    def end(self) -> Position:
        return Position(self._segment, self._size)

    def append(self, record: bytes) -> None:
        """Raises ``OSError``; nothing of the record is kept then."""
        if self._size >= self._segment_bytes or self._is_torn:
            self._next_segment()
        framed = _HEAD.pack(MARK, len(record), zlib.crc32(record)) + record
        try:
            written = os.write(self._file, framed)
        except OSError:
            self._cut_off()
            raise
        if written < len(framed):
            self._cut_off()
            raise OSError(f"{self._path(self._segment)} takes no more bytes")
        self._size += written

    def read(
        self, start: Position, max_bytes: int, end: Position | None = None
    ) -> tuple[list[bytes], Position]:
        """Whole records from ``start`` on, at least one if there is one, and where to go on. What
        lies behind ``end`` is left; a thread other than the one that appends must say it."""
        end = end or self.end
        for number in sorted(self._segments()):
            if not start.segment <= number <= end.segment:
                continue
            offset = start.offset if number == start.segment else 0
            known = end.offset if number == end.segment else None
            records, offset = _read(self._path(number), offset, max_bytes, known)
            if records:
                return records, Position(number, offset)
        return [], max(start, end)

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
        self._is_torn = False

    def _cut_off(self) -> None:
        """What was written of a record is taken back; where even that fails, nothing comes after
        it in its segment."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._is_torn = True


def _read(path: Path, offset: int, max_bytes: int, known: int | None) -> tuple[list[bytes], int]:
    """Also where to go on. ``known`` is how much of the file is written; what lies beyond is being
    written now."""
    records: list[bytes] = []
    taken = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return records, offset
    with file:
        end = os.fstat(file.fileno()).st_size if known is None else known
        while taken < max_bytes and offset < end:
            record = _read_one(file, offset, end)
            if record is None:
                offset = _find_next(file, offset, end, path)
                continue
            records.append(record)
            offset += _HEAD.size + len(record)
            taken += len(record)
    return records, offset


def _read_one(file: BinaryIO, offset: int, end: int) -> bytes | None:
    """The record at ``offset``, if it is whole."""
    file.seek(offset)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    mark, length, checksum = _HEAD.unpack(head)
    if mark != MARK or offset + _HEAD.size + length > end:
        return None
    record = file.read(length)
    return record if zlib.crc32(record) == checksum else None


def _find_next(file: BinaryIO, offset: int, end: int, path: Path) -> int:
    """Where the next whole record begins; ``end`` where none does. Segments fit into memory."""
    file.seek(offset)
    rest = file.read(end - offset)
    at = rest.find(MARK, 1)
    while at >= 0:
        if _read_one(file, offset + at, end) is not None:
            log.error("%s is damaged: %d bytes at %d are passed over", path, at, offset)
            return offset + at
        at = rest.find(MARK, at + 1)
    return end


def _whole_bytes(path: Path) -> int:
    """How many bytes of the file there are up to the end of its last whole record."""
    end, whole, offset = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while offset < end:
            record = _read_one(file, offset, end)
            if record is None:
                offset = _find_next(file, offset, end, path)
                continue
            whole = offset = offset + _HEAD.size + len(record)
    return whole
