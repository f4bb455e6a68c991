"""A job on a Ray cluster. This process is its driver: it has read the data, writes the checkpoints
and the results, and starts the workers again, by Ray Train, where some were lost.

The machine has to be a node of the cluster. When this process ends, however it does, Ray ends the
workers with it.
"""

import math
import socket
import threading
import time
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrop.training.bases import BaseBroken
from outcrop.training.checkpoints import SealedFolder, Standing, find_standing, keep, run_of
from outcrop.training.job import Data, summary, write_results
from outcrop.training.libraries import load_libraries
from outcrop.training.loop import Diverged, Outcome, StopAsked
from outcrop.training.orders import Orders, Reports
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
    Post,
    Task,
    Unfit,
    send_examples,
)
from outcrop.training.ray_library import RayLibrary, job_environment, load_ray, storage
from outcrop.training.sent_weights import weights_of
from outcrop.training.spec import Cluster, Progress, Trained, TrainingSpec
from outcrop.training.worker import work

_MOST_LOSSES: Final = 3
"""So many attempts in a row may end with no checkpoint of their own."""
_LOOK_S: Final = 0.25
_CONNECT_S: Final = 10.0
_FEWER_S: Final = 5.0
_TOLD: Final = 500


class ClusterBroken(Exception):
    """The text is for the operator."""


def train_on_cluster(
    spec: TrainingSpec, cluster: Cluster, data: Data, reports: Reports, orders: Orders
) -> Trained:
    """Raises StopAsked, Diverged, BaseBroken, LibraryMissing, CheckpointUnusable, ClusterBroken."""
    files = SealedFolder(Path(spec.folder), spec.key, spec.job)
    run_id = run_of(spec, data.digests())
    standing = find_standing(files, run_id)
    if standing is not None:
        reports.count(standing.tokens)
    _reach(cluster.address)
    ray = load_ray()
    with _connected(ray, cluster):
        driver = _Driver(ray, cluster, spec, data, _Desk(files, run_id, reports, orders))
        done = driver.train()
    outcome = Outcome(done.tokens, list(done.training), list(done.validation))
    write_results(files, done.files, outcome)
    return summary(outcome)


@contextmanager
def _connected(ray: RayLibrary, cluster: Cluster) -> Generator[None]:
    where = f"the Ray cluster at {cluster.address}"
    try:
        ray.core.init(
            address=cluster.address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": job_environment()},
        )
    except (OSError, RuntimeError, ValueError, ray.core.exceptions.RayError) as error:
        raise ClusterBroken(
            f"This machine cannot join {where}; it has to be one of its nodes. {_said(error)}"
        ) from error
    try:
        yield
    except ray.core.exceptions.RayError as error:
        raise ClusterBroken(f"Training on {where} failed. {_said(error)}") from error
    finally:
        ray.core.shutdown()


def _reach(address: str) -> None:
    """Ray itself would try for a minute and then end the process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ClusterBroken(
            f"{address} is no address of a Ray cluster: it is that of its head, as host:port."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterBroken(f"The Ray cluster at {address} cannot be reached: {error}.") from error


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the job has on this machine."""

    files: SealedFolder
    run_id: str
    reports: Reports
    orders: Orders

    def standing(self) -> Standing | None:
        return find_standing(self.files, self.run_id)

    def keep(self, standing: Standing) -> None:
        keep(self.files, self.run_id, standing)
        self.reports.count(standing.tokens)

    def check_stop(self) -> None:
        if self.orders.should_stop():
            raise StopAsked


class _Driver:
    def __init__(
        self, ray: RayLibrary, cluster: Cluster, spec: TrainingSpec, data: Data, desk: _Desk
    ) -> None:
        self._ray, self._cluster, self._spec = ray, cluster, spec
        self._desk = desk
        self._envelope = Envelope.new(spec.job)
        self._data = data
        self._share = _share_of_worker(ray, cluster, spec)

    def train(self) -> Done:
        """Raises StopAsked, Diverged, BaseBroken, ClusterBroken."""
        workers = self._all_workers()
        task = self._first_task()
        losses = 0
        while True:
            before = self._desk.standing()
            ended = self._attempt(workers, self._from(before, task))
            if not isinstance(ended, str):
                return _judged(ended)
            after = self._desk.standing()
            losses = losses + 1 if after == before else 1
            if losses >= _MOST_LOSSES:
                raise ClusterBroken(f"{losses} attempts in a row came to nothing. {ended}")
            workers = self._workers_left(ended)

    def _all_workers(self) -> int:
        cluster = self._cluster
        if self._has_room(cluster.workers, cluster.wait_s):
            return cluster.workers
        raise ClusterBroken(
            f"The Ray cluster at {cluster.address} had no room for {cluster.workers} workers with "
            f"{self._share_text()} each in {cluster.wait_s:g} seconds. {self._stock()}"
        )

    def _workers_left(self, lost: str) -> int:
        cluster = self._cluster
        if self._has_room(cluster.workers, cluster.rejoin_s):
            return cluster.workers
        for workers in range(cluster.workers - 1, 0, -1):
            if self._has_room(workers, _FEWER_S):
                return workers
        raise ClusterBroken(
            f"The Ray cluster at {cluster.address} has no room for a worker any more. "
            f"{self._stock()} {lost}"
        )

    def _has_room(self, workers: int, wait_s: float) -> bool:
        """Ray Train would wait for ever: the same places are asked for, and given back."""
        group = self._ray.placement.placement_group([self._share] * workers, strategy="SPREAD")
        until = time.monotonic() + wait_s
        try:
            while not group.wait(1):
                self._desk.check_stop()
                if time.monotonic() > until:
                    return False
        finally:
            self._ray.placement.remove_placement_group(group)
        return True

    def _attempt(self, workers: int, task: Task) -> Ended | str:
        """How it ended, or what was lost."""
        core = self._ray.core
        here = self._ray.scheduling.NodeAffinitySchedulingStrategy(
            core.get_runtime_context().get_node_id(), soft=False
        )
        post = core.remote(Post).options(num_cpus=0, scheduling_strategy=here).remote()
        try:
            core.get(post.begin.remote(task))
            return self._follow(post, _started(self._trainer(post, workers)))
        finally:
            core.kill(post)

    def _first_task(self) -> Task:
        spec, core = self._spec, self._ray.core
        weights = weights_of(spec, load_libraries())
        self._desk.check_stop()
        told = msgspec.structs.replace(
            spec,
            key=b"",
            cluster=None,
            threads=int(self._share["CPU"]),
            device="cuda" if "GPU" in self._share else "cpu",
        )
        examples = tuple(
            send_examples(number, examples, self._envelope, core)
            for number, examples in enumerate((self._data.training, *self._data.validation))
        )
        return Task(told, self._envelope.key, examples, None, weights)

    def _from(self, standing: Standing | None, task: Task) -> Task:
        if standing is None:
            return task
        sealed = self._envelope.seal(STANDING, msgspec.msgpack.encode(standing))
        return replace(task, standing=self._ray.core.put(sealed))

    def _trainer(self, post: Any, workers: int) -> Any:
        train, torch = self._ray.train, self._ray.torch
        has_gpu = "GPU" in self._share
        return torch.TorchTrainer(
            lambda: work(post),
            # Sums of losses are on the CPU, gradients where the model is.
            torch_config=torch.TorchConfig(backend="cpu:gloo,cuda:nccl" if has_gpu else "gloo"),
            scaling_config=train.ScalingConfig(
                num_workers=workers,
                use_gpu=has_gpu,
                resources_per_worker=self._share,
                placement_strategy="SPREAD",
            ),
            run_config=train.RunConfig(
                name="outcrop",
                storage_path="/outcrop",
                storage_filesystem=storage(),
                failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),
            ),
        )

    def _follow(self, post: Any, fitting: "Future[None]") -> Ended | str:
        is_asked = False
        while True:
            if not is_asked and self._desk.orders.should_stop():
                post.stop.remote()
                is_asked = True
            # Asked before what was told is taken: nothing of a run that has ended is left there.
            is_over = fitting.done()
            ended = self._read(self._ray.core.get(post.take.remote()))
            if ended is not None:
                return ended
            if is_over:
                return self._loss(fitting.exception())
            threading.Event().wait(_LOOK_S)

    def _read(self, told: Mapping[Kind, bytes]) -> Ended | None:
        opened = {kind: self._envelope.open(kind, sealed) for kind, sealed in told.items()}
        if STANDING in opened:
            self._desk.keep(msgspec.msgpack.decode(opened[STANDING], type=Standing))
        if PROGRESS in opened:
            self._desk.reports.report(msgspec.msgpack.decode(opened[PROGRESS], type=Progress))
        if ENDED not in opened:
            return None
        return msgspec.msgpack.decode(opened[ENDED], type=Ended)

    def _loss(self, error: BaseException | None) -> str:
        failures: Mapping[int, BaseException] = getattr(error, "worker_failures", {})
        if failures:
            return " ".join(
                f"Worker {rank}: {_said(getattr(failure, '_base_exc', failure))}"
                for rank, failure in failures.items()
            )
        return "The workers ended." if error is None else _said(error)

    def _share_text(self) -> str:
        return ", ".join(f"{count:g} {kind}" for kind, count in self._share.items())

    def _stock(self) -> str:
        core = self._ray.core
        has, free = core.cluster_resources(), core.available_resources()
        kinds = ", ".join(
            f"{has.get(kind, 0):g} {kind}, {free.get(kind, 0):g} of them free"
            for kind in self._share
        )
        return f"It has {kinds}."


def _judged(ended: Ended) -> Done:
    if isinstance(ended, Halted):
        raise StopAsked
    if isinstance(ended, Diverging):
        raise Diverged(ended.message)
    if isinstance(ended, Unfit):
        raise BaseBroken(ended.message)
    return ended


def _share_of_worker(ray: RayLibrary, cluster: Cluster, spec: TrainingSpec) -> dict[str, float]:
    """What Ray gives each worker: where nothing is said, as many CPUs as let all of them find
    room on the nodes there are."""
    has = ray.core.cluster_resources()
    if spec.device == "cuda" or (spec.device == "auto" and has.get("GPU", 0) >= cluster.workers):
        return {"CPU": spec.threads or 1, "GPU": 1}
    nodes = [node["Resources"].get("CPU", 0) for node in ray.core.nodes() if node["Alive"]]
    most = math.floor(max(nodes, default=1))
    fitting = (
        cpus
        for cpus in range(most, 1, -1)
        if sum(math.floor(has // cpus) for has in nodes) >= cluster.workers
    )
    return {"CPU": spec.threads or next(fitting, 1)}


def _started(trainer: Any) -> "Future[None]":
    """Beside this thread, which goes on to listen."""
    fitting = Future[None]()

    def fit() -> None:
        try:
            trainer.fit()
        # Whatever it is, the other thread is to have it.
        except Exception as error:  # noqa: BLE001
            fitting.set_exception(error)
        else:
            fitting.set_result(None)

    threading.Thread(target=fit, daemon=True).start()
    return fitting


def _said(error: BaseException) -> str:
    """Texts of other errors may quote the data."""
    name = type(error).__name__
    texts = (OSError, RuntimeError, ValueError)
    return f"{name}: {str(error)[-_TOLD:]}" if isinstance(error, texts) else f"{name}."
