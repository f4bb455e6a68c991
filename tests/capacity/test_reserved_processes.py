"""Reservations of real engine processes: which CPUs they run on, and that no call is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from capacities import UNIT, Opened, answered, arn, asking, model, open_capacity, served, until

from outcrop.config import EngineConfig, Llama, Onnx, load
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.modelfiles import ModelStore
from outcrop.engines.onnx import OnnxEngine
from outcrop.engines.protocol import EngineBusy, EngineNotReady
from outcrop.generation import EmbeddingRequest
from outcrop.processes.affinity import allowed_cpus
from outcrop.stores.model_records import EngineRate

pytestmark = pytest.mark.engine

_LLAMA = Llama(model="smollm2-135m-instruct", context=128, slots=2, threads=1)
CONFIGS: dict[str, EngineConfig] = {
    "smollm2": _LLAMA,
    "tuned": _LLAMA,
    "minilm": Onnx(model="all-minilm-l6-v2"),
}
ALL = frozenset(allowed_cpus())
LAST = frozenset([max(ALL)])
TEXTS = EmbeddingRequest(("A cat sleeps.", "The kitten naps."), 384, 256)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncGenerator[Opened]:
    async with open_capacity(tmp_path, dict(CONFIGS)) as opened:
        for engine in CONFIGS:
            await measured(opened, engine)
        yield opened


async def measured(opened: Opened, engine: str) -> None:
    """As a measurement before this test left it: one CPU is enough."""
    record = EngineRate(input_per_s=1000, output_per_s=1000, measured_at=datetime.now(UTC))
    async with opened.resources.writing() as transaction:
        await transaction.add(record, opened.capacity.rates.place(engine))


def cpus_of(pid: int | None) -> frozenset[int]:
    """The CPUs that any thread of the process may run on, as the kernel tells them."""
    found = set[int]()
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = status.read_text(encoding="utf-8").splitlines()
        (text,) = (line.split()[1] for line in lines if line.startswith("Cpus_allowed_list:"))
        for part in text.split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def reserved_llama(opened: Opened, name: str) -> LlamaEngine:
    engine = opened.capacity.seat(arn(name)).reserved.engine
    assert isinstance(engine, LlamaEngine)
    return engine


async def test_engines_on_demand_leave_reserved_cpus_and_get_them_back(opened: Opened):
    on_demand = await opened.engines.get("smollm2")
    assert isinstance(on_demand, LlamaEngine)
    await answered(on_demand, asking("Hi"))
    pid = on_demand.pid
    assert cpus_of(pid) == ALL
    await opened.capacity.reserve(arn("one"), model("smollm2"), 1, UNIT)
    assert cpus_of(reserved_llama(opened, "one").pid) == LAST
    assert opened.capacity.pool().reserved == {arn("one"): tuple(LAST)}
    # Its only thread fits on what is left, so that it goes on where it was.
    assert (on_demand.pid, cpus_of(pid)) == (pid, ALL - LAST)
    for engine in (on_demand, opened.capacity.engine(arn("one"))):
        assert await answered(engine, asking("Count.", 8, endless=True)) == 8
    assert cpus_of(reserved_llama(opened, "one").pid) == LAST
    assert cpus_of(pid) == ALL - LAST
    # One that starts now is bound from its first thread on.
    await on_demand.unload()
    await answered(on_demand, asking("Hi"))
    assert cpus_of(on_demand.pid) == ALL - LAST
    await opened.capacity.release(arn("one"))

    async def given_back() -> bool:
        return cpus_of(on_demand.pid) == ALL

    await until(given_back)
    assert opened.capacity.pool().reserved == {}


async def test_an_engine_that_loads_longer_than_calls_wait_is_bought_all_the_same(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("outcrop.engines.llama.engine._READY_WAIT_S", 0.01)
    await opened.capacity.reserve(arn("one"), model("smollm2"), 1, UNIT)
    assert await answered(opened.capacity.engine(arn("one")), asking("Hi")) == 1


async def test_a_killed_engine_is_a_problem_and_comes_back_on_its_cpus_by_itself(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("smollm2"), 1, UNIT)
    killed = reserved_llama(opened, "one").pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)

    async def told() -> bool:
        return "ended with status -9" in "".join(opened.capacity.problems())

    async def back() -> bool:
        return reserved_llama(opened, "one").pid not in (None, killed)

    await until(told)
    await until(back)
    assert cpus_of(reserved_llama(opened, "one").pid) == LAST
    assert opened.capacity.problems() == []
    assert await answered(opened.capacity.engine(arn("one")), asking("Hi")) == 1


async def test_one_that_does_not_come_back_keeps_no_other_from_it(tmp_path: Path):
    file = tmp_path / "stuck.gguf"
    found = ModelStore(load().cache_dir).find(_LLAMA.model)
    assert found is not None
    file.symlink_to(found.paths["model"])
    stuck = msgspec.structs.replace(_LLAMA, model=str(file))
    # The first is no CPU of this machine: two others are to be reserved.
    cpus = (max(ALL) + 1, *sorted(ALL)[:2])
    async with open_capacity(tmp_path, {**CONFIGS, "stuck": stuck}, cpus=cpus) as opened:
        for name in ("stuck", "smollm2"):
            await measured(opened, name)
            await opened.capacity.reserve(arn(name), model(name), 1, UNIT)
        # Who opens a pipe waits for its other end.
        file.unlink()
        os.mkfifo(file)
        before = {name: reserved_llama(opened, name).pid for name in ("stuck", "smollm2")}
        os.kill(int(before["stuck"] or 0), signal.SIGKILL)

        async def hangs() -> bool:
            return len(children() - {*before.values()}) > 0

        await until(hangs)
        os.kill(int(before["smollm2"] or 0), signal.SIGKILL)

        async def back() -> bool:
            return reserved_llama(opened, "smollm2").pid not in (None, before["smollm2"])

        await until(back)


async def test_a_killed_engine_serves_the_next_call(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("minilm"), 1, UNIT)
    engine = opened.capacity.seat(arn("one")).reserved.engine
    assert isinstance(engine, OnnxEngine)
    killed = engine.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)

    async def gone() -> bool:
        return engine.pid != killed

    await until(gone)
    assert len((await opened.capacity.engine(arn("one")).embed(TEXTS)).vectors) == 2
    assert cpus_of(engine.pid) == LAST


async def test_a_swap_of_processes_under_a_stream_of_calls_fails_none(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("smollm2"), 1, UNIT)
    stop = asyncio.Event()

    async def call() -> list[int]:
        counts: list[int] = []
        while not stop.is_set():
            engine = opened.capacity.engine(arn("one"))
            counts.append(await answered(engine, asking("Count.", 4, endless=True)))
        return counts

    callers = [asyncio.create_task(call()) for _ in range(3)]
    before = reserved_llama(opened, "one")
    await opened.capacity.swap(arn("one"), model("tuned"))
    assert before.pid is None
    after = reserved_llama(opened, "one")
    assert after.name.startswith("tuned of ")
    assert cpus_of(after.pid) == LAST
    stop.set()
    assert {count for counts in await asyncio.gather(*callers) for count in counts} == {4}


def children() -> set[int]:
    """The processes of engines that this one has started and that live."""
    own = Path(f"/proc/{os.getpid()}/task")
    return {
        int(pid)
        for task in own.glob("*/children")
        for pid in task.read_text(encoding="ascii").split()
        if "outcrop.engines" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    }


async def test_what_is_given_back_while_it_is_swapped_leaves_no_process(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("smollm2"), 1, UNIT)
    before = children()
    swapping = asyncio.create_task(opened.capacity.swap(arn("one"), model("tuned")))

    async def is_starting() -> bool:
        return len(children() - before) > 0

    await until(is_starting)
    await opened.capacity.release(arn("one"))
    with pytest.raises(EngineNotReady):
        await swapping

    async def is_free() -> bool:
        return not opened.capacity.pool().reserved

    await until(is_free)
    assert children() & before == set()
    assert children() == set()


async def test_a_reserved_engine_is_not_unloaded_for_another(tmp_path: Path):
    # Room for one engine of some 200 MiB, not for two.
    async with open_capacity(tmp_path, dict(CONFIGS), memory_mib=250) as opened:
        await measured(opened, "smollm2")
        await opened.capacity.reserve(arn("one"), model("smollm2"), 1, UNIT)
        on_demand = await opened.engines.get("smollm2")
        with pytest.raises(EngineBusy, match="no memory"):
            await answered(on_demand, asking("Hi"))
        assert await answered(opened.capacity.engine(arn("one")), asking("Hi")) == 1
        await opened.capacity.release(arn("one"))

        async def room() -> bool:
            try:
                return await answered(on_demand, asking("Hi")) == 1
            except EngineBusy:
                return False

        await until(room)


async def test_an_engine_is_measured_once_and_a_restart_measures_nothing(tmp_path: Path):
    async with open_capacity(tmp_path, dict(CONFIGS)) as opened:
        await opened.bought("one")
        await opened.capacity.reserve(arn("one"), model("smollm2"), 1, UNIT)
        rates = await _rates(opened)
        assert all(rate.input_per_s > 0 and rate.output_per_s > 0 for rate in rates)
        assert len(rates) == 1
        await opened.reopen("smollm2")
        await _forget_rates(opened)
        await opened.capacity.restore()
        await until(lambda: served(opened.capacity, "one"))
        assert cpus_of(reserved_llama(opened, "one").pid) == LAST
        assert await _rates(opened) == []


async def test_an_embedding_engine_is_measured_and_bound_too(tmp_path: Path):
    async with open_capacity(tmp_path, dict(CONFIGS)) as opened:
        on_demand = await opened.engines.get("minilm")
        assert isinstance(on_demand, OnnxEngine)
        await on_demand.embed(TEXTS)
        await opened.capacity.reserve(arn("one"), model("minilm"), 1, UNIT)
        (rate,) = await _rates(opened)
        assert (rate.input_per_s > 0, rate.output_per_s) == (True, 0.0)
        turn = opened.capacity.engine(arn("one"))
        assert len((await turn.embed(TEXTS)).vectors) == 2
        engine = opened.capacity.seat(arn("one")).reserved.engine
        assert isinstance(engine, OnnxEngine)
        assert cpus_of(engine.pid) == LAST
        assert cpus_of(on_demand.pid) == ALL - LAST
        embedding = asyncio.create_task(turn.embed(TEXTS))
        await asyncio.sleep(0)
        await opened.capacity.release(arn("one"))
        assert len((await embedding).vectors) == 2


async def _rates(opened: Opened) -> list[EngineRate]:
    async with opened.resources.reading() as view:
        return [item.record for item in await view.list(EngineRate)]


async def _forget_rates(opened: Opened) -> None:
    async with opened.resources.writing() as transaction:
        for item in await transaction.list(EngineRate):
            await transaction.remove(EngineRate, item.place)
