"""The engine of embeddings: starts its worker on first use and again after it was lost.

Requests go to the worker as they come; the worker batches those that wait there together.
"""

import asyncio
import itertools
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec
import numpy as np

from outcrop.config import Onnx
from outcrop.engines.gate import Gate
from outcrop.engines.honours import EMBEDDING, honours
from outcrop.engines.modelfiles import ModelFiles
from outcrop.engines.onnx.messages import (
    ANY_CPU,
    LENGTH,
    LIMIT_BYTES,
    Broken,
    Cancel,
    Done,
    Failed,
    FromWorker,
    Job,
    Ready,
    TooLong,
    decode_from_worker,
    pack,
)
from outcrop.engines.placement import OnDemand, Placement
from outcrop.engines.protocol import (
    EngineFailed,
    EngineGone,
    EngineTimeout,
    InputTooLong,
    Unsupported,
)
from outcrop.generation import EmbeddingRequest, Embeddings, Event, Generation
from outcrop.processes.affinity import bind

Answer = Done | TooLong | Failed

_DRAIN_S = 20.0


class OnnxEngine:
    """``batches`` counts the runs of the model in the worker that lives now."""

    HONOURS = honours(
        EMBEDDING,
        where={
            "dimensions": "its own or more",
            "input_type": "accepted: it has one kind of vector",
        },
    )

    def __init__(
        self, name: str, config: Onnx, files: ModelFiles, placement: Placement | None = None
    ) -> None:
        self.name = name
        self.served_by = f"onnxruntime/{config.model}"
        self.batches = 0
        self._config = config
        self._files = files
        self._placement = placement or OnDemand()
        self._threads = 0
        self._gate = Gate(name, running=config.queue, waiting=0)
        self._worker: Worker | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)

    def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        raise Unsupported("text", "generation", self.name)

    async def count_tokens(self, generation: Generation) -> int:
        raise Unsupported("text", "generation", self.name)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        if not request.texts:
            return Embeddings((), ())
        async with self._gate.admit():
            worker = await self._start()
            if request.dimensions < worker.dimensions:
                raise Unsupported("dimensions", request.dimensions, self.name)
            job = Job(
                next(self._numbers),
                request.texts,
                request.dimensions,
                request.max_tokens,
                request.truncate,
                request.normalize,
            )
            answer = await self._ask(worker, job)
        return self._read(answer, request)

    async def start(self) -> None:
        """Returns when the worker is ready."""
        await self._start()

    async def move(self) -> None:
        """Take up the placement, which has changed: see ``LlamaEngine.move``."""
        async with self._starting:
            pid = self.pid
            if pid is None:
                return
            if self._threads == self._wanted_threads():
                bind(pid, self._placement.cpus)
                return
        async with self._gate.paused():
            await self._end()

    async def close(self) -> None:
        """Let running jobs finish for a while, then end the worker."""
        self._gate.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._gate.drained()
        await self._end()

    @property
    def pid(self) -> int | None:
        return self._worker.process.pid if self._worker and not self._worker.gone else None

    @property
    def failure(self) -> str | None:
        """Why the worker does not run, where it should."""
        return "its worker ended" if self._worker is not None and self._worker.gone else None

    async def _end(self) -> None:
        async with self._starting:
            if self._worker is not None:
                await self._worker.close()
                self._worker = None

    def _wanted_threads(self) -> int:
        return self._placement.threads(self._config.threads)

    async def _ask(self, worker: "Worker", job: Job) -> Answer:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                return await worker.ask(job)
        except TimeoutError as error:
            raise EngineTimeout(
                f"engine {self.name!r} did not answer within {self._config.timeout_s:g} s"
            ) from error

    def _read(self, answer: Answer, request: EmbeddingRequest) -> Embeddings:
        match answer:
            case TooLong():
                raise InputTooLong(answer.limit, answer.received)
            case Failed():
                raise EngineFailed(answer.reason)
            case Done():
                self.batches = answer.batches
                vectors = np.frombuffer(answer.vectors, "<f4").reshape(-1, request.dimensions)
                return Embeddings(tuple(vectors.tolist()), answer.tokens)

    async def _start(self) -> "Worker":
        async with self._starting:
            if self._worker is not None and self._worker.gone:
                await self._worker.close()
                self._worker = None
            if self._worker is None:
                self._threads = self._wanted_threads()
                self._worker = await start_worker(
                    self._config, self._files, self._threads, self._placement.bound_to
                )
            return self._worker


async def start_worker(
    config: Onnx, files: ModelFiles, threads: int = 1, cpus: tuple[int, ...] = ()
) -> "Worker":
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "outcrop.engines.onnx.worker"),
        *(str(files.paths["model"]), str(files.paths["tokenizer"]), str(threads)),
        ",".join(map(str, cpus)) or ANY_CPU,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    worker = Worker(process)
    try:
        async with asyncio.timeout(config.timeout_s):
            await worker.ready()
    except TimeoutError as error:
        await worker.close()
        raise EngineTimeout("the embedding worker did not load its model in time") from error
    except BaseException:
        await worker.close()
        raise
    return worker


class Worker:
    """One worker process and the jobs it owes an answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.dimensions = 0
        self.gone = False
        self._owed: dict[int, asyncio.Future[Answer]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        match await self._receive():
            case Ready(dimensions):
                self.dimensions = dimensions
            case Broken(reason):
                raise EngineFailed(f"the embedding model cannot be loaded: {reason}")
            case _:
                raise EngineGone("the embedding worker ended while it started")
        self._reading = asyncio.create_task(self._read())

    async def ask(self, job: Job) -> Answer:
        if self.gone:
            raise EngineGone("the embedding worker has ended")
        try:
            message = pack(job)
        except UnicodeEncodeError as error:
            raise EngineFailed("a text holds half of a surrogate pair") from error
        answer = asyncio.get_running_loop().create_future()
        self._owed[job.id] = answer
        try:
            await self._send(message)
            return await answer
        except asyncio.CancelledError:
            if not self.gone:
                self._pipe.write(pack(Cancel(job.id)))
            raise
        finally:
            del self._owed[job.id]

    async def close(self) -> None:
        self.gone = True
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        if self._reading is not None:
            await self._reading

    @property
    def _pipe(self) -> asyncio.StreamWriter:
        if self.process.stdin is None:
            raise EngineGone("the embedding worker has no input")
        return self.process.stdin

    async def _send(self, message: bytes) -> None:
        try:
            self._pipe.write(message)
            await self._pipe.drain()
        except OSError as error:
            raise EngineGone("the embedding worker has ended") from error

    async def _read(self) -> None:
        while isinstance(message := await self._receive(), Answer):
            answer = self._owed.get(message.id)
            if answer is not None and not answer.done():
                answer.set_result(message)
        self.gone = True
        for answer in self._owed.values():
            if not answer.done():
                answer.set_exception(EngineGone("the embedding worker ended before it answered"))

    async def _receive(self) -> FromWorker | None:
        """``None`` at the end, and for bytes that are no message: then the worker is of no use."""
        if self.process.stdout is None:
            return None
        try:
            (size,) = LENGTH.unpack(await self.process.stdout.readexactly(LENGTH.size))
            if size > LIMIT_BYTES:
                return None
            return decode_from_worker(await self.process.stdout.readexactly(size))
        except (asyncio.IncompleteReadError, OSError, msgspec.DecodeError):
            return None
