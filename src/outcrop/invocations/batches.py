"""Batches of log records on their way: a row each, and a folder of files that only it counts.

What lies in a batch's file beyond the bytes of its row was never committed.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.catalog.arns import partition_of
from outcrop.invocations.records import Batch, Large
from outcrop.stores.model_records import LogBucket, LoggingConfiguration
from outcrop.stores.tables import invocation_batches as table

Part = Literal["s3", "s3-data", "logs", "logs-data"]
"""The deliveries of a batch, each retried by itself: records to a bucket, what is large to it,
records to a log group, what is large to the bucket that stands beside the group."""

_RECORDS: Final = "records"
_LENGTH_BYTES: Final = 4


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record in a batch's file. ``event`` is empty where it is the same as ``line``."""

    request_id: str
    at_ms: int
    line: bytes
    event: bytes
    large: tuple[Large, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch's row. ``large`` counts the bodies beside its records; ``events_put`` the records
    that the log group was given, of which it has taken ``events_taken``."""

    id: str
    account: str
    region: str
    began_at_ms: int
    records: int
    bytes: int
    large: int
    events_put: int
    events_taken: int
    is_open: bool
    configuration: LoggingConfiguration
    waiting: tuple[Part, ...]

    @property
    def place(self) -> Batch:
        return Batch(self.account, self.region, self.began_at_ms)

    def bucket(self, part: Part) -> LogBucket | None:
        group = self.configuration.group
        match part:
            case "s3" | "s3-data":
                return self.configuration.s3
            case "logs-data":
                return group.large if group else None
            case "logs":
                return None

    def destination(self, part: Part) -> str:
        """The ARN of where a part goes: what is done for one destination is done in turn."""
        bucket, partition = self.bucket(part), partition_of(self.region)
        if bucket is not None:
            return f"arn:{partition}:s3:::{bucket.bucket}"
        group = self.configuration.group.name if self.configuration.group else ""
        return f"arn:{partition}:logs:{self.region}:{self.account}:log-group:{group}"

    def parts(self) -> tuple[Part, ...]:
        """All that it consists of by now."""
        group, has_large = self.configuration.group, self.large > 0
        there: dict[Part, bool] = {
            "s3": self.configuration.s3 is not None,
            "s3-data": has_large and self.configuration.s3 is not None,
            "logs": group is not None,
            "logs-data": has_large and group is not None and group.large is not None,
        }
        return tuple(part for part, is_there in there.items() if is_there)


async def find_batch(connection: AsyncConnection, batch_id: str) -> StoredBatch | None:
    row = (await connection.execute(sa.select(table).where(table.c.id == batch_id))).first()
    return None if row is None else _read(row)


async def find_open(connection: AsyncConnection, account: str, region: str) -> StoredBatch | None:
    own = (table.c.account == account, table.c.region == region, table.c.is_open.is_(True))
    row = (await connection.execute(sa.select(table).where(*own))).first()
    return None if row is None else _read(row)


async def list_ids(connection: AsyncConnection) -> set[str]:
    return set((await connection.scalars(sa.select(table.c.id))).all())


async def add_batch(connection: AsyncConnection, batch: StoredBatch) -> None:
    await connection.execute(sa.insert(table).values(_row(batch)))


async def put_batch(connection: AsyncConnection, batch: StoredBatch) -> None:
    await connection.execute(sa.update(table).where(table.c.id == batch.id).values(_row(batch)))


async def remove_batch(connection: AsyncConnection, batch_id: str) -> None:
    await connection.execute(sa.delete(table).where(table.c.id == batch_id))


def _row(batch: StoredBatch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "account": batch.account,
        "region": batch.region,
        "began_at_ms": batch.began_at_ms,
        "records": batch.records,
        "bytes": batch.bytes,
        "large": batch.large,
        "events_put": batch.events_put,
        "events_taken": batch.events_taken,
        "is_open": batch.is_open,
        "configuration": msgspec.json.encode(batch.configuration),
        "waiting": " ".join(batch.waiting),
    }


def _read(row: Any) -> StoredBatch:
    return StoredBatch(
        id=row.id,
        account=row.account,
        region=row.region,
        began_at_ms=row.began_at_ms,
        records=row.records,
        bytes=row.bytes,
        large=row.large,
        events_put=row.events_put,
        events_taken=row.events_taken,
        is_open=row.is_open,
        configuration=msgspec.json.decode(row.configuration, type=LoggingConfiguration),
        waiting=tuple(row.waiting.split()),
    )


class BatchFiles:
    """The files of all batches; every method blocks, so it is called in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, batch: StoredBatch, frames: Sequence[bytes]) -> None:
        """Where the batch's row ends: what lies there from a transaction that failed goes."""
        with self._opened(batch.id, _RECORDS) as file:
            os.ftruncate(file, batch.bytes)
            os.lseek(file, batch.bytes, os.SEEK_SET)
            _write_all(file, b"".join(frames))

    def put_large(self, batch_id: str, large: Large, body: bytes) -> None:
        with self._opened(batch_id, large.name) as file:
            os.ftruncate(file, 0)
            _write_all(file, body)

    def read(self, batch: StoredBatch) -> list[Frame]:
        with (self._folder / batch.id / _RECORDS).open("rb") as file:
            return list(_frames(file.read(batch.bytes)))

    def read_large(self, batch: StoredBatch, large: Large) -> bytes:
        return (self._folder / batch.id / large.name).read_bytes()

    def remove(self, batch_id: str) -> None:
        shutil.rmtree(self._folder / batch_id, ignore_errors=True)

    def ids(self) -> set[str]:
        return {each.name for each in self._folder.iterdir()} if self._folder.is_dir() else set()

    def _opened(self, batch_id: str, name: str) -> "_File":
        folder = self._folder / batch_id
        self._folder.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return _File(folder / name)


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> int:
        self._file = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
        return self._file

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def framed(frame: Frame) -> bytes:
    body = _encode(frame)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def _frames(content: bytes) -> Iterator[Frame]:
    at = 0
    while at < len(content):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(content[start - _LENGTH_BYTES : start], "little")
        yield _decode(content[start:at])


def _write_all(file: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(file, memoryview(content)[written:])
