"""Which weights a run trains on."""

from pathlib import Path

import pytest
from gguf_files import write_gguf
from training_data import spec_of

from outcrop.training.bases import BaseBroken, Hardware, dequantized, load_base
from outcrop.training.libraries import load_libraries
from outcrop.training.spec import BaseWeights


def test_a_file_whose_positions_are_scaled_is_not_trained(tmp_path: Path):
    file = write_gguf(tmp_path / "base.gguf", {}, ("rope_freqs.weight",))
    spec = spec_of(tmp_path / "train", base=BaseWeights(source=str(file), fingerprint="f"))
    libraries = load_libraries()
    with pytest.raises(BaseBroken, match="scales its rotary positions"):
        load_base(spec, libraries, Hardware("cpu", libraries.torch.float32))
    with pytest.raises(BaseBroken, match=r"\[training\] bases"):
        dequantized(spec, libraries)


def test_a_file_that_is_no_model_is_told(tmp_path: Path):
    file = tmp_path / "base.gguf"
    file.write_bytes(b"GGUF")
    spec = spec_of(tmp_path / "train", base=BaseWeights(source=str(file), fingerprint="f"))
    with pytest.raises(BaseBroken, match=r"base\.gguf cannot be read: .* is not a GGUF model"):
        dequantized(spec, load_libraries())
