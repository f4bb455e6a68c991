"""Ray and Ray Train: imported by name, as the libraries of ``libraries`` are, and only where a job
trains on a cluster. Nothing is reported to Ray's makers, and nothing of a run is kept on disk."""

import importlib
import os
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from outcrop.training.libraries import LibraryMissing

_SETTINGS: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Importing PyTorch on a busy node takes long.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
    # A node that is reclaimed is one that is lost: the job goes on without it.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_OF_WORKERS: Final = {
    # Threads that spin while they wait take the CPU from whoever has the work.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Of workers whose peer was lost: they have nothing left to say to each other.
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "2",
}


@dataclass(frozen=True, slots=True)
class RayLibrary:
    core: Any
    train: Any
    torch: Any
    """``ray.train.torch``."""
    placement: Any
    """``ray.util.placement_group``."""
    scheduling: Any
    """``ray.util.scheduling_strategies``."""


@cache
def load_ray() -> RayLibrary:
    """Takes seconds. Raises LibraryMissing."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        return RayLibrary(
            core=importlib.import_module("ray"),
            train=importlib.import_module("ray.train"),
            torch=importlib.import_module("ray.train.torch"),
            placement=importlib.import_module("ray.util.placement_group"),
            scheduling=importlib.import_module("ray.util.scheduling_strategies"),
        )
    except ImportError as error:
        raise LibraryMissing(
            f"Training on a Ray cluster needs libraries that are not installed here ({error}). "
            "Install them with: pip install 'outcrop[train,ray]'"
        ) from error


def job_environment() -> dict[str, str]:
    """Of all processes of a job."""
    return dict(_OF_WORKERS)


def storage() -> Any:
    """A file system in memory, for the files that Ray Train would write of every run."""
    memory = importlib.import_module("fsspec").filesystem("memory")
    arrow = importlib.import_module("pyarrow.fs")
    return arrow.PyFileSystem(arrow.FSSpecHandler(memory))
