"""A LoRA adapter as PEFT saves it, made into the GGUF file that llama.cpp loads.

What llama.cpp could not compute as PEFT does is refused: an adapter never acts in part. Follows
https://github.com/ggml-org/llama.cpp/blob/master/convert_lora_to_gguf.py and, for how the rows of
queries and keys lie, convert_hf_to_gguf.py beside it.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BufferedWriter, BytesIO
from typing import Any, Final

import gguf
import msgspec
import numpy as np
import safetensors
from gguf.gguf_writer import WriterState
from numpy.typing import NDArray

from outcrop.training.spec import PEFT_CONFIG, PEFT_WEIGHTS

Weights = NDArray[np.float32]

# By the ``model_type`` of Transformers' configurations. Gemma 2 is missing: it caps the scores of
# its attention, which the attention that bases are loaded with (``sdpa``) cannot.
ARCHITECTURES: Final[Mapping[str, gguf.MODEL_ARCH]] = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma": gguf.MODEL_ARCH.GEMMA,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
    "phi3": gguf.MODEL_ARCH.PHI3,
}
# llama.cpp rotates neighbours where Transformers rotates the two halves of a head.
_PERMUTED: Final = frozenset({gguf.MODEL_ARCH.LLAMA})
_NAME: Final = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
# Settings of PEFT under which the two matrices are not all there is, and what they are without.
_REFUSED: Final[Mapping[str, str]] = {
    "use_dora": "its magnitudes (DoRA)",
    "modules_to_save": "whole layers (modules_to_save)",
    "lora_bias": "biases of its own (lora_bias)",
    "fan_in_fan_out": "transposed weights (fan_in_fan_out)",
    "layer_replication": "layers used twice (layer_replication)",
    "rank_pattern": "a rank for each layer (rank_pattern)",
    "alpha_pattern": "an alpha for each layer (alpha_pattern)",
    "trainable_token_indices": "tokens of its own (trainable_token_indices)",
    "target_parameters": "parameters that are no layers (target_parameters)",
    "alora_invocation_tokens": "tokens that invoke it (alora_invocation_tokens)",
    "use_qalora": "quantized groups (use_qalora)",
    "use_bdlora": "blocks (use_bdlora)",
    "arrow_config": "a router (arrow_config)",
    "kasa_config": "singular values (kasa_config)",
    "monteclora_config": "samples (monteclora_config)",
    "velora_config": "projections (velora_config)",
}
# Others change the base's own weights before they train.
_STARTS: Final = (True, False, "gaussian", "eva")


# As ``Any``, since it has no types.
_safetensors: Any = safetensors


class AdapterRefused(Exception):
    """It is no adapter that llama.cpp can serve; the text says why."""


@dataclass(frozen=True, slots=True)
class BaseShape:
    """``model_type`` is Transformers' word for the architecture."""

    model_type: str
    layers: int
    heads: int
    kv_heads: int


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    peft_type: str
    r: int
    lora_alpha: float
    use_rslora: bool = False
    bias: str = "none"
    init_lora_weights: bool | str = True


def shape_of_config(config: Mapping[str, Any]) -> BaseShape:
    """Of the base's own configuration (``config.to_dict()``). Raises ``AdapterRefused``."""
    try:
        heads = int(config["num_attention_heads"])
        return BaseShape(
            model_type=str(config["model_type"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AdapterRefused(f"the base's configuration lacks {error}") from error


def to_gguf(peft: Mapping[str, bytes], base: BaseShape) -> bytes:
    """``peft`` is files by name. Raises ``AdapterRefused``."""
    architecture = ARCHITECTURES.get(base.model_type)
    if architecture is None:
        raise AdapterRefused(f"adapters of the architecture {base.model_type!r} are not known here")
    config = _read_config(peft)
    pairs = _pairs(_read_tensors(peft), config.r)
    names = gguf.get_tensor_name_map(architecture, base.layers)
    writer = gguf.GGUFWriter(path=None, arch=gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(config))
    tensors: list[Weights] = []
    for module, (down, up) in sorted(pairs.items()):
        tensor = names.get_name(module)
        if tensor is None:
            raise AdapterRefused(f"the architecture {base.model_type!r} has no layer {module!r}")
        if architecture in _PERMUTED:
            up = _permuted(module, up, base)
        writer.add_tensor(f"{tensor}.weight.lora_a", down)
        writer.add_tensor(f"{tensor}.weight.lora_b", up)
        tensors += [down, up]
    return _written(writer, tensors)


def _read_config(peft: Mapping[str, bytes]) -> _Config:
    try:
        raw = msgspec.json.decode(peft[PEFT_CONFIG], type=dict[str, Any])
        config = msgspec.convert(raw, _Config)
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AdapterRefused(f"{PEFT_CONFIG} cannot be read: {error}") from error
    if config.peft_type != "LORA" or config.r < 1 or not math.isfinite(config.lora_alpha):
        raise AdapterRefused(f"{PEFT_CONFIG} is not that of a LoRA adapter")
    for key, what in _REFUSED.items():
        if raw.get(key):
            raise AdapterRefused(f"the adapter has {what}, which llama.cpp does not compute")
    if config.bias != "none":
        raise AdapterRefused(f"the adapter trained biases ({config.bias}), which it lacks here")
    if config.init_lora_weights not in _STARTS:
        raise AdapterRefused(
            f"the adapter belongs to weights changed by {config.init_lora_weights}, not to its base"
        )
    return config


def _alpha(config: _Config) -> float:
    """llama.cpp multiplies by alpha over rank; rank-stabilized ones by alpha over its root."""
    return config.lora_alpha * (math.sqrt(config.r) if config.use_rslora else 1.0)


def _read_tensors(peft: Mapping[str, bytes]) -> dict[str, Weights]:
    try:
        entries: list[tuple[str, dict[str, Any]]] = _safetensors.deserialize(peft[PEFT_WEIGHTS])
        return {name: _array(entry) for name, entry in entries}
    except (KeyError, safetensors.SafetensorError, ValueError) as error:
        raise AdapterRefused(f"{PEFT_WEIGHTS} cannot be read: {error}") from error


def _array(entry: Mapping[str, Any]) -> Weights:
    data, kind = bytes(entry["data"]), str(entry["dtype"])
    if kind == "BF16":
        # The upper half of a 32-bit number.
        flat = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in ("F16", "F32", "F64"):
        flat = np.frombuffer(data, f"<f{int(kind[1:]) // 8}").astype(np.float32)
    else:
        raise ValueError(f"numbers of kind {kind}")
    return flat.reshape(entry["shape"])


def _pairs(tensors: Mapping[str, Weights], rank: int) -> dict[str, tuple[Weights, Weights]]:
    """The two matrices of each layer: rank by inputs, outputs by rank."""
    found: dict[str, dict[str, Weights]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise AdapterRefused(f"the adapter's {name!r} is none of a LoRA layer's matrices")
        if not np.isfinite(tensor).all():
            raise AdapterRefused(f"the adapter's {name!r} holds values that are no numbers")
        found.setdefault(match[1], {})[match[2]] = tensor
    if not found:
        raise AdapterRefused("the adapter is empty")
    return {module: _pair(module, pair, rank) for module, pair in found.items()}


def _pair(module: str, pair: Mapping[str, Weights], rank: int) -> tuple[Weights, Weights]:
    down, up = pair.get("A"), pair.get("B")
    if down is None or up is None:
        raise AdapterRefused(f"the adapter has one matrix for {module!r} and not the other")
    if down.ndim != 2 or up.ndim != 2 or (down.shape[0], up.shape[1]) != (rank, rank):
        raise AdapterRefused(f"the adapter's matrices for {module!r} are not of rank {rank}")
    return down, up


def _permuted(module: str, up: Weights, base: BaseShape) -> Weights:
    if module.endswith(".q_proj"):
        heads = base.heads
    elif module.endswith(".k_proj"):
        heads = base.kv_heads
    else:
        return up
    rows, rank = up.shape
    if heads < 1 or rows % (2 * heads):
        raise AdapterRefused(f"the {rows} rows of {module!r} are not those of {heads} heads")
    halves = up.reshape(heads, 2, rows // heads // 2, rank)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, rank))


def _written(writer: gguf.GGUFWriter, tensors: Iterable[Weights]) -> bytes:
    """In memory: the writer itself puts tensors only into real files, and nothing plain goes to a
    disk."""
    buffer = BytesIO()
    writer.fout = [BufferedWriter(buffer)]
    writer.state = WriterState.EMPTY
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    buffer.write(_padding(buffer.tell()))
    for tensor in tensors:
        buffer.write(tensor.astype("<f4").tobytes())
        buffer.write(_padding(buffer.tell()))
    return buffer.getvalue()


def _padding(size: int) -> bytes:
    return bytes(-size % gguf.GGUF_DEFAULT_ALIGNMENT)
