"""The measured rates of engines on this machine, kept so that each is measured once."""

import functools
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from outcrop.capacity.measuring import Rate, measure_embedding, measure_text
from outcrop.config import Onnx
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import EngineGone
from outcrop.engines.reserved import Process
from outcrop.processes.affinity import cpu_seconds
from outcrop.stores.model_records import EngineRate
from outcrop.stores.resources import Place, Resources

START_WAIT_S = 600.0
"""How long an engine may take to load its model: a large one comes from a slow disk."""


class Rates:
    """``known`` holds those that were looked up or measured since the start, by engine."""

    def __init__(self, pool: EnginePool, resources: Resources) -> None:
        self._pool = pool
        self._resources = resources
        self._machine = machine_id()
        self.known: dict[str, EngineRate] = {}

    async def find(self, engine: str) -> EngineRate | None:
        """Raises EngineError where the engine's model is not there."""
        async with self._resources.reading() as view:
            item = await view.find(EngineRate, self.place(engine))
        if item is not None:
            self.known[engine] = item.record
        return item.record if item else None

    async def measure(self, engine: str, cpu: int) -> EngineRate:
        """Takes some seconds on ``cpu``, on which nothing else should run, and keeps the result in
        place of any before. Raises EngineError."""
        place = self.place(engine)
        rate = await self._run(engine, cpu)
        record = EngineRate(
            input_per_s=rate.input_per_s,
            output_per_s=rate.output_per_s,
            measured_at=datetime.now(UTC),
        )
        async with self._resources.writing() as transaction:
            before = await transaction.find(EngineRate, place)
            if before is None:
                await transaction.add(record, place)
            else:
                await transaction.put(replace(before, record=record))
        self.known[engine] = record
        return record

    async def _run(self, engine: str, cpu: int) -> Rate:
        reserved = await self._pool.build_reserved(engine, "a measurement", (cpu,))
        try:
            await reserved.start(START_WAIT_S)
            pid = reserved.engine.pid if isinstance(reserved.engine, Process) else None
            if pid is None:
                raise EngineGone(f"engine {engine!r} has no process to measure")
            clock = functools.partial(cpu_seconds, pid)
            if isinstance(self._pool.config(engine), Onnx):
                return await measure_embedding(reserved.engine, clock)
            return await measure_text(reserved.engine, clock)
        finally:
            await reserved.close()

    def place(self, engine: str) -> Place:
        """Where the rate of the engine's model file on this machine is kept."""
        file = hashlib.sha256(self._pool.fingerprint(engine).encode()).hexdigest()[:16]
        return Place("", "", f"{self._machine}/{engine}/{file}")


@functools.cache
def machine_id() -> str:
    """The same for machines whose CPUs are of one model and number."""
    name = "unknown"
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "CPU part", "cpu model")):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        name = os.uname().machine if hasattr(os, "uname") else name
    return hashlib.sha256(f"{name} x {os.cpu_count()}".encode()).hexdigest()[:16]
