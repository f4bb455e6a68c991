import pytest

from outcrop.capacity.cpus import CpuLedger
from outcrop.engines.placement import usable_cpus

EIGHT = tuple(range(8))


def test_all_but_the_first_cpu_can_be_reserved_and_the_last_ones_go_first():
    ledger = CpuLedger(None, (2, 5, 7))
    assert ledger.reservable == (5, 7)
    assert ledger.take("one", 1) == (7,)
    assert ledger.take("two", 1) == (5,)
    assert (ledger.free, ledger.reserved) == ((), frozenset({5, 7}))


@pytest.mark.parametrize(
    ("limit", "cpus", "reservable"),
    [
        (0, EIGHT, ()),
        (2, EIGHT, (6, 7)),
        (7, EIGHT, EIGHT[1:]),
        (99, EIGHT, EIGHT[1:]),
        (None, (0,), ()),
        (1, (0,), ()),
    ],
)
def test_the_configuration_bounds_what_can_be_reserved(
    limit: int | None, cpus: tuple[int, ...], reservable: tuple[int, ...]
):
    assert CpuLedger(limit, cpus).reservable == reservable


def test_what_is_given_back_is_given_again():
    ledger = CpuLedger(None, EIGHT)
    ledger.take("one", 3)
    ledger.take("two", 2)
    ledger.give_back("one")
    ledger.give_back("one")
    assert ledger.free == (1, 2, 5, 6, 7)
    assert ledger.take("three", 4) == (2, 5, 6, 7)
    assert ledger.by_holder() == {"two": (3, 4), "three": (2, 5, 6, 7)}


@pytest.mark.parametrize(("holder", "count"), [("new", 8), ("new", 0), ("one", 1)])
def test_more_than_is_free_and_a_second_share_are_refused(holder: str, count: int):
    ledger = CpuLedger(None, EIGHT)
    ledger.take("one", 1)
    with pytest.raises(ValueError, match="cannot take"):
        ledger.take(holder, count)


def test_a_machine_has_no_more_usable_cpus_than_cpus():
    assert 1 <= usable_cpus(3) <= 3
