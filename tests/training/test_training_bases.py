"""Which weights a run trains on."""

import warnings
from pathlib import Path

import pytest
from gguf_files import write_gguf
from tiny_bases import write_base
from training_data import spec_of

from outcrop.training.bases import (
    Base,
    BaseBroken,
    Hardware,
    dequantized,
    dequantized_folder,
    load_base,
)
from outcrop.training.kept_folders import note_contents
from outcrop.training.libraries import load_libraries
from outcrop.training.spec import BaseWeights, TrainingSpec


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of Transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write_base(tmp_path_factory.mktemp("tiny"))


def load(spec: TrainingSpec) -> Base:
    libraries = load_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_base(spec, libraries, Hardware("cpu", libraries.torch.float32))


def test_a_directory_is_trained_whatever_was_made_of_a_file(tiny: Path, tmp_path: Path):
    base = BaseWeights(source=str(tiny), fingerprint="f")
    spec = spec_of(tmp_path / "train", base=base)
    folder = dequantized_folder(spec)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    note_contents(folder)
    assert load(spec).model.config.hidden_size == 32


def test_a_file_whose_positions_are_scaled_is_not_trained(tmp_path: Path):
    file = write_gguf(tmp_path / "base.gguf", {}, ("rope_freqs.weight",))
    spec = spec_of(tmp_path / "train", base=BaseWeights(source=str(file), fingerprint="f"))
    with pytest.raises(BaseBroken, match="scales its rotary positions"):
        load(spec)
    with pytest.raises(BaseBroken, match=r"\[training\] bases"):
        dequantized(spec, load_libraries())


def test_a_file_that_is_no_model_is_told(tmp_path: Path):
    file = tmp_path / "base.gguf"
    file.write_bytes(b"GGUF")
    spec = spec_of(tmp_path / "train", base=BaseWeights(source=str(file), fingerprint="f"))
    with pytest.raises(BaseBroken, match=r"base\.gguf cannot be read: .* is not a GGUF model"):
        dequantized(spec, load_libraries())
