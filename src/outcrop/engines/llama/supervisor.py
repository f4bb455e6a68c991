"""The engine process under supervision: what it is told and reports, whose errors it raises."""

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from outcrop.engines.llama.adapter import AdapterMissing, require_adapter
from outcrop.engines.llama.parameters import Parameters, Report
from outcrop.engines.protocol import EngineFailed, EngineNotReady
from outcrop.processes.memory_files import NoMemoryFiles, memory_file, path_in_process
from outcrop.processes.supervisor import (
    Command,
    NotStarted,
    ProcessFailed,
    ProcessNotReady,
    Supervisor as ProcessSupervisor,
    send_line,
)

_BACKOFF_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run. ``before`` is awaited before every start and may refuse it, and so may
    ``adapter``, which reads what is put on the model's weights."""

    model: str
    context: int
    slots: int
    threads: Callable[[], int]
    cpus: Callable[[], tuple[int, ...]]
    gpu_layers: int
    http_threads: int
    before: Callable[[], Awaitable[None]]
    adapter: Callable[[], Awaitable[bytes]] | None = None

    async def prepare(self) -> Command:
        await self.before()
        # Its abort would otherwise look for a debugger to run.
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
        arguments = (sys.executable, "-m", "outcrop.engines.llama.process")
        if self.adapter is None:
            return Command(arguments, environment)
        try:
            file = await memory_file("adapter", await self.adapter())
        except (NoMemoryFiles, OSError) as error:
            raise EngineFailed(f"an adapter cannot be given to llama.cpp here: {error}") from error
        return Command((*arguments, str(file)), environment, (file,))

    async def greet(self, process: asyncio.subprocess.Process) -> Endpoint:
        parameters = Parameters(
            model=self.model,
            context=self.context,
            slots=self.slots,
            threads=self.threads(),
            gpu_layers=self.gpu_layers,
            http_threads=self.http_threads,
            api_key=secrets.token_urlsafe(24),
            parent=os.getpid(),
            cpus=self.cpus(),
        )
        if process.stdout is None:
            raise RuntimeError("the engine process was started without pipes")
        await send_line(process, msgspec.json.encode(parameters))
        line = await process.stdout.readline()
        report = msgspec.json.decode(line, type=Report) if line.endswith(b"\n") else Report()
        if not report.address:
            raise NotStarted(report.error)
        if self.adapter is not None or report.adapter is not None:
            await _require_adapter(report, parameters.api_key)
        return Endpoint(report.address, parameters.api_key)


class Supervisor(ProcessSupervisor[Endpoint]):
    def __init__(
        self, name: str, launch: Launch, wait_s: float, backoff_wait_s: float = _BACKOFF_WAIT_S
    ) -> None:
        super().__init__(f"engine {name!r}", launch, wait_s, backoff_wait_s)

    async def endpoint(self) -> Endpoint:
        try:
            return await super().endpoint()
        except ProcessNotReady as error:
            raise EngineNotReady(str(error)) from error
        except ProcessFailed as error:
            raise EngineFailed(str(error)) from error


async def _require_adapter(report: Report, api_key: str) -> None:
    if report.adapter is None:
        raise NotStarted("it was given an adapter and knows of none")
    try:
        await require_adapter(report.address, api_key, path_in_process(report.adapter))
    except AdapterMissing as error:
        raise NotStarted(str(error)) from error
