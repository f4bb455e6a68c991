"""Several workers learn what one learns: threads that add up their tensors, in 32 bits."""

import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bases import write_base
from training_data import spec_of

from outcrop.training.bases import Hardware, load_base
from outcrop.training.checkpoints import Standing
from outcrop.training.examples import Examples
from outcrop.training.libraries import load_libraries
from outcrop.training.loop import Hooks, Outcome, Run, StopAsked
from outcrop.training.lora import attach
from outcrop.training.losses import Losses
from outcrop.training.spec import BaseWeights, Settings
from outcrop.training.world import Alone, World

# 11 examples in batches of 4: the last has 3, so that of 4 workers one has nothing to do in it.
SETTINGS = Settings(epochs=2, batch_size=4, learning_rate=2e-2, warmup_steps=1)
LENGTHS = np.array([9, 30, 4, 17, 17, 5, 40, 12, 8, 23, 3])


@dataclass
class Meeting:
    """Where workers add up their tensors."""

    size: int
    brought: list[Any] = field(default_factory=list[Any])

    def __post_init__(self) -> None:
        self._barrier = threading.Barrier(self.size, timeout=60)
        self._lock = threading.Lock()

    def add_up(self, tensor: Any) -> None:
        with self._lock:
            self.brought.append(tensor.clone())
        self._barrier.wait()
        total = sum(self.brought)
        if self._barrier.wait() == 0:
            self.brought.clear()
        self._barrier.wait()
        tensor.copy_(total)


@dataclass(frozen=True)
class Member:
    rank: int
    size: int
    meeting: Meeting

    def all_reduce(self, tensor: Any) -> None:
        self.meeting.add_up(tensor)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write_base(tmp_path_factory.mktemp("base"))


def examples(seed: int) -> Examples:
    tokens = np.random.default_rng(seed).integers(0, 256, int(LENGTHS.sum()), dtype=np.uint32)
    return Examples(tokens, LENGTHS, LENGTHS // 3)


def run_in(base: Path, world: World) -> Run:
    libraries = load_libraries()
    spec = spec_of(
        base / "none", base=BaseWeights(source=str(base), fingerprint="t"), settings=SETTINGS
    )
    hardware = Hardware("cpu", libraries.torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load_base(spec, libraries, hardware)
        adapter = attach(loaded.model, SETTINGS, libraries)
    losses = Losses(loaded, hardware.device, libraries)
    return Run(SETTINGS, examples(1), (examples(2),), adapter, losses, world, libraries)


def hooks(kept: list[Standing], stop_at: int = 1000) -> Hooks:
    def should_stop() -> bool:
        return len(kept) >= stop_at

    return Hooks(lambda _: None, kept.append, should_stop, 0.0)


def keeping_nothing() -> Hooks:
    """Of all workers but the first."""
    return replace(hooks([]), keep=None)


def train_together(runs: Sequence[Run], told: Sequence[Hooks]) -> list[Outcome]:
    with ThreadPoolExecutor(len(runs)) as threads:
        return list(threads.map(Run.train, runs, told))


@pytest.mark.parametrize("size", [2, 4])
def test_workers_learn_what_one_learns(base: Path, size: int):
    alone = run_in(base, Alone()).train(hooks([]))
    meeting = Meeting(size)
    runs = [run_in(base, Member(rank, size, meeting)) for rank in range(size)]
    outcomes = train_together(runs, [hooks([]) for _ in runs])
    for outcome in outcomes:
        assert outcome.tokens == alone.tokens
        assert [one.loss for one in outcome.training] == pytest.approx(
            [one.loss for one in alone.training], rel=1e-4
        )
        assert [one.loss for one in outcome.validation] == pytest.approx(
            [one.loss for one in alone.validation], rel=1e-4
        )
    tensors = {run.standing().tensors for run in runs}
    assert len(tensors) == 1, "workers hold different adapters"


def test_all_workers_stop_after_the_same_step_and_fewer_go_on(base: Path):
    alone = run_in(base, Alone()).train(hooks([]))
    meeting = Meeting(3)
    runs = [run_in(base, Member(rank, 3, meeting)) for rank in range(3)]
    kept: list[Standing] = []
    told = [hooks(kept, stop_at=2), keeping_nothing(), keeping_nothing()]
    with pytest.raises(StopAsked):
        train_together(runs, told)
    assert {run.standing().steps for run in runs} == {2}
    assert kept[-1].steps == 2
    left = run_in(base, Alone())
    left.take_up(kept[-1])
    assert [one.loss for one in left.train(hooks([])).training] == pytest.approx(
        [one.loss for one in alone.training], rel=1e-4
    )
