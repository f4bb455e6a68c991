import os

import pytest

from outcrop.engines.placement import OnDemand, Reserved
from outcrop.processes.affinity import allowed_cpus


def on_demand(monkeypatch: pytest.MonkeyPatch, cpus: int, load: float) -> OnDemand:
    """On a machine with so many CPUs and that load."""
    everywhere = tuple(range(cpus))
    monkeypatch.setattr("outcrop.engines.placement.allowed_cpus", lambda: everywhere)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    return OnDemand()


@pytest.mark.parametrize(
    ("cpus", "load", "threads"), [(8, 0.0, 7), (8, 2.6, 4), (8, 40.0, 1), (1, 0.0, 1), (2, 0.0, 1)]
)
def test_while_nothing_is_reserved_the_free_cpus_less_one_are_used_unbound(
    monkeypatch: pytest.MonkeyPatch, cpus: int, load: float, threads: int
):
    placement = on_demand(monkeypatch, cpus, load)
    assert placement.threads(0) == threads
    assert placement.threads(12) == 12
    assert placement.bound_to == ()


@pytest.mark.parametrize(
    ("load", "own", "threads"),
    [
        (0.0, 0, 4),
        # The reserved CPUs at work, and nothing else.
        (3.0, 0, 4),
        (5.0, 0, 2),
        # What the engine itself did before it was moved takes nothing from it.
        (10.0, 7, 4),
        (99.0, 0, 1),
    ],
)
def test_beside_reserved_cpus_only_the_others_count(
    monkeypatch: pytest.MonkeyPatch, load: float, own: int, threads: int
):
    placement = on_demand(monkeypatch, 8, load)
    placement.leave({5, 6, 7})
    assert placement.bound_to == placement.cpus == (0, 1, 2, 3, 4)
    assert placement.threads(0, own) == threads
    assert (placement.threads(3), placement.threads(12), placement.most_threads) == (3, 5, 5)


def test_what_is_no_longer_reserved_is_used_again(monkeypatch: pytest.MonkeyPatch):
    placement = on_demand(monkeypatch, 4, 0.0)
    placement.leave({2, 3})
    placement.leave(())
    assert (placement.bound_to, placement.cpus, placement.threads(0)) == ((), (0, 1, 2, 3), 3)


def test_a_reserved_placement_uses_all_of_its_cpus_whatever_is_configured():
    placement = Reserved((4, 6))
    assert (placement.bound_to, placement.threads(1), placement.threads(8)) == ((4, 6), 2, 2)
    with pytest.raises(ValueError, match="needs a CPU"):
        Reserved(())


def test_this_process_may_run_somewhere():
    assert allowed_cpus()
