"""The weights that a run trains on. A GGUF file is dequantized once, to the values that llama.cpp
computes with, and shared by all jobs on it: reading it takes half a minute."""

import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrop.engines.gguf import GgufError
from outcrop.training.checkpoints import write_whole
from outcrop.training.kept_folders import find_kept, hold, made_once, note_contents, prune
from outcrop.training.libraries import Libraries
from outcrop.training.rope import find_scaled_positions
from outcrop.training.spec import TrainingSpec

_FORM: Final = 1
"""Another one where what is written into a folder changes."""
_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.safetensors"
# What Transformers notes of where a model came from; the weights are plain numbers now.
_ORIGIN: Final = ("quantization_config", "_name_or_path")


class BaseBroken(Exception):
    """The base cannot be trained; the text says why."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """``dtype`` is PyTorch's, of the base's weights and of what is computed with them."""

    device: str
    dtype: Any


def choose_hardware(spec: TrainingSpec, libraries: Libraries) -> Hardware:
    """16 bits (bfloat16) where the processor multiplies them in hardware, else 32."""
    torch = libraries.torch
    has_cuda = bool(torch.cuda.is_available())
    if spec.device == "cuda" and not has_cuda:
        raise BaseBroken("The configuration asks for training on CUDA, and there is none here.")
    if has_cuda and spec.device != "cpu":
        is_16 = bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return Hardware("cuda", torch.bfloat16 if is_16 else torch.float32)
    has_tiles = bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return Hardware("cpu", torch.bfloat16 if has_tiles else torch.float32)


class Base:
    """``model`` is on its device. Its weights may be rounded for training."""

    def __init__(self, model: Any, exact: Path | None, libraries: Libraries) -> None:
        self.model = model
        self._parameters = dict[str, Any](model.named_parameters())
        self._exact = exact
        self._libraries = libraries

    @contextmanager
    def exact(self) -> Generator[None]:
        """Within, the weights are those that llama.cpp computes with, to the last bit. They are
        pages of their file, which the kernel drops when it needs the memory."""
        if self._exact is None:
            yield
            return
        weights = self._libraries.tensors.load_file(self._exact)
        rounded = {name: parameter.data for name, parameter in self._parameters.items()}
        try:
            self._put(weights)
            yield
        finally:
            self._put(rounded)

    def _put(self, weights: Mapping[str, Any]) -> None:
        for name, parameter in self._parameters.items():
            parameter.data = weights[name]


def load_base(spec: TrainingSpec, libraries: Libraries, hardware: Hardware) -> Base:
    """Raises BaseBroken."""
    folder = _dequantized_where_apt(spec, libraries)
    used = folder or Path(spec.base.source)
    if used.parent == _kept(spec):
        hold(used)
    prune(_kept(spec))
    try:
        model = libraries.transformers.AutoModelForCausalLM.from_pretrained(
            folder or spec.base.source, dtype=hardware.dtype, attn_implementation="sdpa"
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise BaseBroken(f"Transformers cannot load {spec.base.source}: {error}") from error
    is_rounded = hardware.dtype != libraries.torch.float32 and hardware.device == "cpu"
    exact = folder / _WEIGHTS if folder is not None and is_rounded else None
    return Base(model.to(hardware.device), exact, libraries)


def _dequantized_where_apt(spec: TrainingSpec, libraries: Libraries) -> Path | None:
    source = Path(spec.base.source)
    if source.is_dir():
        return None
    # A node of a cluster may have been sent what its own files cannot give.
    return dequantized(spec, libraries) if source.is_file() else find_dequantized(spec)


def dequantized_folder(spec: TrainingSpec) -> Path:
    """Where it is or would be."""
    name = hashlib.sha256(f"{_FORM}\n{spec.base.fingerprint}".encode()).hexdigest()[:32]
    return _kept(spec) / name


def _kept(spec: TrainingSpec) -> Path:
    return Path(spec.cache_dir) / "dequantized"


def find_dequantized(spec: TrainingSpec) -> Path | None:
    return find_kept(dequantized_folder(spec))


def dequantized(spec: TrainingSpec, libraries: Libraries) -> Path:
    """Of a GGUF file, made where it is not there. Raises BaseBroken."""
    _require_plain_positions(Path(spec.base.source))
    folder = dequantized_folder(spec)
    with made_once(folder) as partial:
        if partial is not None:
            _dequantize(Path(spec.base.source), partial, libraries)
            note_contents(partial)
    return folder


def _require_plain_positions(file: Path) -> None:
    try:
        scaled = find_scaled_positions(file)
    except (GgufError, OSError) as error:
        raise BaseBroken(f"{file.name} cannot be read: {error}") from error
    if scaled is not None:
        raise BaseBroken(f"{scaled}.")


def _dequantize(file: Path, folder: Path, libraries: Libraries) -> None:
    try:
        model = libraries.transformers.AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=libraries.torch.float32
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise BaseBroken(f"Transformers cannot read {file.name}: {error}") from error
    config = model.config.to_dict()
    for key in _ORIGIN:
        config.pop(key, None)
    write_whole(folder / _CONFIG, msgspec.json.encode(config, enc_hook=str))
    # Tied weights lie in memory once, and are written once: Transformers ties them again.
    seen = dict[int, str]()
    tensors = dict[str, Any]()
    for name, tensor in model.state_dict().items():
        if seen.setdefault(tensor.data_ptr(), name) == name:
            tensors[name] = tensor.contiguous()
    libraries.tensors.save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})
