"""GGUF files that have a header and tensors of no use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np


def write_gguf(file: Path, said: Mapping[str, Any], tensors: tuple[str, ...] = ()) -> Path:
    writer = gguf.GGUFWriter(file, "llama")
    for key, value in said.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_uint32(key, value)
    for tensor in tensors:
        writer.add_tensor(tensor, np.ones((2, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
