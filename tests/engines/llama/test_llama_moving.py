"""An engine whose CPUs change while it works."""

import asyncio
from pathlib import Path

import pytest
from llama_asking import CONTEXT, ENDLESS, MODEL, ask, asking, until

from outcrop.config import Llama
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.processes.affinity import allowed_cpus

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

CONFIG = Llama(model=MODEL, context=CONTEXT, slots=1, threads=1, queue=2)


class Shrinking:
    """One thread is always right, until ``most_threads`` says that it no longer fits."""

    kept = False
    most_threads = 1
    bound_to: tuple[int, ...] = ()
    cpus = allowed_cpus()

    def threads(self, configured: int, own: int = 0) -> int:
        return 1


async def test_one_whose_threads_no_longer_fit_comes_back_and_no_call_fails(model_file: Path):
    placement = Shrinking()
    engine = LlamaEngine("moving", CONFIG, model_file, template="chatml", placement=placement)
    try:
        answering = engine.generate(asking("Count.", 30, sampling=ENDLESS))
        first = await anext(answering)
        pid = engine.pid
        placement.bound_to = placement.cpus[:1]
        placement.most_threads = 0
        moving = asyncio.create_task(engine.move())
        waiting = [asyncio.create_task(ask(engine, asking("Hi", 1))) for _ in range(2)]
        await until(lambda: _wait(engine, 2))
        assert engine.pid == pid
        events = [first, *[event async for event in answering]]
        assert getattr(events[-1], "output_tokens", None) == 30
        await moving
        assert [(await task).finished.output_tokens for task in waiting] == [1, 1]
        assert engine.pid not in (None, pid)
    finally:
        await engine.close()


async def test_one_that_has_no_process_has_nothing_to_move(model_file: Path):
    engine = LlamaEngine("moving", CONFIG, model_file, template="chatml", placement=Shrinking())
    await engine.move()
    assert engine.pid is None
    await engine.close()


async def _wait(engine: LlamaEngine, count: int) -> bool:
    return engine.gate.waiting == count
