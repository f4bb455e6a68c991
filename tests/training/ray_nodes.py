"""Nodes of a Ray cluster on this machine, as its operator starts them: processes of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_RAY = Path(sys.executable).with_name("ray")
_STORE_BYTES = 400_000_000
_START_S = 120.0


class RayNode:
    """One with a single CPU. ``head`` is the address of the cluster's first."""

    def __init__(self, port: int, folder: str, *, is_head: bool) -> None:
        self._is_head, self._port = is_head, port
        where = [f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
        self._log = Path(folder) / f"{'head' if is_head else 'node'}-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(_RAY), "start", "--block", "--num-cpus=1",
                    f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats",
                    *(["--head", *where] if is_head else [f"--address=127.0.0.1:{port}"]),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._wait()

    def kill(self) -> None:
        """All its processes at once, as where the machine loses its power."""
        for pid in (self._process.pid, *_descendants(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _wait(self) -> None:
        until = time.monotonic() + _START_S
        while b"Ray runtime started" not in self._log.read_bytes():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.1)


class RayCluster:
    def __init__(self) -> None:
        # Not under pytest's folder: names of sockets are short.
        self._folder = tempfile.mkdtemp(prefix="ray-")
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        self._nodes = [RayNode(port, self._folder, is_head=True)]
        self._nodes.append(RayNode(port, self._folder, is_head=False))

    def kill_second(self) -> None:
        self._nodes.pop().kill()

    def end(self) -> None:
        while self._nodes:
            self._nodes.pop().kill()
        shutil.rmtree(self._folder)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text(encoding="ascii").split():
                found += [int(child), *_descendants(int(child))]
    return found
