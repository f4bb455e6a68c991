"""CPU time of one InvokeModel inside the gateway's Python, of several source trees in turn.

Each tree is measured in a process of its own, from the ASGI application inwards. Batches alternate
between the trees, so that what else the machine does weighs on all of them alike. PYTHONPATH says
which ``outcrop`` a worker imports.
"""

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gateway
import report
import uvloop

from outcrop.config import load
from outcrop.server.app import App
from outcrop.server.asgi import Bridge
from outcrop.server.deployment import open_deployment

PATH = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke"
BODY = (
    b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,'
    b'"messages":[{"role":"user","content":"Say hello"}]}'
)
_HOST = "127.0.0.1:8000"
_BATCH = 50
_UNCOUNTED = 10
_SOURCE = Path(__file__).resolve().parents[1] / "src"


class Refused(Exception):
    pass


def main() -> None:
    options = _options()
    if options.worker:
        _work()
        return
    sources = [_SOURCE, *options.against]
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(source)) for source in sources]
        rounds = [[_ask(worker) for worker in workers] for _ in range(options.rounds)]
    figures: dict[str, Any] = {}
    for place, source in enumerate(sources):
        taken_us = [taken[place] for taken in rounds[_UNCOUNTED:]]
        figures[str(source)] = {
            "least_us": round(min(taken_us), 1),
            "median_us": round(statistics.median(taken_us), 1),
            "ours_by_this": round(
                statistics.median(taken[0] / taken[place] for taken in rounds[_UNCOUNTED:]), 3
            ),
        }
    report.show("request", figures)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400, help=f"of {_BATCH} requests each")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="src of other versions")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def _worker(source: Path) -> Generator[subprocess.Popen[str]]:
    worker = subprocess.Popen(
        gateway.pinned([sys.executable, __file__, "--worker"], gateway.LOAD_CPU),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=gateway.environment() | {"PYTHONPATH": str(source)},
    )
    try:
        yield worker
    finally:
        worker.communicate()


def _ask(worker: subprocess.Popen[str]) -> float:
    """The CPU time of a request in the next batch, in microseconds."""
    if worker.stdin is None or worker.stdout is None:
        raise ValueError("the worker has no pipes")
    print(file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


def _work() -> None:
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as folder:
        config = Path(folder) / "outcrop.toml"
        config.write_text(gateway.SCRIPTED.format(settings=""), encoding="utf-8")
        uvloop.run(_batches(config, Path(folder) / "data"))


async def _batches(config: Path, data_dir: Path) -> None:
    settings = load(config, overrides={"data_dir": str(data_dir)})
    async with open_deployment(settings) as deployment:
        bridge = Bridge(App(deployment))
        gc.freeze()
        for _ in sys.stdin:
            print(await _batch(bridge, _scope()), flush=True)


async def _batch(bridge: Any, scope: dict[str, Any]) -> float:
    began = time.thread_time_ns()
    for _ in range(_BATCH):
        await _request(bridge, scope)
    return (time.thread_time_ns() - began) / _BATCH / 1000


async def _request(bridge: Any, scope: dict[str, Any]) -> None:
    messages = iter(({"type": "http.request", "body": BODY, "more_body": False},))
    gone = asyncio.get_running_loop().create_future()

    async def receive() -> Any:
        return next(messages, None) or await gone

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise Refused(message)

    await bridge(scope, receive, send)


def _scope() -> dict[str, Any]:
    headers = {
        **gateway.sign(f"http://{_HOST}{PATH}", BODY),
        "Host": _HOST,
        "Content-Length": str(len(BODY)),
        "User-Agent": "Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux lang/python#3.11 cfg/retry",
        "amz-sdk-invocation-id": "b3c1e8a4-8a0e-4c0e-9d39-1d1c1a0b6a2f",
        "amz-sdk-request": "attempt=1",
    }
    return {
        "type": "http",
        "method": "POST",
        "raw_path": PATH.encode(),
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 50000),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }


if __name__ == "__main__":
    main()
