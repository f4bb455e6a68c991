"""The data directory: who may read it, who serves from it.

The locks are ``flock``: they end with the process that holds them, however it ends.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from outcrop.stores.failures import StoreError

DATABASE_FILE = "outcrop.db"

_SERVER_LOCK = "server.lock"
_SETUP_LOCK = "setup.lock"
_SETUP_TIMEOUT_S = 30.0
_SETUP_POLL_S = 0.02


class DataDirectoryInUse(StoreError):
    pass


class DataDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def database_file(self) -> Path:
        return self.path / DATABASE_FILE

    def prepare(self) -> None:
        """Made if missing; closed to other users, unless it holds other things already."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Somebody's own directory keeps its mode (``--data-dir /tmp``): our files are 0600
            # anyway. A mounted volume may belong to another user.
            if self.path.stat().st_mode & 0o077 and not any(self.path.iterdir()):
                with suppress(PermissionError):
                    self.path.chmod(0o700)
        except OSError as error:
            raise StoreError(
                f"The data directory {self.path} cannot be used: {error.strerror}. "
                "Choose another with --data-dir or OUTCROP_DATA_DIR."
            ) from error

    @contextmanager
    def serving(self) -> Generator[None]:
        """Held by the one server of this directory for as long as it runs."""
        descriptor = _open(self.path / _SERVER_LOCK)
        try:
            if not _try_lock(descriptor):
                raise DataDirectoryInUse(
                    f"Another Outcrop server{_holder(descriptor)} uses the data directory "
                    f"{self.path}. Stop it, or choose another directory with --data-dir."
                )
            self._sign(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _sign(self, descriptor: int) -> None:
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise StoreError(
                f"The data directory {self.path} cannot be written to: {error.strerror}. "
                "Free some space, or choose another with --data-dir."
            ) from error

    @asynccontextmanager
    async def setting_up(self) -> AsyncGenerator[None]:
        """Held while the database is made or upgraded; others wait."""
        descriptor = _open(self.path / _SETUP_LOCK)
        try:
            await self._wait_for(descriptor)
            yield
        finally:
            os.close(descriptor)

    async def _wait_for(self, descriptor: int) -> None:
        # flock has no asynchronous form, and a thread that waits in it cannot be cancelled.
        for _ in range(round(_SETUP_TIMEOUT_S / _SETUP_POLL_S)):
            if _try_lock(descriptor):
                return
            await asyncio.sleep(_SETUP_POLL_S)
        raise DataDirectoryInUse(
            f"Another process has been setting up {self.path} for {_SETUP_TIMEOUT_S:.0f} s. "
            "Wait for it, or stop it."
        )


def _open(file: Path) -> int:
    # Descriptors that Python opens close on exec, so engine processes do not inherit the lock.
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(
            f"{file} cannot be opened: {error.strerror}. Is the data directory yours?"
        ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return f" (process {pid})" if pid.isdigit() else ""
