"""Reservations of engines that need no process: what holds of all of them."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from capacities import (
    HUGE,
    SCRIPTED,
    UNIT,
    Opened,
    answered,
    arn,
    asking,
    model,
    open_capacity,
    served,
    until,
)

from outcrop.capacity.capacity import CapacityShort
from outcrop.capacity.rates import machine_id
from outcrop.config import Capacity, EngineConfig, Llama, OpenAI, Scripted, Upstream
from outcrop.engines.openai import OpenAIEngine
from outcrop.engines.protocol import EngineFailed, EngineNotReady
from outcrop.stores.model_records import EngineRate, EngineReservation
from outcrop.stores.resources import Place

EIGHT = tuple(range(8))
REMOTE: dict[str, EngineConfig] = {
    "vllm": OpenAI(url="http://127.0.0.1:9/v1", model="m"),
    "vllm-2": OpenAI(url="http://127.0.0.1:9/v1", model="m"),
    "aws": Upstream(region="us-east-1", model="m"),
    "gpu": Llama(model="smollm2-135m-instruct", gpu_layers=99),
}


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncGenerator[Opened]:
    async with open_capacity(tmp_path, dict(SCRIPTED), cpus=EIGHT) as opened:
        yield opened


async def test_a_reservation_is_an_engine_of_its_own(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)
    await opened.capacity.reserve(arn("two"), model("script"), 1, UNIT)
    names = {opened.capacity.engine(arn(name)).name for name in ("one", "two")}
    assert len(names | {(await opened.engines.get("script")).name}) == 3
    assert opened.capacity.engine(arn("one")).served_by == "scripted"
    assert await answered(opened.capacity.engine(arn("one")), asking("Hi")) == 1


async def test_what_is_not_reserved_has_no_engine(opened: Opened):
    with pytest.raises(EngineNotReady, match="provisioned-model/nobody"):
        opened.capacity.engine(arn("nobody"))
    with pytest.raises(EngineNotReady):
        await opened.capacity.swap(arn("nobody"), model("script"))


async def test_reserving_twice_and_at_once_makes_one_engine(opened: Opened):
    reserve = opened.capacity.reserve
    await asyncio.gather(*(reserve(arn("one"), model("script"), 1, UNIT) for _ in range(20)))
    name = opened.capacity.engine(arn("one")).name
    await reserve(arn("one"), model("script"), 1, UNIT)
    assert opened.capacity.engine(arn("one")).name == name


async def test_a_model_without_an_engine_has_no_capacity(opened: Opened):
    with pytest.raises(CapacityShort, match="No engine serves"):
        await opened.capacity.reserve(arn("one"), model(None), 1, UNIT)


async def test_a_failed_reservation_leaves_nothing(opened: Opened):
    with pytest.raises(EngineFailed, match="serves one model"):
        await opened.capacity.reserve(arn("one"), model("script", "another"), 1, UNIT)
    assert not await served(opened.capacity, "one")
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)


async def test_a_swap_lets_the_old_engine_end_what_it_began_and_asks_the_new_one(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)
    before = opened.capacity.engine(arn("one"))
    events = before.generate(asking("Count", 3))
    await anext(events)
    swapping = asyncio.create_task(opened.capacity.swap(arn("one"), model("other")))
    after = opened.capacity.engine(arn("one"))

    async def switched() -> bool:
        return opened.capacity.engine(arn("one")).name.startswith("other")

    await until(switched)
    assert not swapping.done()
    # A call that looked up its engine before the swap, and asks it after, meets the new one.
    assert await answered(after, asking("Hi")) == 1
    assert after.name.startswith("other")
    assert before.name.startswith("script")
    assert [event async for event in events]
    await swapping


async def test_a_swap_to_what_is_there_changes_nothing(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)
    name = opened.capacity.engine(arn("one")).name
    await opened.capacity.swap(arn("one"), model("script"))
    assert opened.capacity.engine(arn("one")).name == name


async def test_a_failed_swap_leaves_the_old_engine(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)
    name = opened.capacity.engine(arn("one")).name
    with pytest.raises(EngineFailed):
        await opened.capacity.swap(arn("one"), model("nobody"))
    with pytest.raises(EngineFailed):
        await opened.capacity.swap(arn("one"), model("other", "another"))
    assert opened.capacity.engine(arn("one")).name == name
    assert await answered(opened.capacity.engine(arn("one")), asking("Hi")) == 1


async def test_swaps_under_a_stream_of_calls_fail_none(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)
    stop = asyncio.Event()

    async def call() -> int:
        count = 0
        while not stop.is_set():
            count += await answered(opened.capacity.engine(arn("one")), asking("Hi"))
            await asyncio.sleep(0)
        return count

    callers = [asyncio.create_task(call()) for _ in range(8)]
    for name in ("other", "script") * 10:
        await opened.capacity.swap(arn("one"), model(name))
    stop.set()
    assert all(await asyncio.gather(*callers))


async def test_a_released_engine_ends_what_it_began_and_takes_no_more(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)
    events = opened.capacity.engine(arn("one")).generate(asking("Count", 3))
    await anext(events)
    await opened.capacity.release(arn("one"))
    assert not await served(opened.capacity, "one")
    assert [event async for event in events]
    await opened.capacity.release(arn("one"))
    await opened.capacity.release(arn("never"))


async def test_throughputs_in_service_come_back_after_a_restart(opened: Opened):
    for name, status in [
        ("a", "InService"),
        ("b", "Updating"),
        ("c", "Creating"),
        ("d", "Failed"),
    ]:
        await opened.bought(name, status)
    await opened.reopen("script", EIGHT)
    await opened.capacity.restore()
    await until(lambda: served(opened.capacity, "a"))
    await until(lambda: served(opened.capacity, "b"))
    assert not await served(opened.capacity, "c")
    assert not await served(opened.capacity, "d")
    assert opened.capacity.problems() == []


async def test_what_cannot_come_back_is_a_problem_that_says_why(opened: Opened):
    await opened.bought("one")
    opened.configs["big"] = Llama(model="smollm2-135m-instruct")
    await opened.reopen("big", (0,))
    await opened.capacity.restore()

    async def told() -> bool:
        return bool(opened.capacity.problems())

    await until(told)
    (problem,) = opened.capacity.problems()
    assert problem.startswith(f"{arn('one')} is not served: No CPU of this machine")
    with pytest.raises(EngineNotReady, match="No CPU of this machine"):
        opened.capacity.engine(arn("one"))
    await opened.capacity.release(arn("one"))
    assert opened.capacity.problems() == []


async def _measured(opened: Opened, engine: str, input_per_s: float, output_per_s: float) -> None:
    """As a measurement of the engine's file on this machine left it."""
    record = EngineRate(
        input_per_s=input_per_s, output_per_s=output_per_s, measured_at=datetime.now(UTC)
    )
    async with opened.resources.writing() as transaction:
        await transaction.add(record, opened.capacity.rates.place(engine))


async def test_more_than_the_pool_holds_is_refused_with_the_sum(tmp_path: Path):
    configs: dict[str, EngineConfig] = {"llama": Llama(model="smollm2-135m-instruct")}
    async with open_capacity(tmp_path, configs, Capacity(cpus=3), EIGHT) as opened:
        await _measured(opened, "llama", 100, 10)
        with pytest.raises(CapacityShort, match=r"needs \d+ CPUs, and 3 can be reserved now"):
            await opened.capacity.reserve(arn("one"), model("llama"), 1, HUGE)
        pool = opened.capacity.pool()
        assert (pool.cpus, pool.reservable, pool.reserved) == (EIGHT, (5, 6, 7), {})
        assert pool.rates == {"llama": (100, 10)}


async def test_what_a_throughput_had_is_not_sized_anew_but_must_be_there(tmp_path: Path):
    configs: dict[str, EngineConfig] = {"llama": Llama(model="smollm2-135m-instruct")}
    async with open_capacity(tmp_path, configs, None, (0, 1)) as opened:
        record = EngineReservation(machine=machine_id(), engine="llama", cpus=(2, 3))
        async with opened.resources.writing() as transaction:
            await transaction.add(record, Place("", "", arn("one")))
        with pytest.raises(CapacityShort, match="It had 2 CPUs of this machine; 1 can"):
            await opened.capacity.reserve(arn("one"), model("llama"), 1, UNIT)
        # What belongs to no throughput any more is forgotten.
        await opened.capacity.restore()
        async with opened.resources.reading() as view:
            assert await view.list(EngineReservation) == []


@pytest.mark.parametrize("engine", ["vllm", "aws", "gpu"])
async def test_engines_elsewhere_cannot_be_set_aside_without_replicas(tmp_path: Path, engine: str):
    async with open_capacity(tmp_path, dict(REMOTE), cpus=EIGHT) as opened:
        with pytest.raises(CapacityShort, match=rf"replicas = {{ {engine} = \[...\] }}"):
            await opened.capacity.reserve(arn("one"), model(engine), 1, UNIT)


async def test_a_replica_is_taken_whole_by_one_throughput(tmp_path: Path):
    config = Capacity(replicas={"vllm": ("vllm-2",)})
    async with open_capacity(tmp_path, dict(REMOTE), config, EIGHT) as opened:
        on_demand = await opened.engines.get("vllm-2")
        await opened.capacity.reserve(arn("one"), model("vllm"), 1, UNIT)
        assert opened.capacity.engine(arn("one")).name.startswith("vllm-2 of ")
        with pytest.raises(EngineNotReady, match="taken whole"):
            await opened.engines.get("vllm-2")
        with pytest.raises(EngineNotReady):
            await answered(on_demand, asking("Hi"))
        with pytest.raises(CapacityShort, match="taken by another throughput"):
            await opened.capacity.reserve(arn("two"), model("vllm"), 1, UNIT)
        assert (await opened.engines.get("vllm")).name == "vllm"
        await opened.capacity.release(arn("one"))

        async def given_back() -> bool:
            return not await _is_taken(opened, "vllm-2")

        await until(given_back)
        await opened.capacity.reserve(arn("two"), model("vllm"), 1, UNIT)


async def test_a_replica_is_taken_after_the_calls_on_demand_that_run_on_it(tmp_path: Path):
    config = Capacity(replicas={"vllm": ("vllm-2",)})
    async with open_capacity(tmp_path, dict(REMOTE), config, EIGHT) as opened:
        on_demand = await opened.engines.get("vllm-2")
        assert isinstance(on_demand, OpenAIEngine)

        async with on_demand.gate.admit():
            reserving = asyncio.create_task(
                opened.capacity.reserve(arn("one"), model("vllm"), 1, UNIT)
            )
            await until(lambda: _is_taken(opened, "vllm-2"))
            assert not await served(opened.capacity, "one")
        await reserving
        assert await served(opened.capacity, "one")


async def test_a_swap_stays_in_its_place(tmp_path: Path):
    configs = {**REMOTE, "script": Scripted()}
    config = Capacity(replicas={"vllm": ("vllm-2",)})
    async with open_capacity(tmp_path, configs, config, EIGHT) as opened:
        await opened.capacity.reserve(arn("one"), model("vllm"), 1, UNIT)
        await opened.capacity.swap(arn("one"), model("vllm", "tuned"))
        assert opened.capacity.engine(arn("one")).served_by == "openai/tuned"
        with pytest.raises(CapacityShort, match="cannot serve the engine 'script'"):
            await opened.capacity.swap(arn("one"), model("script"))


async def test_a_closed_capacity_reserves_nothing(opened: Opened):
    await opened.capacity.reserve(arn("one"), model("script"), 1, UNIT)
    await opened.capacity.close()
    assert not await served(opened.capacity, "one")
    with pytest.raises(EngineNotReady, match="shutting down"):
        await opened.capacity.reserve(arn("two"), model("script"), 1, UNIT)


async def test_a_throughput_that_failed_is_not_restored(opened: Opened):
    await opened.bought("one")
    await opened.change("one", status="Failed")
    await opened.capacity.restore()
    with pytest.raises(EngineNotReady):
        opened.capacity.engine(arn("one"))
    assert opened.capacity.problems() == []


@pytest.mark.parametrize("what", ["deleted", "failed"])
async def test_what_goes_while_its_engine_is_started_again_holds_nothing(tmp_path: Path, what: str):
    config = Capacity(replicas={"vllm": ("vllm-2",)})
    async with open_capacity(tmp_path, dict(REMOTE), config, EIGHT) as opened:
        await opened.bought("one")
        await opened.reopen("vllm", EIGHT)
        on_demand = await opened.engines.get("vllm-2")
        assert isinstance(on_demand, OpenAIEngine)
        async with on_demand.gate.admit():
            await opened.capacity.restore()
            await until(lambda: _is_taken(opened, "vllm-2"))
            if what == "deleted":
                await opened.remove("one")
            else:
                await opened.change("one", status="Failed")
            await opened.capacity.release(arn("one"))

        async def is_free() -> bool:
            return not await _is_taken(opened, "vllm-2")

        await until(is_free)
        assert not await served(opened.capacity, "one")


async def test_a_swap_of_what_waits_for_its_engine_after_a_restart_starts_it_first(opened: Opened):
    for name in ("one", "two", "three"):
        await opened.bought(name, "Updating")
    await opened.reopen("script", EIGHT)
    await opened.capacity.restore()
    await opened.capacity.swap(arn("three"), model("other"))
    assert opened.capacity.engine(arn("three")).name.startswith("other")


async def _is_taken(opened: Opened, engine: str) -> bool:
    try:
        await opened.engines.get(engine)
    except EngineNotReady:
        return True
    return False


async def test_what_goes_with_its_account_gives_its_capacity_back(opened: Opened):
    for name in ("one", "two"):
        await opened.bought(name)
        await opened.capacity.reserve(arn(name), model("script"), 1, UNIT)
    await opened.remove("one")

    async def is_released() -> bool:
        return not await served(opened.capacity, "one")

    await until(is_released)
    assert await served(opened.capacity, "two")
