"""What passes between the gateway and an engine process: one line of JSON each way."""

import os
from pathlib import Path

import msgspec


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """``context`` is tokens a slot; ``parent`` the process whose death ends the engine's."""

    model: str
    context: int
    slots: int
    threads: int
    gpu_layers: int
    http_threads: int
    api_key: str
    parent: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``address`` once the model is loaded, or the reason why it is not."""

    address: str = ""
    error: str = ""


def free_cpus() -> int:
    """CPUs this process may use, less the last minute's load, less one for the gateway and its
    callers; at least one. llama.cpp's threads spin: one too many on a busy machine costs more
    than it brings (30 times slower on two busy cores)."""
    allowed = _allowed_cpus()
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, allowed - busy - 1)


def _allowed_cpus() -> int:
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return min(len(os.sched_getaffinity(0)), _cgroup_quota())


def _cgroup_quota() -> int:
    """A container's CPU quota (cgroup v2), rounded down."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        quota, period = "max", "1"
    return max(1, int(quota) // int(period)) if quota.isdigit() else os.cpu_count() or 1
