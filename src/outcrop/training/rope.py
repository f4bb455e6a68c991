"""GGUF files whose rotary positions are scaled. Transformers reads their weights without the
scaling, and would train another model than llama.cpp serves: they are refused.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from outcrop.engines.gguf import read_header

_TENSORS: Final = re.compile(r"(?:blk\.\d+\.)?rope_(?:freqs|factors_long|factors_short)\.weight")
_TYPE: Final = "rope.scaling.type"
# Without a type llama.cpp divides positions by the factor; older files call it the second name.
_FACTORS: Final = ("rope.scaling.factor", "rope.scale_linear")
_PLAIN_TYPES: Final = ("", "none")
_LINEAR_TYPES: Final = ("", "linear")


def find_scaled_positions(file: Path) -> str | None:
    """Why the weights cannot be trained from this file, and what to do. Raises GgufError. Blocking:
    a large vocabulary takes tenths of a second."""
    header = read_header(file)
    tensor = next(filter(_TENSORS.fullmatch, header.tensors), None)
    said = tensor or _find_setting(header.metadata)
    if said is None:
        return None
    return (
        f"{file.name} scales its rotary positions ({said}). That scaling is not read from a GGUF "
        "file, and another model would be trained than is served. Name the same weights as a "
        "directory of Transformers or an ID of the hub ([training] bases)"
    )


def _find_setting(metadata: Mapping[str, Any]) -> str | None:
    architecture = metadata.get("general.architecture", "")
    kind = str(metadata.get(f"{architecture}.{_TYPE}", ""))
    if kind not in (*_PLAIN_TYPES, *_LINEAR_TYPES):
        return f"{architecture}.{_TYPE} = {kind}"
    if kind not in _LINEAR_TYPES:
        return None
    keys = (f"{architecture}.{name}" for name in _FACTORS)
    # 0 stands for none, as in llama.cpp.
    return next(
        (f"{key} = {metadata[key]:g}" for key in keys if metadata.get(key, 0) not in (0, 1)), None
    )
