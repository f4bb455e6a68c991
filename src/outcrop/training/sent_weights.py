"""A base's weights on the nodes of a cluster: a node that has them where the gateway has them takes
those; another is sent them once, piece by piece, and keeps them in its own cache."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from outcrop.training.bases import dequantized, dequantized_folder, find_dequantized
from outcrop.training.kept_folders import made_once, note_contents, sizes_of
from outcrop.training.libraries import Libraries
from outcrop.training.spec import TrainingSpec

Read = Callable[[str, int], bytes]
"""The piece of a file, by its name, from so many bytes on."""

_PIECE_BYTES: Final = 2**26


@dataclass(frozen=True, slots=True)
class Weights:
    """The folder on the gateway's machine, and the sizes of its files by name. There are none where
    every node gets the weights by itself."""

    folder: str = ""
    files: Mapping[str, int] = field(default_factory=dict[str, int])
    is_dequantized: bool = False


def weights_of(spec: TrainingSpec, libraries: Libraries) -> Weights:
    """Raises BaseBroken."""
    source = Path(spec.base.source)
    is_file = source.is_file()
    folder = dequantized(spec, libraries) if is_file else source
    if not folder.is_dir():
        return Weights()
    files = sizes_of(folder)
    return Weights(str(folder), files, is_dequantized=is_file)


def read_piece(file: Path, offset: int) -> bytes:
    with file.open("rb") as content:
        content.seek(offset)
        return content.read(_PIECE_BYTES)


def place_base(spec: TrainingSpec, weights: Weights, read: Read, cache: Path) -> TrainingSpec:
    """The specification as it holds on this node, whose own cache is ``cache``. Raises OSError."""
    if not weights.files or _is_here(spec, weights):
        return spec
    placed = msgspec.structs.replace(spec, cache_dir=str(cache))
    folder = dequantized_folder(placed)
    with made_once(folder, weights.files) as partial:
        if partial is not None:
            for name, size in weights.files.items():
                _fetch(partial / name, size, lambda offset, name=name: read(name, offset))
            note_contents(partial)
    if weights.is_dequantized:
        return placed
    base = msgspec.structs.replace(spec.base, source=str(folder))
    return msgspec.structs.replace(placed, base=base)


def _is_here(spec: TrainingSpec, weights: Weights) -> bool:
    """Files of the gateway's sizes, where the gateway has them: others were never copied whole, or
    are another copy."""
    folder = find_dequantized(spec) if weights.is_dequantized else Path(spec.base.source)
    try:
        return folder is not None and sizes_of(folder) == weights.files
    except OSError:
        return False


def _fetch(file: Path, size: int, read: Callable[[int], bytes]) -> None:
    with file.open("wb") as out:
        while out.tell() < size:
            piece = read(out.tell())
            if not piece:
                raise OSError(f"{file.name} became shorter while it was read")
            out.write(piece)
