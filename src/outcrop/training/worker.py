"""One of a cluster's workers: it runs the loop that a job alone runs, on its share of every batch.

A node needs the same version of Outcrop with the extras ``train`` and ``ray``, and nothing else.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrop.training.bases import BaseBroken
from outcrop.training.checkpoints import Standing
from outcrop.training.job import Data, pack, prepare
from outcrop.training.libraries import LibraryMissing, load_libraries
from outcrop.training.loop import Diverged, Hooks, Outcome, StopAsked
from outcrop.training.post import (
    ENDED,
    PROGRESS,
    STANDING,
    Diverging,
    Done,
    Ended,
    Envelope,
    Halted,
    Kind,
    Task,
    Unfit,
    receive_examples,
)
from outcrop.training.ray_library import RayLibrary, load_ray
from outcrop.training.sent_weights import place_base
from outcrop.training.spec import Report, TrainingSpec

_CACHE: Final = "~/.cache/outcrop/training"
"""Of a node that does not have the gateway's."""
_ASK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Together:
    """A world of several workers."""

    rank: int
    size: int
    distributed: Any

    def all_reduce(self, tensor: Any) -> None:
        self.distributed.all_reduce(tensor)


def work(post: Any) -> None:
    """What Ray Train runs in every worker; ``post`` is the actor."""
    ray = load_ray()
    task: Task = ray.core.get(post.task.remote())
    context = ray.train.get_context()
    rank, size = int(context.get_world_rank()), int(context.get_world_size())
    worker = _Worker(ray, post, task, rank)
    try:
        ended = worker.train(size)
    except StopAsked:
        ended = Halted()
    except Diverged as error:
        ended = Diverging(str(error))
    except (BaseBroken, LibraryMissing, OSError) as error:
        worker.end(Unfit(f"Node {context.get_node_rank()} of the cluster cannot train: {error}"))
        return
    if rank == 0:
        worker.end(ended)


class _Worker:
    def __init__(self, ray: RayLibrary, post: Any, task: Task, rank: int) -> None:
        self._ray, self._post, self._task, self._rank = ray, post, task, rank
        self._envelope = Envelope(task.key, task.spec.job)

    def train(self, size: int) -> Ended:
        libraries = load_libraries()
        spec = self._place()
        libraries.torch.set_num_threads(spec.threads)
        world = Together(self._rank, size, libraries.torch.distributed)
        adapter, run = prepare(spec, self._data(), world, libraries)
        standing = self._standing()
        if standing is not None:
            run.take_up(standing)
        outcome = run.train(self._hooks(spec))
        return self._done(pack(spec, adapter) if self._rank == 0 else {}, outcome)

    def end(self, ended: Ended) -> None:
        self._tell(ENDED, ended)

    def _place(self) -> TrainingSpec:
        def read(name: str, offset: int) -> bytes:
            return self._ray.core.get(self._post.weights.remote(name, offset))

        cache = Path(_CACHE).expanduser()
        return place_base(self._task.spec, self._task.weights, read, cache)

    def _data(self) -> Data:
        training, *validation = (
            receive_examples(number, sent, self._envelope, self._ray.core)
            for number, sent in enumerate(self._task.examples)
        )
        return Data(training, tuple(validation))

    def _standing(self) -> Standing | None:
        if self._task.standing is None:
            return None
        sealed = self._ray.core.get(self._task.standing)
        return msgspec.msgpack.decode(self._envelope.open(STANDING, sealed), type=Standing)

    def _hooks(self, spec: TrainingSpec) -> Hooks:
        if self._rank:
            return Hooks(_ignore, None, _never, spec.checkpoint_s)
        return Hooks(self._report, self._keep, self._asker(), spec.checkpoint_s)

    def _report(self, report: Report) -> None:
        self._tell(PROGRESS, report)

    def _keep(self, standing: Standing) -> None:
        self._tell(STANDING, standing)

    def _tell(self, kind: Kind, what: Any) -> None:
        sealed = self._envelope.seal(kind, msgspec.msgpack.encode(what))
        self._ray.core.get(self._post.tell.remote(kind, sealed))

    def _asker(self) -> Callable[[], bool]:
        asked_at, answer = 0.0, False

        def should_stop() -> bool:
            nonlocal asked_at, answer
            if time.monotonic() - asked_at >= _ASK_S:
                answer = bool(self._ray.core.get(self._post.is_stopping.remote()))
                asked_at = time.monotonic()
            return answer

        return should_stop

    def _done(self, files: Any, outcome: Outcome) -> Done:
        return Done(outcome.tokens, tuple(outcome.training), tuple(outcome.validation), files)


def _ignore(_: Any) -> None:
    """The first worker speaks for all."""


def _never() -> bool:
    return False
