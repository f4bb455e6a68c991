"""The parent's side of a training process: it starts one, reads what it reports and ends it.

The data key goes through the process's stdin and nowhere else. However the process ends, its last
report is exactly one that is final.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from outcrop.processes.affinity import bind
from outcrop.training.spec import (
    STOP,
    Broken,
    Progress,
    Rejected,
    Report,
    Stopped,
    Trained,
    TrainingSpec,
)

COMMAND: Final = (sys.executable, "-m", "outcrop.training.process")

_NICENESS: Final = 10
"""Requests to models come first."""
_OOM_SCORE: Final = 800
"""Where the kernel has to end a process for its memory, it is to be this one."""
_LOOK_S: Final = 0.1
_LONGEST_REPORT: Final = 64 * 1024
_ERROR_LINES: Final = 20
_ERROR_LINE_BYTES: Final = 500
_SECRET_PREFIXES: Final = ("OUTCROP_", "AWS_")
"""Of variables that are the gateway's and none of training's."""
_FINAL: Final = (Trained, Stopped, Rejected, Broken)

_reports: Final = msgspec.json.Decoder[Report](Report)


@asynccontextmanager
async def run_training(
    spec: TrainingSpec,
    *,
    cpus: Collection[int] = (),
    command: Sequence[str] = COMMAND,
    end_s: float = 8.0,
) -> AsyncGenerator["TrainingRun"]:
    """The process runs on ``cpus`` where there are any. Whoever leaves the block early has it asked
    to stop, so that it keeps a checkpoint; after ``end_s`` it is killed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_REPORT,
        env=_environment(),
        # Ctrl-C in the gateway's terminal is not for it: it is told when to end.
        start_new_session=True,
    )
    run = TrainingRun(process, end_s)
    try:
        # It waits for its first line: threads begin afterwards, and are placed as the first is.
        _step_back(process.pid)
        run.bind(cpus)
        await run.begin(spec)
        yield run
    finally:
        await run.end()


class TrainingRun:
    def __init__(self, process: asyncio.subprocess.Process, end_s: float) -> None:
        self._process = process
        self._end_s = end_s
        self._asked_to_stop = False
        self._has_ended = False
        self._killing: asyncio.Task[None] | None = None
        self._errors: deque[str] = deque(maxlen=_ERROR_LINES)
        self._listening = asyncio.create_task(self._read_errors())
        self._sweeping = asyncio.create_task(self._sweep())
        self._cpus: frozenset[int] = frozenset()
        self._tokens = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def bind(self, cpus: Collection[int]) -> None:
        """From now on it runs on these alone."""
        if cpus and self._cpus != frozenset(cpus):
            self._cpus = frozenset(cpus)
            bind(self._process.pid, self._cpus)

    async def begin(self, spec: TrainingSpec) -> None:
        await self._send(msgspec.json.encode(spec) + b"\n")

    async def stop(self) -> None:
        """Asks it to end, and has it killed where it does not. Its reports go on to the final
        one."""
        if self._asked_to_stop:
            return
        self._asked_to_stop = True
        self._killing = asyncio.create_task(self._kill_late())
        await self._send(STOP)

    async def reports(self) -> AsyncGenerator[Report]:
        """To the final one, which every process has: what ends without is ``Broken``, or
        ``Stopped`` where it was asked to stop."""
        while True:
            report = await self._next()
            if isinstance(report, Progress):
                self._tokens = max(self._tokens, report.tokens)
            self._has_ended = isinstance(report, _FINAL)
            yield report
            if self._has_ended:
                return

    async def end(self) -> None:
        """Returns when the process is gone, also where the caller is cancelled meanwhile."""
        ending = asyncio.create_task(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            _kill(self._process)
            await ending
            raise

    async def _end(self) -> None:
        # What it still says must not keep it: a full pipe would.
        draining = asyncio.create_task(self._drain())
        if self._process.returncode is None:
            await self.stop()
        if self._has_ended:
            self._close_stdin()
        await self._sweeping
        self._close_stdin()
        await draining
        await self._listening
        if self._killing is not None:
            self._killing.cancel()

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _next(self) -> Report:
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError("the training process was started without pipes")
        try:
            line = await stdout.readline()
        except ValueError:
            return Broken(message="The training process reported a line that is too long.")
        if not line.endswith(b"\n"):
            return await self._without_report()
        try:
            report = _reports.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Broken(message=f"The training process reported what is no report: {error}")
        if isinstance(report, Stopped) and not self._asked_to_stop:
            return Broken(message="The training process stopped, and nobody had asked it to.")
        return report

    async def _without_report(self) -> Report:
        code = await self._process.wait()
        await self._listening
        if self._asked_to_stop:
            return Stopped(tokens=self._tokens)
        said = "\n".join(line for line in self._errors if line.strip())
        return Broken(message=f"The training process {_ended(code)}. {said}".rstrip())

    async def _read_errors(self) -> None:
        stderr = self._process.stderr
        rest = b""
        while stderr is not None and (chunk := await stderr.read(8192)):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:_ERROR_LINE_BYTES]
            self._errors.extend(_text(line) for line in lines)
        if rest:
            self._errors.append(_text(rest))

    async def _sweep(self) -> None:
        """What it has started goes with it: that would hold its pipes open, and its memory."""
        # ``wait`` returns once its pipes are closed, too, which is what may not happen.
        while self._process.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        _kill_group(self._process.pid)
        await self._process.wait()

    async def _drain(self) -> None:
        stdout = self._process.stdout
        while stdout is not None and await stdout.read(8192):
            pass

    async def _kill_late(self) -> None:
        await asyncio.sleep(self._end_s)
        _kill(self._process)

    async def _send(self, line: bytes) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the training process was started without pipes")
        # That it has ended before it read them, its reports will show.
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(line)
            await self._process.stdin.drain()


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_SECRET_PREFIXES)
    }


def _step_back(pid: int) -> None:
    """Behind what answers requests. A process that has ended meanwhile needs nothing."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write(str(_OOM_SCORE))


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with status {code} before its final report"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if -code == signal.SIGKILL:
        return "was killed (SIGKILL): the machine may have had no memory left for it"
    return f"was ended by {name}"


def _text(line: bytes) -> str:
    return line[:_ERROR_LINE_BYTES].decode(errors="replace")
