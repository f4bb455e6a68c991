"""The engine process under supervision: what it is told and reports, whose errors it raises."""

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from outcrop.engines.llama.parameters import Parameters, Report
from outcrop.engines.protocol import EngineFailed, EngineNotReady
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
    """What to run. ``before`` is awaited before every start and may refuse it."""

    model: str
    context: int
    slots: int
    threads: Callable[[], int]
    cpus: Callable[[], tuple[int, ...]]
    gpu_layers: int
    http_threads: int
    before: Callable[[], Awaitable[None]]

    async def prepare(self) -> Command:
        await self.before()
        # Its abort would otherwise look for a debugger to run.
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
        return Command((sys.executable, "-m", "outcrop.engines.llama.process"), environment)

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
