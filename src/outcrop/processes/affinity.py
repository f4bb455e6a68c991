"""Which CPUs a process runs on. Linux alone lets a process be bound to some of them."""

import os
import sys
from collections.abc import Collection
from pathlib import Path

CAN_BIND = sys.platform == "linux"


def allowed_cpus() -> tuple[int, ...]:
    """The CPUs this process may run on now, in order."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def bind_self(cpus: Collection[int]) -> None:
    """For the first lines of a process: threads that it starts afterwards are bound as it is. Its
    parent may run on fewer CPUs: those are no limit here."""
    if cpus and sys.platform == "linux":
        os.sched_setaffinity(0, cpus)


def bind(pid: int, cpus: Collection[int]) -> None:
    """All threads of a running process. One that ends meanwhile needs no binding."""
    if sys.platform != "linux":
        return
    bound = set[int]()
    # A thread begun while this runs has its parent's CPUs, which may be the former ones.
    while new := _threads(pid) - bound:
        for thread in new:
            try:
                os.sched_setaffinity(thread, cpus)
            except ProcessLookupError:
                continue
        bound |= new


def cpu_seconds(pid: int) -> float:
    """What its threads have computed so far; those that have ended are left out."""
    total_ns = 0
    for thread in _threads(pid):
        try:
            text = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text(encoding="ascii")
        except OSError:
            continue
        total_ns += int(text.split()[0])
    return total_ns / 1e9


def _threads(pid: int) -> set[int]:
    try:
        return {int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()}
    except OSError:
        return set()
