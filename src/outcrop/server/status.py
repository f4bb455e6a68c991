"""``server.json`` in the data directory: where the running server listens, for the command line."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from outcrop.stores.failures import StoreError

_CONNECT_TIMEOUT_S = 2.0


class Status(msgspec.Struct, frozen=True):
    url: str
    pid: int


def path(data_dir: Path) -> Path:
    return data_dir / "server.json"


def write(data_dir: Path, status: Status) -> None:
    file = path(data_dir)
    partial = file.with_suffix(".partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.encode(status))
        partial.replace(file)
    except OSError as error:
        raise StoreError(
            f"{file} cannot be written: {error.strerror}. Free some space, or choose another "
            "directory with --data-dir."
        ) from error


def find(data_dir: Path) -> Status | None:
    """The status of the last server started here, if it still runs. The ID of a process that was
    killed may be another program's by now, so somebody must listen too."""
    try:
        status = msgspec.json.decode(path(data_dir).read_bytes(), type=Status)
        os.kill(status.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return status if _is_listening(status.url) else None


def _is_listening(url: str) -> bool:
    place = urlsplit(url)
    try:
        socket.create_connection(
            (place.hostname or "", place.port or 0), _CONNECT_TIMEOUT_S
        ).close()
    except TimeoutError:
        # A server with a full queue is one.
        return True
    except OSError:
        return False
    return True


def remove(data_dir: Path) -> None:
    path(data_dir).unlink(missing_ok=True)
