"""Checkpoints: sealed, whole, and of one run alone."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from training_data import spec_of

from outcrop.training.checkpoints import (
    CheckpointUnusable,
    SealedFolder,
    Standing,
    find_standing,
    keep,
    run_of,
    write_whole,
)
from outcrop.training.curves import TrainingPoint, ValidationPoint
from outcrop.training.spec import CHECKPOINT, Settings

STANDING = Standing(
    steps=2,
    tokens=40,
    training=(TrainingPoint(1, 1, 2.5, 7), TrainingPoint(2, 1, 1.5, 9)),
    validation=(ValidationPoint(2, 1, 2.0, (2.0,)),),
    tensors=b"tensors",
)


@pytest.fixture
def files(tmp_path: Path) -> SealedFolder:
    return SealedFolder(tmp_path, bytes(32), "arn:job")


def test_a_checkpoint_is_read_as_it_was_kept(files: SealedFolder) -> None:
    assert find_standing(files, "run") is None
    keep(files, "run", STANDING)
    assert find_standing(files, "run") == STANDING


def test_the_last_checkpoint_takes_the_place_of_the_one_before(files: SealedFolder) -> None:
    keep(files, "run", STANDING)
    later = Standing(3, 60, STANDING.training, (), b"later")
    keep(files, "run", later)
    assert find_standing(files, "run") == later
    assert [path.name for path in files.folder.iterdir()] == [CHECKPOINT]


def test_others_can_neither_open_nor_read_it(files: SealedFolder) -> None:
    keep(files, "run", STANDING)
    path = files.folder / CHECKPOINT
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"tensors" not in path.read_bytes()


@pytest.mark.parametrize(
    "other", [{"key": bytes(31) + b"1"}, {"context": "arn:other"}], ids=["key", "job"]
)
def test_it_opens_for_its_job_alone(files: SealedFolder, other: dict[str, str]) -> None:
    keep(files, "run", STANDING)
    with pytest.raises(CheckpointUnusable, match="cannot be read"):
        find_standing(replace(files, **other), "run")


def test_one_of_another_run_is_refused(files: SealedFolder) -> None:
    keep(files, "run", STANDING)
    with pytest.raises(CheckpointUnusable, match="another run"):
        find_standing(files, "other")


def test_what_opens_and_is_no_checkpoint_is_refused(files: SealedFolder) -> None:
    files.write(CHECKPOINT, b"nonsense")
    with pytest.raises(CheckpointUnusable, match="cannot be read"):
        find_standing(files, "run")


def test_a_run_is_told_by_its_settings_and_data(tmp_path: Path) -> None:
    spec = spec_of(tmp_path / "train.jsonl")
    faster = msgspec.structs.replace(
        spec, settings=Settings(epochs=1, batch_size=1, learning_rate=2e-4, warmup_steps=0)
    )
    assert run_of(spec, ["a"]) == run_of(spec, ["a"])
    assert len({run_of(spec, ["a"]), run_of(spec, ["b"]), run_of(faster, ["a"])}) == 3


def test_what_a_crash_left_half_written_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "it.partial").write_bytes(b"half")
    write_whole(tmp_path / "it", b"whole")
    assert (tmp_path / "it").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
