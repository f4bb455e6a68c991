"""The longest text that weights were trained for, as their own files tell."""

from pathlib import Path
from typing import Any, Final

import msgspec

# Its own types name one that it leaves open.
from huggingface_hub import hf_hub_download  # pyright: ignore[reportUnknownVariableType]

from outcrop.engines.gguf import GgufError, read_gguf

_CONFIG: Final = "config.json"


class _Text(msgspec.Struct, frozen=True):
    max_position_embeddings: int | None = None


class _Config(_Text, frozen=True):
    """Models that also see have a part for what they write."""

    text_config: _Text | None = None


def find_context(source: str) -> int | None:
    """In tokens; None where nothing is said. Of a GGUF file, a directory of Transformers or an ID
    of the hub."""
    path = Path(source)
    try:
        if path.is_file():
            return read_gguf(path).trained_context or None
        file: Any = path / _CONFIG if path.is_dir() else hf_hub_download(source, _CONFIG)
        config = msgspec.json.decode(Path(file).read_bytes(), type=_Config)
    except (GgufError, OSError, ValueError, msgspec.DecodeError, RecursionError):
        # What cannot be read is told of when the weights are loaded.
        return None
    text = config.text_config or config
    return config.max_position_embeddings or text.max_position_embeddings
