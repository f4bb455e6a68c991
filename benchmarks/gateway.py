"""A gateway of its own for a measurement: started on a free port, pinned to a CPU, stopped by PID.

Figures per core count the CPU seconds of the gateway's process, so that a busy machine shows in
the wall-clock rates and not in these.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY = "AKIAOUTCROPBENCH0001"
SECRET_KEY = "benchmarks/only/0123456789abcdefghijklmn"
HEALTH = "/_outcrop/health"
REGION = "us-east-1"

GATEWAY_CPU = 0
LOAD_CPU = 1

SCRIPTED = """
[engines.script]
kind = "scripted"
{settings}

[[bind]]
pattern = "*"
engine = "script"
"""

# LiteLLM takes most of a minute on a busy machine.
_START_S = 120.0
_STOP_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class DidNotStart(Exception):
    pass


@dataclass(frozen=True)
class Server:
    """A process of ours that listens on ``port`` of 127.0.0.1."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """CPU seconds the process has used so far, all its threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / _TICKS_PER_S

    def rss_kib(self) -> int:
        """Memory of the process that is in RAM."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(command: Sequence[str], cpu: int) -> list[str]:
    """``command`` on one CPU, where the machine has that many."""
    if (os.cpu_count() or 1) <= cpu or shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "-c", str(cpu), *command]


@contextmanager
def running(
    command: Sequence[str], port: int, log: Path, environment: Mapping[str, str], ready_path: str
) -> Generator[Server]:
    """A server that answers ``ready_path``; on leaving it is asked to end, and waited for."""
    with log.open("wb") as out:
        server = Server(_spawn(command, out, environment), port)
    try:
        _wait_until_ready(server, ready_path, log)
        yield server
    finally:
        _stop(server.process)


@contextmanager
def gateway(toml: str, *, cpu: int | None = GATEWAY_CPU) -> Generator[Server]:
    """``outcrop serve`` with this configuration, in a data directory that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as folder:
        config = Path(folder) / "outcrop.toml"
        config.write_text(toml, encoding="utf-8")
        port = free_port()
        command = serve_command(config, Path(folder) / "data", port)
        if cpu is not None:
            command = pinned(command, cpu)
        log = Path(folder) / "server.log"
        with running(command, port, log, environment(), HEALTH) as server:
            yield server


def serve_command(config: Path, data_dir: Path, port: int) -> list[str]:
    options = ["--port", str(port), "--config", str(config), "--data-dir", str(data_dir)]
    return [sys.executable, "-m", "outcrop", "serve", *options]


def environment() -> dict[str, str]:
    """Without any AWS or Outcrop settings of the caller's, with the key that requests sign with;
    every model may be used, and no quota of requests or tokens holds."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "OUTCROP_"))}
    if cache := os.environ.get("OUTCROP_CACHE"):
        kept["OUTCROP_CACHE"] = cache
    return kept | {
        "OUTCROP_ACCESS_KEY_ID": ACCESS_KEY,
        "OUTCROP_SECRET_ACCESS_KEY": SECRET_KEY,
        "OUTCROP_ACCOUNT_ID": "123456789012",
        "OUTCROP_ACCESS_DEFAULT": "all",
        "OUTCROP_QUOTAS_PROFILE": "off",
    }


def sign(url: str, body: bytes) -> dict[str, str]:
    """The headers of a signed POST; they stay valid for five minutes."""
    request = AWSRequest(
        "POST",
        url,
        data=body,
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    )
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "bedrock", REGION).add_auth(request)
    return {str(name): str(value) for name, value in request.headers.items()}


def answers(port: int, path: str) -> bool:
    """The server answers a GET of ``path`` with 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _spawn(
    command: Sequence[str], out: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=out, stderr=subprocess.STDOUT, env=dict(environment), cwd="/"
    )


def _wait_until_ready(server: Server, path: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not answers(server.port, path):
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise DidNotStart(log.read_text(encoding="utf-8", errors="replace")[-4000:])
        time.sleep(0.005)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
