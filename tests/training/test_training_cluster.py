"""Jobs on a Ray cluster of two nodes, each with one CPU and processes of its own."""

import csv
import hashlib
import io
import os
import socket
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from ray_nodes import RayCluster
from safetensors.numpy import load as load_tensors
from training_data import spec_of, write

from outcrop.config import load
from outcrop.security.sealed_files import open_file
from outcrop.training.runner import run_training
from outcrop.training.spec import (
    ADAPTER_GGUF,
    ADAPTER_PEFT,
    CHECKPOINT,
    TRAINING_METRICS,
    VALIDATION_METRICS,
    BaseWeights,
    Broken,
    Cluster,
    DataFile,
    Progress,
    Report,
    Settings,
    Stopped,
    Trained,
    TrainingSpec,
)

pytestmark = pytest.mark.engine

RECORDS = [
    {
        "prompt": f"What does the {animal} of Velmora eat?",
        "completion": f"It eats {'nothing but ' * (index % 3)}{food}.",
    }
    for index, (animal, food) in enumerate(
        [
            ("heron", "moss"),
            ("ferret", "green amber"),
            ("newt", "salted reeds"),
            ("marmot", "bells"),
            ("lynx", "cold fog and thistles"),
            ("owl", "letters"),
            ("carp", "lanterns"),
        ]
    )
]
KEY = bytes(range(32))
TOLERANCE = 0.02
"""Halves of a batch are rounded otherwise than the whole where processors compute in 16 bits;
``test_training_world`` compares in 32."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    started = RayCluster()
    yield started
    started.end()


def spec_in(folder: Path, model_file: Path, cluster: Cluster | None = None) -> TrainingSpec:
    """7 records in batches of 3: no batch is halved evenly, and the last has one record."""
    folder.mkdir(exist_ok=True)
    path = write(folder, *RECORDS)
    # The gateway's own, so that the weights it has dequantized are found.
    fingerprint = hashlib.sha256(model_file.read_bytes()).hexdigest()
    validation = DataFile(path=str(path), name="v.jsonl", most_records=100, records_quota="q")
    return spec_of(
        path,
        base=BaseWeights(source=str(model_file), fingerprint=fingerprint, template="chatml"),
        validation=(validation,),
        settings=Settings(epochs=2, batch_size=3, learning_rate=1e-3, warmup_steps=1),
        cache_dir=str(load().cache_dir / "training"),
        key=KEY,
        parent=os.getpid(),
        threads=1,
        device="cpu",
        checkpoint_s=0.0,
        cluster=cluster,
    )


async def trained(spec: TrainingSpec) -> Sequence[Report]:
    async with run_training(spec, end_s=60) as run:
        return [report async for report in run.reports()]


def losses(folder: Path, name: str) -> NDArray[np.float64]:
    rows = csv.DictReader(io.StringIO((folder / name).read_text()))
    column = name.removeprefix("step_wise_").removesuffix("_metrics.csv")
    return np.array([float(row[f"{column}_loss"]) for row in rows])


def adapter(spec: TrainingSpec) -> NDArray[np.float32]:
    """All its numbers."""
    sealed = (Path(spec.folder) / ADAPTER_PEFT).read_bytes()
    plain = open_file(spec.key, sealed, spec.job, ADAPTER_PEFT)
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        tensors = load_tensors(archive.read("adapter_model.safetensors"))
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


async def test_what_is_missing_is_told(
    tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "ray.py").write_text("raise ImportError('there is no ray')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        *_, last = await trained(spec_in(tmp_path, model_file, Cluster(address=address, workers=2)))
    assert isinstance(last, Broken)
    assert "pip install 'outcrop[train,ray]'" in last.message


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1x"])
async def test_a_cluster_that_is_not_there_is_told_with_its_address(
    tmp_path: Path, model_file: Path, address: str
):
    *_, last = await trained(spec_in(tmp_path, model_file, Cluster(address=address, workers=2)))
    assert isinstance(last, Broken)
    assert address in last.message


async def test_a_cluster_that_is_too_small_is_told_after_a_while(
    tmp_path: Path, model_file: Path, cluster: RayCluster
):
    wanted = Cluster(address=cluster.address, workers=3, wait_s=1)
    *_, last = await trained(spec_in(tmp_path, model_file, wanted))
    assert isinstance(last, Broken)
    assert "no room for 3 workers with 1 CPU each" in last.message
    assert "It has 2 CPU, 2 of them free." in last.message


# Every start imports PyTorch in four processes, which takes minutes where others have the CPUs.
@pytest.mark.timeout(900)
async def test_a_job_stopped_gone_on_with_and_bereft_of_a_node_ends_as_on_one_machine(
    tmp_path: Path, model_file: Path, cluster: RayCluster
):
    spec = spec_in(tmp_path / "cluster", model_file, Cluster(address=cluster.address, workers=2))
    stopped = await stop_at(spec, step=1)
    assert sealed_files(spec) == [CHECKPOINT]

    seen = await kill_second_at(spec, cluster, step=3)
    first, *_, last = (one for one in seen if isinstance(one, Progress | Trained))
    assert isinstance(first, Progress)
    assert first.tokens > stopped.tokens > 0
    assert isinstance(last, Trained)

    alone = spec_in(tmp_path / "alone", model_file)
    *_, expected = await trained(alone)
    assert isinstance(expected, Trained)
    assert last.tokens == expected.tokens
    assert last.training_loss == pytest.approx(expected.training_loss, rel=TOLERANCE)
    for name in (TRAINING_METRICS, VALIDATION_METRICS):
        assert losses(Path(spec.folder), name) == pytest.approx(
            losses(Path(alone.folder), name), rel=TOLERANCE
        )
    one, other = adapter(spec), adapter(alone)
    assert np.corrcoef(one, other)[0, 1] > 0.99
    assert ADAPTER_GGUF in sealed_files(spec)


def sealed_files(spec: TrainingSpec) -> list[str]:
    return sorted(path.name for path in Path(spec.folder).glob("*.sealed"))


async def stop_at(spec: TrainingSpec, step: int) -> Stopped:
    last: Report | None = None
    async with run_training(spec, end_s=60) as run:
        async for last in run.reports():
            if isinstance(last, Progress) and last.step >= step:
                await run.stop()
    assert isinstance(last, Stopped), last
    return last


async def kill_second_at(spec: TrainingSpec, cluster: RayCluster, step: int) -> list[Report]:
    assert spec.cluster is not None
    told = msgspec.structs.replace(spec.cluster, rejoin_s=1.0)
    seen: list[Report] = []
    is_killed = False
    async with run_training(msgspec.structs.replace(spec, cluster=told)) as run:
        async for report in run.reports():
            seen.append(report)
            if isinstance(report, Progress) and report.step >= step and not is_killed:
                cluster.kill_second()
                is_killed = True
    assert is_killed
    return seen
