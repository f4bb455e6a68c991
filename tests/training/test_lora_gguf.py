"""Adapters of PEFT as GGUF: what llama.cpp reads of them, and which are refused."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save

from outcrop.training.lora_gguf import AdapterRefused, BaseShape, shape_of_config, to_gguf

LAYERS, HEADS, KV_HEADS, HEAD, RANK = 2, 4, 2, 6, 3
WIDTH = HEADS * HEAD
BASE = BaseShape("llama", LAYERS, HEADS, KV_HEADS)
_PREFIX = "base_model.model.model.layers"
_GENERATOR = np.random.default_rng(1)

Tensors = dict[str, NDArray[Any]]


def pair(module: str, inputs: int, outputs: int, rank: int = RANK) -> Tensors:
    return {
        f"{_PREFIX}.{module}.lora_A.weight": _random(rank, inputs),
        f"{_PREFIX}.{module}.lora_B.weight": _random(outputs, rank),
    }


def _random(*shape: int) -> NDArray[np.float32]:
    return _GENERATOR.standard_normal(shape).astype(np.float32)


def adapter(tensors: Tensors, **settings: object) -> dict[str, bytes]:
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 6, **settings}
    return {
        "adapter_config.json": msgspec.json.encode(config),
        "adapter_model.safetensors": save(tensors),
    }


def read(data: bytes, folder: Path) -> gguf.GGUFReader:
    (folder / "adapter.gguf").write_bytes(data)
    return gguf.GGUFReader(folder / "adapter.gguf")


def contents(reader: gguf.GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    assert field is not None
    return field.contents()


def by_name(reader: gguf.GGUFReader) -> Tensors:
    return {tensor.name: tensor.data for tensor in reader.tensors}


def test_what_llama_cpp_asks_for_is_said(tmp_path: Path) -> None:
    reader = read(to_gguf(adapter(pair("0.mlp.up_proj", WIDTH, 40)), BASE), tmp_path)
    said = {
        key: contents(reader, key)
        for key in ("general.type", "general.architecture", "adapter.type")
    }
    assert said == {
        "general.type": "adapter",
        "general.architecture": "llama",
        "adapter.type": "lora",
    }
    assert contents(reader, "adapter.lora.alpha") == 6.0


def test_rank_stabilized_adapters_are_as_strong_as_peft_makes_them(tmp_path: Path) -> None:
    files = adapter(pair("0.mlp.up_proj", WIDTH, 40), use_rslora=True)
    alpha = contents(read(to_gguf(files, BASE), tmp_path), "adapter.lora.alpha")
    assert alpha / RANK == pytest.approx(6 / math.sqrt(RANK))


@pytest.mark.parametrize(
    ("module", "tensor"),
    [
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ],
)
def test_matrices_keep_their_values_under_llama_cpps_names(
    module: str, tensor: str, tmp_path: Path
) -> None:
    tensors = pair(f"1.{module}", WIDTH, 12)
    written = by_name(read(to_gguf(adapter(tensors), BASE), tmp_path))
    assert set(written) == {f"blk.1.{tensor}.weight.lora_a", f"blk.1.{tensor}.weight.lora_b"}
    down, up = tensors.values()
    np.testing.assert_array_equal(written[f"blk.1.{tensor}.weight.lora_a"], down)
    np.testing.assert_array_equal(written[f"blk.1.{tensor}.weight.lora_b"], up)


@pytest.mark.parametrize(("kind", "heads"), [("q", HEADS), ("k", KV_HEADS)])
def test_rows_of_queries_and_keys_lie_in_neighbouring_pairs(
    kind: str, heads: int, tmp_path: Path
) -> None:
    tensors = pair(f"0.self_attn.{kind}_proj", WIDTH, heads * HEAD)
    written = by_name(read(to_gguf(adapter(tensors), BASE), tmp_path))
    down, up = tensors.values()
    np.testing.assert_array_equal(written[f"blk.0.attn_{kind}.weight.lora_a"], down)
    # Row i of a head's first half and row i of its second are neighbours.
    order = [
        head * HEAD + half * HEAD // 2 + row
        for head in range(heads)
        for row in range(HEAD // 2)
        for half in range(2)
    ]
    np.testing.assert_array_equal(written[f"blk.0.attn_{kind}.weight.lora_b"], up[order])


def test_architectures_that_rotate_halves_keep_their_rows(tmp_path: Path) -> None:
    tensors = pair("0.self_attn.q_proj", WIDTH, WIDTH)
    data = to_gguf(adapter(tensors), BaseShape("qwen2", LAYERS, HEADS, KV_HEADS))
    reader = read(data, tmp_path)
    assert contents(reader, "general.architecture") == "qwen2"
    np.testing.assert_array_equal(
        by_name(reader)["blk.0.attn_q.weight.lora_b"], list(tensors.values())[1]
    )


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("mistral", "llama"),
        ("qwen3", "qwen3"),
        ("gemma", "gemma"),
        ("gemma3_text", "gemma3"),
    ],
)
def test_other_known_architectures_are_named_as_llama_cpp_does(
    model_type: str, architecture: str, tmp_path: Path
) -> None:
    base = BaseShape(model_type, LAYERS, HEADS, KV_HEADS)
    reader = read(to_gguf(adapter(pair("0.mlp.down_proj", 40, WIDTH)), base), tmp_path)
    assert contents(reader, "general.architecture") == architecture
    assert "blk.0.ffn_down.weight.lora_a" in by_name(reader)


def test_half_precision_is_read(tmp_path: Path) -> None:
    tensors = {
        name: tensor.astype(np.float16) for name, tensor in pair("0.mlp.up_proj", WIDTH, 40).items()
    }
    written = by_name(read(to_gguf(adapter(tensors), BASE), tmp_path))
    np.testing.assert_array_equal(
        written["blk.0.ffn_up.weight.lora_a"], next(iter(tensors.values())).astype(np.float32)
    )


def test_brain_floats_are_read(tmp_path: Path) -> None:
    values = {f"{_PREFIX}.0.mlp.up_proj.lora_{one}.weight": [[1.0, -2.5]] for one in "A"}
    values |= {f"{_PREFIX}.0.mlp.up_proj.lora_B.weight": [[0.5], [0.0]]}
    header: dict[str, Any] = {}
    body = b""
    for name, rows in values.items():
        data = (np.array(rows, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
        shape = [len(rows), len(rows[0])]
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
        body += data
    head = msgspec.json.encode(header)
    files = adapter({}, r=1)
    files["adapter_model.safetensors"] = len(head).to_bytes(8, "little") + head + body
    written = by_name(read(to_gguf(files, BASE), tmp_path))
    assert written["blk.0.ffn_up.weight.lora_a"].tolist() == [[1.0, -2.5]]
    assert written["blk.0.ffn_up.weight.lora_b"].tolist() == [[0.5], [0.0]]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "biases"),
        ({"lora_bias": True}, "lora_bias"),
        ({"fan_in_fan_out": True}, "transposed"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"peft_type": "IA3"}, "not that of a LoRA"),
        ({"r": 0}, "not that of a LoRA"),
        ({"r": "3"}, "cannot be read"),
        ({"lora_alpha": None}, "cannot be read"),
    ],
)
def test_what_would_act_in_part_is_refused(changed: dict[str, object], text: str) -> None:
    files = adapter(pair("0.mlp.up_proj", WIDTH, 40), **changed)
    with pytest.raises(AdapterRefused, match=text):
        to_gguf(files, BASE)


def _one_matrix() -> Tensors:
    return dict(list(pair("0.mlp.up_proj", WIDTH, 40).items())[:1])


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ({}, "empty"),
        (_one_matrix(), "not the other"),
        (pair("0.mlp.up_proj", WIDTH, 40, rank=RANK + 1), "not of rank 3"),
        (pair("9.mlp.up_proj", WIDTH, 40), "has no layer"),
        (pair("0.mlp.experts", WIDTH, 40), "has no layer"),
        (pair("0.self_attn.q_proj", WIDTH, WIDTH + 1), "rows"),
        ({f"{_PREFIX}.0.mlp.up_proj.lora_magnitude_vector": _random(3)}, "none of a LoRA"),
        ({"base_model.model.lm_head.weight": _random(3, 3)}, "none of a LoRA"),
        (
            {name: one * np.float32("nan") for name, one in pair("0.mlp.up_proj", 4, 4).items()},
            "no numbers",
        ),
        (
            {name: one.astype(np.int32) for name, one in pair("0.mlp.up_proj", 4, 4).items()},
            "cannot be read",
        ),
    ],
)
def test_matrices_that_are_not_a_layers_are_refused(tensors: Tensors, text: str) -> None:
    with pytest.raises(AdapterRefused, match=text):
        to_gguf(adapter(tensors), BASE)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(AdapterRefused, match="'mamba'"):
        to_gguf(adapter(pair("0.mlp.up_proj", WIDTH, 40)), BaseShape("mamba", 2, 4, 4))


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(missing: str) -> None:
    files = adapter(pair("0.mlp.up_proj", WIDTH, 40))
    del files[missing]
    with pytest.raises(AdapterRefused, match=missing):
        to_gguf(files, BASE)


@settings(max_examples=200)
@given(st.sampled_from(["adapter_config.json", "adapter_model.safetensors"]), st.data())
def test_damaged_files_are_refused_or_read(name: str, data: st.DataObject) -> None:
    files = adapter(pair("0.mlp.up_proj", 4, 4))
    whole = bytearray(files[name])
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    files[name] = bytes(whole)
    with suppress(AdapterRefused):
        assert to_gguf(files, BASE).startswith(b"GGUF")


def test_the_shape_is_read_from_the_bases_configuration() -> None:
    config = {"model_type": "llama", "num_hidden_layers": 30, "num_attention_heads": 9}
    assert shape_of_config(config) == BaseShape("llama", 30, 9, 9)
    assert shape_of_config({**config, "num_key_value_heads": 3}).kv_heads == 3
    with pytest.raises(AdapterRefused, match="num_attention_heads"):
        shape_of_config({"model_type": "llama"})
