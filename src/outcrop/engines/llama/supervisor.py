"""Keeps one engine process: starts it on first use, again after a crash, and ends it.

However many ask at once, one start serves them all. After repeated crashes the next start waits
longer each time; who asks meanwhile waits with it, or is told when to come back.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from outcrop.engines.llama.parameters import Parameters, Report
from outcrop.engines.protocol import EngineFailed, EngineNotReady

log = logging.getLogger(__name__)

_LOG_LINES = 100
_LOG_LINE_BYTES = 500
# The first restart is immediate; the second waits one unit, then twice as long each time.
_BACKOFF_UNIT_S = 1.0
_BACKOFF_LIMIT_S = 60.0
_BACKOFF_WAIT_S = 5.0
# So long a life makes earlier crashes forgotten.
_HEALTHY_AFTER_S = 120.0
_END_S = 5.0
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run. ``before`` is awaited before every start and may refuse it."""

    model: str
    context: int
    slots: int
    threads: Callable[[], int]
    gpu_layers: int
    http_threads: int
    before: Callable[[], Awaitable[None]]


class Supervisor:
    """``wait_s`` bounds how long a request waits for a start, which goes on without it;
    ``backoff_wait_s`` how long it waits for a start that is being held back."""

    def __init__(
        self, name: str, launch: Launch, wait_s: float, backoff_wait_s: float = _BACKOFF_WAIT_S
    ) -> None:
        self._name = name
        self._launch = launch
        self._wait_s = wait_s
        self._backoff_wait_s = backoff_wait_s
        self._process: asyncio.subprocess.Process | None = None
        self._endpoint: Endpoint | None = None
        self._starting: asyncio.Task[Endpoint] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ending = asyncio.Lock()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._crashes = 0
        self._not_before = 0.0
        self.starts = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._endpoint is not None

    @property
    def log_lines(self) -> list[str]:
        """The last lines the process wrote, oldest first."""
        return list(self._log)

    async def endpoint(self) -> Endpoint:
        """The running engine's, which is started if need be."""
        if self._endpoint is not None:
            return self._endpoint
        if self._starting is None:
            delay_s = self._not_before - asyncio.get_running_loop().time()
            if delay_s > self._backoff_wait_s:
                raise EngineNotReady(
                    f"engine {self._name!r} crashed {self._crashes} times and starts again in "
                    f"{delay_s:.0f} seconds"
                )
            self._starting = asyncio.create_task(self._start(delay_s))
            self._starting.add_done_callback(self._started)
        try:
            # Shielded: a request that gives up must not end the start others wait for.
            return await asyncio.wait_for(asyncio.shield(self._starting), self._wait_s)
        except TimeoutError as error:
            raise EngineNotReady(f"engine {self._name!r} is still loading its model") from error

    async def settle(self) -> None:
        """Called when a connection was lost: gives a dying process the time to be seen as dead."""
        if self._watching is not None:
            await asyncio.wait([self._watching], timeout=_SETTLE_S)

    async def stop(self) -> None:
        """End the process, which may be started again by the next ``endpoint``."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        async with self._ending:
            process, watching = self._process, self._watching
            self._process = self._endpoint = self._watching = None
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])
            if process is not None:
                await _end(process)

    def _started(self, task: asyncio.Task[Endpoint]) -> None:
        self._starting = None
        if not task.cancelled():
            # Marks the error as seen also when every request has given up.
            task.exception()

    async def _start(self, delay_s: float) -> Endpoint:
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        async with self._ending:
            pass
        await self._launch.before()
        api_key = secrets.token_urlsafe(24)
        process = await _spawn()
        reading = asyncio.create_task(self._read_log(process))
        try:
            report = await self._handshake(process, api_key)
        except BaseException:
            await _end(process)
            raise
        if not report.address:
            await _end(process)
            await reading
            self._count_crash(0.0)
            raise EngineFailed(f"engine {self._name!r} could not start: {self._reason(report)}")
        self.starts += 1
        self._process = process
        self._endpoint = Endpoint(report.address, api_key)
        self._watching = asyncio.create_task(self._watch(process, reading))
        return self._endpoint

    async def _handshake(self, process: asyncio.subprocess.Process, api_key: str) -> Report:
        launch = self._launch
        parameters = Parameters(
            model=launch.model,
            context=launch.context,
            slots=launch.slots,
            threads=launch.threads(),
            gpu_layers=launch.gpu_layers,
            http_threads=launch.http_threads,
            api_key=api_key,
            parent=os.getpid(),
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the engine process was started without pipes")
        process.stdin.write(msgspec.json.encode(parameters) + b"\n")
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        line = await process.stdout.readline()
        return msgspec.json.decode(line, type=Report) if line.endswith(b"\n") else Report()

    async def _watch(
        self, process: asyncio.subprocess.Process, reading: asyncio.Task[None]
    ) -> None:
        """Runs as long as the process does; only a crash lets it come to its end."""
        since = asyncio.get_running_loop().time()
        try:
            code = await process.wait()
        finally:
            reading.cancel()
        self._process = self._endpoint = None
        self._count_crash(asyncio.get_running_loop().time() - since)
        log.warning("engine %s (pid %d) ended with status %d", self._name, process.pid, code)

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:
            return
        rest = b""
        while chunk := await process.stderr.read(8192):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:_LOG_LINE_BYTES]
            for line in lines:
                self._log.append(line[:_LOG_LINE_BYTES].decode(errors="replace"))

    def _count_crash(self, lived_s: float) -> None:
        self._crashes = 1 if lived_s > _HEALTHY_AFTER_S else self._crashes + 1
        delay_s = 0.0 if self._crashes == 1 else _BACKOFF_UNIT_S * 2.0 ** (self._crashes - 2)
        self._not_before = asyncio.get_running_loop().time() + min(delay_s, _BACKOFF_LIMIT_S)

    def _reason(self, report: Report) -> str:
        told = [line for line in self._log if line.strip()]
        return report.error or (told[-1] if told else "it ended without a word")


async def _spawn() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "outcrop.engines.llama.process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Its abort would otherwise look for a debugger to run.
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        # Ctrl-C in the gateway's terminal must not reach the engine before streams are drained.
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        process.kill()
        await process.wait()
