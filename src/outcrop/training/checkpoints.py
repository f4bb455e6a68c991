"""Where a run stands, as one sealed file: it is there whole or not at all.

Nothing random happens after the first step (which examples a step trains on follows from the seed),
so the step takes the place of the random state.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from outcrop.security.sealed_files import NotSealed, open_file, seal_file
from outcrop.training.curves import TrainingPoint, ValidationPoint
from outcrop.training.spec import CHECKPOINT, TrainingSpec

_FORM: Final = 1


class Standing(msgspec.Struct, frozen=True):
    """``steps`` are done. ``tensors`` is a safetensors file of the adapter and the optimizer."""

    steps: int
    tokens: int
    training: tuple[TrainingPoint, ...]
    validation: tuple[ValidationPoint, ...]
    tensors: bytes


class _Kept(msgspec.Struct, frozen=True):
    form: int
    run: str
    standing: Standing


class CheckpointUnusable(Exception):
    """It was written by another run, or has been changed."""


@dataclass(frozen=True, slots=True)
class SealedFolder:
    """Files of one job, sealed with its key."""

    folder: Path
    key: bytes
    context: str

    def write(self, name: str, plain: bytes) -> None:
        write_whole(self.folder / name, seal_file(self.key, plain, self.context, name))

    def find(self, name: str) -> bytes | None:
        """Raises NotSealed."""
        try:
            sealed = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return open_file(self.key, sealed, self.context, name)


def run_of(spec: TrainingSpec, data: Sequence[str]) -> str:
    """Two runs with the same answer can go on from each other's checkpoints. ``data`` are the
    digests of the examples."""
    what = (spec.type, spec.base.fingerprint, spec.settings, data)
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()


def keep(files: SealedFolder, run: str, standing: Standing) -> None:
    files.write(CHECKPOINT, msgspec.msgpack.encode(_Kept(_FORM, run, standing)))


def find_standing(files: SealedFolder, run: str) -> Standing | None:
    """Raises CheckpointUnusable."""
    try:
        plain = files.find(CHECKPOINT)
        kept = msgspec.msgpack.decode(plain, type=_Kept) if plain is not None else None
    except (NotSealed, msgspec.DecodeError) as error:
        raise CheckpointUnusable(f"The job's checkpoint cannot be read: {error}") from error
    if kept is None:
        return None
    if kept.form != _FORM or kept.run != run:
        raise CheckpointUnusable("The job's checkpoint belongs to another run.")
    return kept.standing


def write_whole(path: Path, content: bytes) -> None:
    """Closed to others, and never seen in part."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
