"""Reserved throughput of custom models on real processes: the exchange, and a key that is off."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from adapters_at_hand import AdaptersAtHand, custom_arn, random_adapter
from capacities import UNIT, Opened, arn, asking, model, open_capacity, until

from outcrop.config import EngineConfig, Llama
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.protocol import Engine
from outcrop.generation import TextDelta
from outcrop.stores.model_records import EngineRate

pytestmark = pytest.mark.engine

ONE, TWO = custom_arn("one"), custom_arn("two")
# One slot: answers computed together differ in their last digits, and nonsense hangs on these.
_LLAMA = Llama(model="smollm2-135m-instruct", context=128, slots=1, threads=1)


@pytest.fixture
async def adapters() -> AdaptersAtHand:
    return AdaptersAtHand()


@pytest.fixture
async def opened(tmp_path: Path, adapters: AdaptersAtHand) -> AsyncGenerator[Opened]:
    configs: dict[str, EngineConfig] = {"smollm2": _LLAMA}
    async with open_capacity(tmp_path, configs, adapters=adapters) as opened:
        base = opened.engines.fingerprint("smollm2")
        adapters.known |= {ONE: random_adapter(base, 1), TWO: random_adapter(base, 2)}
        rate = EngineRate(input_per_s=1000, output_per_s=1000, measured_at=datetime.now(UTC))
        async with opened.resources.writing() as transaction:
            await transaction.add(rate, opened.capacity.rates.place("smollm2"))
        yield opened


async def said(engine: Engine) -> str:
    events = [event async for event in engine.generate(asking("Where is Paris?", 6))]
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_answers_change_over_once_and_no_call_fails(opened: Opened) -> None:
    await opened.capacity.reserve(arn("a"), model("smollm2", adapter=ONE), 1, UNIT)
    first = await said(opened.capacity.engine(arn("a")))
    stop = asyncio.Event()
    answers: list[tuple[str, str]] = []

    async def call() -> None:
        while not stop.is_set():
            engine = opened.capacity.engine(arn("a"))
            text = await said(engine)
            answers.append((engine.served_by.rpartition("+")[2], text))

    callers = [asyncio.create_task(call()) for _ in range(2)]
    await opened.capacity.swap(arn("a"), model("smollm2", adapter=TWO))
    second = await said(opened.capacity.engine(arn("a")))
    stop.set()
    await asyncio.gather(*callers)
    assert first != second
    # Each answer is wholly that of the custom model that it says it is.
    assert set(answers) <= {("one", first), ("two", second)}
    assert answers[-1] == ("two", second)


async def test_a_crash_while_the_key_is_off_is_a_problem_until_it_is_on(
    opened: Opened, adapters: AdaptersAtHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcrop.capacity.reserved._RETRY_S", 0.05)
    await opened.capacity.reserve(arn("a"), model("smollm2", adapter=ONE), 1, UNIT)
    engine = opened.capacity.seat(arn("a")).reserved.engine
    assert isinstance(engine, LlamaEngine)
    assert engine.pid is not None
    adapters.closed = "Its key is disabled."
    os.kill(engine.pid, signal.SIGKILL)

    async def told() -> bool:
        return "Its key is disabled" in "".join(opened.capacity.problems())

    async def back() -> bool:
        return engine.is_loaded and not opened.capacity.problems()

    await until(told)
    adapters.closed = ""
    await until(back)
    assert opened.capacity.engine(arn("a")).served_by.endswith("+one")
