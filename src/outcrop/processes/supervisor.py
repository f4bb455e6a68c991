"""Keeps one child process: starts it on first use, again after a crash, and ends it.

However many ask at once, one start serves them all. After repeated crashes the next start waits
longer each time; who asks meanwhile waits with it, or is told when to come back.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

_LOG_LINES = 100
_LOG_LINE_BYTES = 500
# The first restart is immediate; the second waits one unit, then twice as long each time.
_BACKOFF_UNIT_S = 1.0
_BACKOFF_LIMIT_S = 60.0
_BACKOFF_WAIT_S = 5.0
# So long a life makes earlier crashes forgotten.
_HEALTHY_AFTER_S = 120.0
_SETTLE_S = 1.0


class ProcessNotReady(Exception):
    """It is starting, or its next start is held back after crashes."""


class ProcessFailed(Exception):
    """It could not start."""


class NotStarted(Exception):
    """Raised by ``Launch.greet``; the text is the reason, or empty where the process told none."""


Endpoint = TypeVar("Endpoint")
Reached = TypeVar("Reached", covariant=True)


@dataclass(frozen=True, slots=True)
class Command:
    """``inherited`` are descriptors that the process gets under the same numbers; they are closed
    here as soon as it has them."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    inherited: tuple[int, ...] = ()


class Launch(Protocol[Reached]):
    """How one kind of process is started. The process ends when its stdin does."""

    async def prepare(self) -> Command:
        """Awaited before every start, which it may refuse."""
        ...

    async def greet(self, process: asyncio.subprocess.Process) -> Reached:
        """Returns where the process is reached, once it is ready; else raises ``NotStarted``."""
        ...


class Supervisor(Generic[Endpoint]):
    """``wait_s`` bounds how long a request waits for a start, which goes on without it;
    ``backoff_wait_s`` how long it waits for a start that is being held back; ``end_s`` how long
    the process may take to end before it is killed."""

    def __init__(
        self,
        name: str,
        launch: Launch[Endpoint],
        wait_s: float,
        backoff_wait_s: float = _BACKOFF_WAIT_S,
        end_s: float = 5.0,
    ) -> None:
        self._name = name
        self._launch = launch
        self._wait_s = wait_s
        self._backoff_wait_s = backoff_wait_s
        self._end_s = end_s
        self._process: asyncio.subprocess.Process | None = None
        self._endpoint: Endpoint | None = None
        self._starting: asyncio.Task[Endpoint] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ending = asyncio.Lock()
        self._stops = set[asyncio.Task[None]]()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._crashes = 0
        self._not_before = 0.0
        self.starts = 0
        self.failure: str | None = None
        """Why it does not run, where it should: it crashed, or could not start."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._endpoint is not None

    @property
    def is_starting(self) -> bool:
        return self._starting is not None

    @property
    def log_lines(self) -> list[str]:
        """The last lines the process wrote, oldest first."""
        return list(self._log)

    async def endpoint(self) -> Endpoint:
        """The running process's, which is started if need be."""
        if self._endpoint is not None:
            return self._endpoint
        if self._starting is None:
            delay_s = self._not_before - asyncio.get_running_loop().time()
            if delay_s > self._backoff_wait_s:
                raise ProcessNotReady(
                    f"{self._name} crashed {self._crashes} times and starts again in "
                    f"{delay_s:.0f} seconds"
                )
            self._starting = asyncio.create_task(self._start(delay_s))
            self._starting.add_done_callback(self._started)
        starting = self._starting
        try:
            # Shielded: a request that gives up must not end the start others wait for.
            async with asyncio.timeout(self._wait_s):
                return await asyncio.shield(starting)
        except TimeoutError as error:
            raise ProcessNotReady(f"{self._name} is still starting") from error
        except asyncio.CancelledError as error:
            if not starting.cancelled() or _is_cancelled():
                raise
            raise ProcessNotReady(f"{self._name} was ended before it was ready") from error

    async def settle(self) -> None:
        """Called when a connection was lost: gives a dying process the time to be seen as dead."""
        if self._watching is not None:
            await asyncio.wait([self._watching], timeout=_SETTLE_S)

    async def stop(self) -> None:
        """End the process, which may be started again by the next ``endpoint``. Also where the
        caller gives up waiting."""
        # From here on who asks begins a start of its own, which waits for the end of this one.
        starting, self._starting = self._starting, None
        stopping = asyncio.create_task(self._stop(starting))
        self._stops.add(stopping)
        stopping.add_done_callback(self._stops.discard)
        await asyncio.shield(stopping)

    async def _stop(self, starting: asyncio.Task[Endpoint] | None) -> None:
        async with self._ending:
            if starting is not None:
                starting.cancel()
                await asyncio.wait([starting])
            process, watching = self._process, self._watching
            self._process = self._endpoint = self._watching = None
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])
            if process is not None:
                await self._end(process)

    def _started(self, task: asyncio.Task[Endpoint]) -> None:
        if self._starting is task:
            self._starting = None
        if not task.cancelled():
            # Marks the error as seen also when every request has given up.
            task.exception()

    async def _start(self, delay_s: float) -> Endpoint:
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        async with self._ending:
            pass
        process = await _spawn(await self._launch.prepare())
        reading = asyncio.create_task(self._read_log(process))
        try:
            endpoint = await self._launch.greet(process)
        except NotStarted as error:
            await self._end(process)
            await reading
            self._count_crash(0.0)
            self.failure = f"could not start: {self._reason(error)}"
            raise ProcessFailed(f"{self._name} {self.failure}") from error
        except BaseException:
            await self._end(process)
            raise
        self.starts += 1
        self.failure = None
        self._process = process
        self._endpoint = endpoint
        self._watching = asyncio.create_task(self._watch(process, reading))
        return endpoint

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
        self.failure = f"ended with status {code}"
        log.warning("%s (pid %d) ended with status %d", self._name, process.pid, code)

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

    def _reason(self, error: NotStarted) -> str:
        told = [line for line in self._log if line.strip()]
        return str(error) or (told[-1] if told else "it ended without a word")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(self._end_s):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        except asyncio.CancelledError:
            # Nobody is there any more to see whether it ends by itself.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise


def _is_cancelled() -> bool:
    """Whether who waits is, and not only what is waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _spawn(command: Command) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(command.environment),
            pass_fds=command.inherited,
            # Ctrl-C in the gateway's terminal must not reach the process before requests are
            # drained.
            start_new_session=True,
        )
    finally:
        for descriptor in command.inherited:
            os.close(descriptor)


async def send_line(process: asyncio.subprocess.Process, line: bytes) -> None:
    """The first words to a process; that it ended before it read them shows later."""
    if process.stdin is None:
        raise RuntimeError("the process was started without pipes")
    process.stdin.write(line + b"\n")
    with contextlib.suppress(ConnectionError):
        await process.stdin.drain()
