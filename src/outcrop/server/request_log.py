"""The request log: a JSON line for each request in ``logs/requests.jsonl`` of the data directory.

One write a line, no prompt and no answer in it unless the operator asked for them. A full disk
costs lines and is told once; no request fails for it.
"""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from outcrop.config import Records
from outcrop.journal.records import CallRecord
from outcrop.wire.http import Request

log = logging.getLogger(__name__)

FOLDER: Final = "logs"
NAME: Final = "requests.jsonl"
FILES: Final = 8
"""The one that is written, and older ones: ``requests.jsonl.1`` is the last but one."""


class Line(msgspec.Struct, frozen=True):
    """``model`` is as the caller named it. ``engine`` is empty where none was reached."""

    time: str
    request_id: str
    account: str
    region: str
    principal: str
    service: str
    operation: str
    model: str
    engine: str
    input_tokens: int
    output_tokens: int
    latency_ms: int
    status: int
    error_code: str
    input: str | msgspec.UnsetType = msgspec.UNSET
    output: str | msgspec.UnsetType = msgspec.UNSET


_encode: Final = msgspec.json.Encoder().encode


def log_files(data_dir: Path) -> list[Path]:
    """Where lines are, the newest file first; not all of them are there."""
    newest = data_dir / FOLDER / NAME
    return [newest, *(newest.with_name(f"{NAME}.{number}") for number in range(1, FILES))]


class RequestLog:
    def __init__(self, data_dir: Path, records: Records) -> None:
        """Raises ``OSError`` where it cannot be opened."""
        self._files = log_files(data_dir)
        self._file_bytes = records.requests_mib * 1024 * 1024 // FILES
        self._prompts = records.prompts
        self._files[0].parent.mkdir(mode=0o700, exist_ok=True)
        self._is_failing = False
        self._second, self._second_text = -1, ""
        self._file, self._size = _open(self._files[0])

    def finished(self, record: CallRecord, request: Request) -> None:
        self.write(record)

    def write(self, record: CallRecord) -> None:
        line = _encode(self._line(record)) + b"\n"
        try:
            if self._size and self._size + len(line) > self._file_bytes:
                self._rotate()
            self._append(line)
        except OSError as error:
            if not self._is_failing:
                log.error("requests are not logged: %s. Free space in the data directory.", error)
            self._is_failing = True
            return
        if self._is_failing:
            log.error("requests are logged again; those in between are not")
        self._is_failing = False

    def close(self) -> None:
        """Whatever comes later is not logged."""
        os.close(self._file)
        # The number may be another file's soon.
        self._file = -1

    def _append(self, line: bytes) -> None:
        written = os.write(self._file, line)
        if written < len(line):
            os.ftruncate(self._file, self._size)
            raise OSError(f"{self._files[0]} takes no more bytes")
        self._size += written

    def _rotate(self) -> None:
        for newer, older in zip(self._files[-2::-1], self._files[:0:-1], strict=True):
            if newer.exists():
                newer.replace(older)
        file, size = _open(self._files[0])
        os.close(self._file)
        self._file, self._size = file, size

    def _line(self, record: CallRecord) -> Line:
        call, content = record.invocation, record.content if self._prompts else None
        # By place: with names it takes twice as long.
        line = Line(
            self._time(record.began_us // 1000),
            record.request_id,
            record.account,
            record.region,
            record.principal,
            record.service,
            record.operation,
            call.model_id if call else "",
            call.engine if call else "",
            call.input_tokens if call else 0,
            call.output_tokens if call else 0,
            record.took_us // 1000,
            record.status,
            record.error_code,
        )
        if content is None:
            return line
        asked, answered = (
            data.decode("utf-8", "replace") for data in (content.input, content.output)
        )
        return msgspec.structs.replace(line, input=asked, output=answered)

    def _time(self, at_ms: int) -> str:
        second, ms = divmod(at_ms, 1000)
        if second != self._second:
            # Rendered once for all requests of a second.
            self._second = second
            self._second_text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._second_text}.{ms:03d}Z"


def _open(path: Path) -> tuple[int, int]:
    """The file and its size. A line that a kill cut off is ended, so that the next is whole."""
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        size += os.write(file, b"\n")
    return file, size
