"""Where the processes of engines run: on CPUs of their own, or on those that are left.

Threads of llama.cpp spin: two of them on one CPU are thirty times slower. So a process never has
more threads than its placement has CPUs.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from outcrop.processes.affinity import allowed_cpus


class Placement(Protocol):
    kept: bool
    """Whether what runs there is never unloaded to make room for another."""

    @property
    def bound_to(self) -> tuple[int, ...]:
        """The CPUs that a process is bound to when it starts; none: it is not bound."""
        ...

    @property
    def cpus(self) -> tuple[int, ...]:
        """The CPUs it may run on."""
        ...

    @property
    def most_threads(self) -> int: ...

    def threads(self, configured: int, own: int = 0) -> int:
        """``configured`` is 0 where the free CPUs are to be counted; ``own`` are the threads that
        the asking process kept busy in the last minute."""
        ...


class Reserved:
    """All of ``cpus``, and nothing else runs there."""

    kept = True

    def __init__(self, cpus: tuple[int, ...]) -> None:
        if not cpus:
            raise ValueError("a reserved placement needs a CPU")
        self.bound_to = self.cpus = cpus
        self.most_threads = len(cpus)

    def threads(self, configured: int, own: int = 0) -> int:
        return len(self.cpus)


class OnDemand:
    """What is not reserved, shared by all engines on demand. While nothing is reserved their
    processes are not bound."""

    def __init__(self, *, kept: bool = False) -> None:
        self.kept = kept
        self._machine = allowed_cpus()
        self._reserved = frozenset[int]()

    def leave(self, reserved: Collection[int]) -> None:
        """From now on processes keep off these CPUs."""
        self._reserved = frozenset(reserved)

    @property
    def bound_to(self) -> tuple[int, ...]:
        return self.cpus if self._reserved else ()

    @property
    def cpus(self) -> tuple[int, ...]:
        return tuple(cpu for cpu in self._machine if cpu not in self._reserved)

    @property
    def most_threads(self) -> int:
        return max(1, usable_cpus(len(self._machine)) - len(self._reserved))

    def threads(self, configured: int, own: int = 0) -> int:
        left = self.most_threads
        if not self._reserved:
            return configured or _free(left, own)
        # What the reserved CPUs do is part of the load, and takes nothing from the others.
        return min(configured or _free(left, own + len(self._reserved)), left)


def usable_cpus(cpus: int) -> int:
    """How much of ``cpus`` CPUs a container's quota (cgroup v2) leaves, rounded down."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cpus
    return min(cpus, max(1, int(quota) // int(period))) if quota.isdigit() else cpus


def _free(cpus: int, explained: int) -> int:
    """Of ``cpus``, less the last minute's load that ``explained`` CPUs do not account for, less
    one for the gateway and its callers; at least one."""
    load = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, cpus - max(0, load - explained) - 1)
