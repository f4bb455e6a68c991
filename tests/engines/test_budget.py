import pytest

from outcrop.engines.budget import MemoryBudget, Shared
from outcrop.engines.protocol import EngineBusy, EngineFailed


class Loaded:
    def __init__(self, name: str, last_used: float = 0.0, *, idle: bool = True) -> None:
        self.name = name
        self.last_used = last_used
        self.idle = idle
        self.unloaded = 0

    async def unload(self) -> None:
        self.unloaded += 1


async def test_the_least_recently_used_idle_engine_makes_room():
    budget = MemoryBudget(100)
    newer, older, busy = Loaded("newer", 3.0), Loaded("older", 2.0), Loaded("busy", 1.0, idle=False)
    for holder in (newer, older, busy):
        await budget.reserve(holder, 30)
    await budget.reserve(Loaded("next"), 40)
    assert [holder.unloaded for holder in (newer, older, busy)] == [0, 1, 0]
    assert budget.held_bytes == 100
    assert budget.held_by({"older"}) == 0


async def test_nothing_is_unloaded_while_there_is_room():
    budget = MemoryBudget(100)
    first = Loaded("first")
    await budget.reserve(first, 50)
    await budget.reserve(Loaded("second"), 50)
    assert first.unloaded == 0


async def test_as_many_go_as_are_needed():
    budget = MemoryBudget(100)
    holders = [Loaded(str(number), float(number)) for number in range(4)]
    for holder in holders:
        await budget.reserve(holder, 25)
    await budget.reserve(Loaded("large"), 60)
    assert [holder.unloaded for holder in holders] == [1, 1, 1, 0]


async def test_an_engine_at_work_is_never_unloaded():
    budget = MemoryBudget(100)
    busy = Loaded("busy", idle=False)
    await budget.reserve(busy, 80)
    with pytest.raises(EngineBusy, match="next"):
        await budget.reserve(Loaded("next"), 30)
    assert busy.unloaded == 0
    assert budget.held_bytes == 80


async def test_what_can_never_fit_says_which_setting_to_change():
    with pytest.raises(EngineFailed, match="engine_memory_mib"):
        await MemoryBudget(100).reserve(Loaded("huge"), 101)


async def test_an_engine_that_starts_again_is_counted_once():
    budget = MemoryBudget(100)
    holder = Loaded("same")
    await budget.reserve(holder, 80)
    await budget.reserve(holder, 90)
    assert budget.held_bytes == 90
    assert holder.unloaded == 0
    budget.release(holder)
    assert budget.held_bytes == 0


async def test_what_holders_have_in_common_counts_once():
    budget = MemoryBudget(100)
    base = Shared("base.gguf", 60)
    first, second = Loaded("first"), Loaded("second")
    await budget.reserve(first, 15, base)
    await budget.reserve(second, 15, base)
    assert (budget.held_bytes, budget.held_by({"first"})) == (90, 75)
    assert budget.held_by({"first", "second"}) == 90
    budget.release(first)
    assert budget.held_bytes == 75
    budget.release(second)
    assert budget.held_bytes == 0


async def test_what_is_shared_goes_with_the_last_who_holds_it():
    budget = MemoryBudget(100)
    idle = Loaded("idle")
    await budget.reserve(idle, 20, Shared("one.gguf", 60))
    await budget.reserve(Loaded("other"), 30, Shared("other.gguf", 60))
    assert budget.held_bytes == 90
    assert budget.held_by({"idle"}) == 0


async def test_what_is_too_large_with_what_it_shares_is_refused():
    with pytest.raises(EngineFailed, match="engine_memory_mib"):
        await MemoryBudget(100).reserve(Loaded("huge"), 50, Shared("base.gguf", 60))


async def test_one_that_ends_takes_nothing_from_the_one_of_its_name_that_follows():
    budget = MemoryBudget(100)
    ending, following = Loaded("one", idle=False), Loaded("one")
    await budget.reserve(ending, 30)
    await budget.reserve(following, 40)
    assert budget.held_by({"one"}) == 70
    budget.release(ending)
    assert budget.held_bytes == 40
    budget.release_name("one")
    assert budget.held_bytes == 0
