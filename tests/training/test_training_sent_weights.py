"""A node of a cluster trains on the gateway's weights: its own of that name are looked at first."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_bases import write_base
from training_data import spec_of

from outcrop.training.bases import Hardware, dequantized_folder, load_base
from outcrop.training.kept_folders import note_contents, sizes_of
from outcrop.training.libraries import load_libraries
from outcrop.training.sent_weights import Weights, place_base, read_piece, weights_of
from outcrop.training.spec import BaseWeights, TrainingSpec

FILES = {"config.json": b"{}", "model-00001.safetensors": b"one", "model-00002.safetensors": b"two"}


class Gateway:
    """Has a directory of Transformers, or what was made of a GGUF file."""

    def __init__(self, folder: Path, *, is_dequantized: bool = False) -> None:
        self.folder = folder
        self.weights = Weights(str(folder), sizes_of(folder), is_dequantized=is_dequantized)
        self.read: list[str] = []

    def piece(self, name: str, offset: int) -> bytes:
        self.read.append(name)
        return read_piece(self.folder / name, offset)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(written(tmp_path / "gateway"))


def written(folder: Path, names: Sequence[str] = tuple(FILES)) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(FILES[name])
    return folder


def spec(tmp_path: Path, source: Path) -> TrainingSpec:
    base = BaseWeights(source=str(source), fingerprint="f")
    return spec_of(tmp_path / "job" / "train", base=base)


def contents(placed: TrainingSpec) -> dict[str, bytes]:
    folder = Path(placed.base.source)
    return {name: (folder / name).read_bytes() for name in sizes_of(folder)}


def test_weights_that_are_there_are_not_sent(gateway: Gateway, tmp_path: Path):
    here = spec(tmp_path, written(tmp_path / "node"))
    assert place_base(here, gateway.weights, gateway.piece, tmp_path / "cache") is here
    assert gateway.read == []


@pytest.mark.parametrize("fault", ["missing", "cut off", "a file too few", "a file too many"])
def test_weights_that_are_not_the_gateway_s_are_sent(gateway: Gateway, tmp_path: Path, fault: str):
    node = tmp_path / "node"
    if fault != "missing":
        written(node)
    if fault == "cut off":
        (node / "model-00002.safetensors").write_bytes(b"t")
    if fault == "a file too few":
        (node / "model-00002.safetensors").unlink()
    if fault == "a file too many":
        (node / "adapter_config.json").write_bytes(b"{}")
    placed = place_base(spec(tmp_path, node), gateway.weights, gateway.piece, tmp_path / "cache")
    assert contents(placed) == FILES
    assert sorted(gateway.read) == sorted(FILES)
    place_base(spec(tmp_path, node), gateway.weights, gateway.piece, tmp_path / "cache")
    assert len(gateway.read) == len(FILES)


def test_what_a_node_keeps_is_sent_anew_where_the_gateway_s_is_another(
    gateway: Gateway, tmp_path: Path
):
    asked = spec(tmp_path, tmp_path / "missing")
    place_base(asked, gateway.weights, gateway.piece, tmp_path / "cache")
    (gateway.folder / "model-00001.safetensors").write_bytes(b"another one")
    changed = Gateway(gateway.folder)
    placed = place_base(asked, changed.weights, changed.piece, tmp_path / "cache")
    assert contents(placed) == {**FILES, "model-00001.safetensors": b"another one"}


@pytest.mark.parametrize("is_same", [True, False])
def test_what_was_made_of_a_file_is_looked_at_too(gateway: Gateway, tmp_path: Path, is_same: bool):
    asked = spec(tmp_path, tmp_path / "base.gguf")
    own = written(dequantized_folder(asked), tuple(FILES) if is_same else ("config.json",))
    note_contents(own)
    sender = Gateway(gateway.folder, is_dequantized=True)
    placed = place_base(asked, sender.weights, sender.piece, tmp_path / "cache")
    assert bool(sender.read) != is_same
    assert sizes_of(dequantized_folder(placed)) == sender.weights.files


def test_a_directory_that_was_sent_is_trained_as_one(tmp_path: Path):
    libraries = load_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny = write_base(_made(tmp_path / "tiny"))
        # As larger models are saved: no file is called as the one that is made of a GGUF file.
        model = libraries.transformers.AutoModelForCausalLM.from_pretrained(tiny)
        (tiny / "model.safetensors").unlink()
        model.save_pretrained(tiny, max_shard_size="20KB")
        asked = spec(tmp_path, tiny)
        weights = weights_of(asked, libraries)
        assert "model.safetensors" not in weights.files
        elsewhere = spec(tmp_path, tmp_path / "missing")
        placed = place_base(elsewhere, weights, Gateway(tiny).piece, tmp_path / "cache")
        base = load_base(placed, libraries, Hardware("cpu", libraries.torch.bfloat16))
    with base.exact():
        assert base.model.dtype == libraries.torch.bfloat16


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
