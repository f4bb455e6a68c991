import asyncio

import pytest

from outcrop.engines.gate import Gate
from outcrop.engines.protocol import EngineBusy, EngineNotReady


class Visitor:
    """Enters a gate and stays until told to go."""

    def __init__(self, gate: Gate, order: list[str] | None = None, name: str = "") -> None:
        self._go = asyncio.Event()
        self.inside = asyncio.Event()
        self._order = order
        self._name = name
        self.task = asyncio.create_task(self._visit(gate))

    async def _visit(self, gate: Gate) -> None:
        async with gate.admit():
            if self._order is not None:
                self._order.append(self._name)
            self.inside.set()
            await self._go.wait()

    async def leave(self) -> None:
        self._go.set()
        await self.task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_run_than_the_limit_and_no_more_wait_than_the_queue():
    gate = Gate("engine", running=2, waiting=1)
    visitors = [Visitor(gate) for _ in range(3)]
    await settled()
    assert (gate.running, gate.waiting) == (2, 1)
    with pytest.raises(EngineBusy, match="engine"):
        async with gate.admit():
            pass
    for visitor in visitors:
        await visitor.leave()
    assert (gate.running, gate.waiting, gate.idle) == (0, 0, True)


async def test_those_who_wait_enter_in_order_of_arrival():
    gate, order = Gate("engine", running=1, waiting=9), list[str]()
    visitors = [Visitor(gate, order, name) for name in "abcd"]
    for visitor in visitors:
        await visitor.inside.wait()
        await visitor.leave()
    assert order == list("abcd")


async def test_a_newcomer_does_not_overtake_one_who_was_just_admitted():
    gate, order = Gate("engine", running=1, waiting=2), list[str]()
    first, second = Visitor(gate, order, "first"), Visitor(gate, order, "second")
    await first.inside.wait()
    await first.leave()
    third = Visitor(gate, order, "third")
    await second.inside.wait()
    assert order == ["first", "second"]
    await second.leave()
    await third.leave()


async def test_one_who_gives_up_waiting_loses_only_the_own_place():
    gate, order = Gate("engine", running=1, waiting=2), list[str]()
    visitors = [Visitor(gate, order, name) for name in "abc"]
    await settled()
    visitors[1].task.cancel()
    await settled()
    assert gate.waiting == 1
    await visitors[0].leave()
    await visitors[2].leave()
    assert order == ["a", "c"]
    assert gate.idle


async def test_one_cancelled_in_the_moment_of_admission_hands_the_place_on():
    gate = Gate("engine", running=1, waiting=2)
    first, second, third = (Visitor(gate) for _ in range(3))
    await first.inside.wait()
    await settled()
    leaving = asyncio.create_task(first.leave())
    for _ in range(10):
        if gate.waiting == 1:
            break
        await asyncio.sleep(0)
    second.task.cancel()
    await leaving
    await third.inside.wait()
    assert not second.inside.is_set()
    await third.leave()
    assert gate.idle


async def test_an_error_inside_gives_the_place_back():
    gate = Gate("engine", running=1, waiting=0)
    with pytest.raises(ValueError, match="inside"):
        async with gate.admit():
            raise ValueError("inside")
    assert gate.idle


async def test_a_closed_gate_refuses_all_but_those_inside():
    gate = Gate("engine", running=1, waiting=1)
    inside, waiting = Visitor(gate), Visitor(gate)
    await settled()
    gate.close()
    with pytest.raises(EngineNotReady):
        await waiting.task
    with pytest.raises(EngineNotReady):
        async with gate.admit():
            pass
    drained = asyncio.create_task(gate.drained())
    await settled()
    assert not drained.done()
    await inside.leave()
    await drained


async def test_a_pause_begins_when_those_inside_have_left_and_admits_in_order_afterwards():
    gate, order = Gate("engine", running=2, waiting=1), list[str]()
    inside = Visitor(gate)
    await inside.inside.wait()
    began, end = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        async with gate.paused():
            began.set()
            await end.wait()

    pausing = asyncio.create_task(pause())
    await settled()
    waiting = [Visitor(gate, order, name) for name in "ab"]
    await settled()
    assert (gate.running, gate.waiting, began.is_set()) == (1, 2, False)
    await inside.leave()
    await began.wait()
    # As many may wait as otherwise run or wait.
    waiting.append(Visitor(gate, order, "c"))
    await settled()
    assert (gate.running, gate.waiting, gate.idle) == (0, 3, False)
    with pytest.raises(EngineBusy):
        async with gate.admit():
            pass
    end.set()
    await pausing
    for visitor in waiting:
        await visitor.inside.wait()
        await visitor.leave()
    assert order == list("abc")
    assert gate.idle


async def test_pauses_may_overlap_and_one_that_is_given_up_ends():
    gate = Gate("engine", running=1, waiting=1)
    inside = Visitor(gate)
    await inside.inside.wait()

    async def pause() -> None:
        async with gate.paused():
            pass

    given_up, kept = asyncio.create_task(pause()), asyncio.create_task(pause())
    await settled()
    given_up.cancel()
    waiting = Visitor(gate)
    await settled()
    await inside.leave()
    await kept
    await waiting.inside.wait()
    await waiting.leave()
    assert gate.idle


async def test_a_gate_that_closes_in_a_pause_refuses_those_who_wait():
    gate = Gate("engine", running=1, waiting=0)
    async with gate.paused():
        waiting = Visitor(gate)
        await settled()
        gate.close()
        with pytest.raises(EngineNotReady):
            await waiting.task
    await gate.drained()
    assert gate.idle


@pytest.mark.parametrize(("running", "waiting"), [(0, 1), (1, -1)])
def test_a_gate_without_room_cannot_be_built(running: int, waiting: int):
    with pytest.raises(ValueError, match="gate"):
        Gate("engine", running=running, waiting=waiting)
