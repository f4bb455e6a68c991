"""Load by wrk (Debian's package): one request, repeated on so many connections for so long.

Every answer must be a success; a run with any other raises ``FailedRequests``.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gateway

_FIGURES = re.compile(r"figures ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+)")
_SCRIPT = """
wrk.method = "POST"
wrk.path = {path}
wrk.body = {body}
{headers}
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("figures %d %f %d %f %f %f\\n", summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
"""


class FailedRequests(Exception):
    pass


@dataclass(frozen=True)
class Request:
    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """``per_s`` is by the clock; latencies are in milliseconds."""

    connections: int
    requests: int
    per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


def need_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        sys.exit("This benchmark needs wrk: apt-get install wrk")
    return found


def measure(request: Request, connections: int, seconds: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="outcrop-wrk-") as folder:
        script = Path(folder) / "request.lua"
        script.write_text(_script(request), encoding="utf-8")
        run = [
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "30s",
            "-s",
            str(script),
            request.url,
        ]
        command = gateway.pinned([need_wrk(), *run], gateway.LOAD_CPU)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = _FIGURES.search(done.stdout)
    if figures is None:
        raise FailedRequests(done.stdout)
    requests, duration_s, failed, *latencies_us = map(float, figures.groups())
    if failed or not requests:
        raise FailedRequests(f"{failed:.0f} of {requests:.0f} requests failed:\n{done.stdout}")
    p50, p90, p99 = (round(each / 1000, 3) for each in latencies_us)
    return Measured(connections, int(requests), round(requests / duration_s, 1), p50, p90, p99)


def _script(request: Request) -> str:
    path = "/" + request.url.split("/", 3)[3]
    headers = [
        f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in request.headers.items()
    ]
    return _SCRIPT.format(
        path=_lua(path), body=_lua(request.body.decode()), headers="\n".join(headers)
    )


def _lua(text: str) -> str:
    """A Lua string; what JSON escapes by ``\\uXXXX`` Lua 5.1 cannot read, so only ASCII goes."""
    if not text.isascii():
        raise ValueError("wrk's script takes ASCII only")
    return json.dumps(text)
