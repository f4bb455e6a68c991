"""Files whose rotary positions are scaled are told from those whose are not."""

from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf

from outcrop.engines.gguf import GgufError
from outcrop.training.rope import find_scaled_positions

PLAIN: list[dict[str, Any]] = [
    {},
    {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 8.0},
    {"llama.rope.scaling.type": "linear"},
    {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 1.0},
    {"llama.rope.scaling.factor": 0.0},
    {"llama.rope.freq_base": 500000.0},
    {"other.rope.scaling.type": "yarn"},
]
SCALED: list[tuple[dict[str, Any], str]] = [
    ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type = yarn"),
    ({"llama.rope.scaling.type": "longrope"}, "llama.rope.scaling.type = longrope"),
    (
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 8.0},
        "llama.rope.scaling.factor = 8",
    ),
    ({"llama.rope.scaling.factor": 2.5}, "llama.rope.scaling.factor = 2.5"),
    ({"llama.rope.scale_linear": 4.0}, "llama.rope.scale_linear = 4"),
]


@pytest.mark.parametrize("said", PLAIN)
def test_positions_that_are_not_scaled_are_fine(tmp_path: Path, said: dict[str, Any]):
    file = write_gguf(tmp_path / "base.gguf", said, ("output.weight", "blk.0.attn_q.weight"))
    assert find_scaled_positions(file) is None


@pytest.mark.parametrize(("said", "named"), SCALED)
def test_a_scaling_is_told_by_its_setting(tmp_path: Path, said: dict[str, Any], named: str):
    found = find_scaled_positions(write_gguf(tmp_path / "base.gguf", said))
    assert found is not None
    assert found.startswith(f"base.gguf scales its rotary positions ({named}).")
    assert "[training] bases" in found


@pytest.mark.parametrize(
    "tensor",
    [
        *("rope_freqs.weight", "blk.0.rope_freqs.weight"),
        *("rope_factors_long.weight", "rope_factors_short.weight"),
    ],
)
def test_a_scaling_is_told_by_its_tensor(tmp_path: Path, tensor: str):
    found = find_scaled_positions(write_gguf(tmp_path / "b.gguf", {}, ("output.weight", tensor)))
    assert found is not None
    assert f"({tensor})" in found


def test_a_file_that_ends_among_the_names_of_its_tensors_is_no_model(tmp_path: Path):
    file = write_gguf(tmp_path / "b.gguf", {}, ("output.weight",))
    content = file.read_bytes()
    file.write_bytes(content[: content.index(b"output.weight") + 5])
    with pytest.raises(GgufError, match="is not a GGUF model"):
        find_scaled_positions(file)
