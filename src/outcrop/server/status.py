"""``server.json`` in the data directory: where the running server listens, for the command line."""

import os
from pathlib import Path

import msgspec


class Status(msgspec.Struct, frozen=True):
    url: str
    pid: int


def path(data_dir: Path) -> Path:
    return data_dir / "server.json"


def write(data_dir: Path, status: Status) -> None:
    file = path(data_dir)
    partial = file.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(msgspec.json.encode(status))
    partial.replace(file)


def find(data_dir: Path) -> Status | None:
    """The status of the last server started here, if it still runs."""
    try:
        status = msgspec.json.decode(path(data_dir).read_bytes(), type=Status)
        os.kill(status.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return status


def remove(data_dir: Path) -> None:
    path(data_dir).unlink(missing_ok=True)
