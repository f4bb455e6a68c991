"""PyTorch, Transformers, PEFT and safetensors: imported by name, because they are large, carry few
types and belong to the extra ``train``. Nothing but a training process may ask for them."""

import importlib
import os
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

_SETTINGS: Final = {
    # Threads that spin while they wait take the CPU from whoever has the work.
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


class LibraryMissing(Exception):
    """The text names what is missing and how it is installed."""


@dataclass(frozen=True, slots=True)
class Libraries:
    torch: Any
    transformers: Any
    peft: Any
    tensors: Any
    """``safetensors.torch``."""


@cache
def load_libraries() -> Libraries:
    """Takes seconds. Raises LibraryMissing."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        # Those first that others ask for: the one that is missing is then told by its name.
        torch, _ = importlib.import_module("torch"), importlib.import_module("gguf")
        tensors = importlib.import_module("safetensors.torch")
        transformers = importlib.import_module("transformers")
        peft = importlib.import_module("peft")
    except ImportError as error:
        raise LibraryMissing(
            f"Training needs libraries that are not installed here ({error}). "
            "Install them with: pip install 'outcrop[train]'"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    return Libraries(torch, transformers, peft, tensors)
