"""A sentence embedding model: tokenizer, ONNX session and mean pooling over the tokens.

Tokens are counted without the two special ones ([CLS], [SEP]) that frame every window. A text
longer than a window is split into windows, and their vectors are averaged by their tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from outcrop.engines.protocol import InputTooLong
from outcrop.generation import Truncate

# all-MiniLM-L6-v2 was trained on windows of 256 tokens, the special ones included.
WINDOW_TOKENS = 256

# onnxruntime's stubs are partial: its values are typed where they enter.
_runtime: Any = onnxruntime

Window = list[int]
Floats = NDArray[np.float32]


class SentenceModel:
    def __init__(self, model: Path, tokenizer: Path, threads: int) -> None:
        options = _runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A thread that waits by spinning would take the CPU from the text engines.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = _runtime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self.dimensions = int(self._session.get_outputs()[0].shape[-1])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        frame = self._tokenizer.encode("").ids
        if len(frame) != 2:
            raise ValueError(f"{tokenizer} does not frame a text with two special tokens")
        self._first, self._last = frame

    def tokenize(self, text: str, max_tokens: int, truncate: Truncate) -> Window:
        """The text's tokens, cut to ``max_tokens`` as ``truncate`` says."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) <= max_tokens:
            return ids
        if truncate == "none":
            raise InputTooLong(max_tokens, len(ids))
        return ids[:max_tokens] if truncate == "end" else ids[len(ids) - max_tokens :]

    def windows(self, ids: Window) -> list[Window]:
        """At least one: a text without tokens is a window of the special ones alone."""
        size = WINDOW_TOKENS - 2
        return [ids[start : start + size] for start in range(0, len(ids), size)] or [[]]

    def run(self, windows: Sequence[Window]) -> Floats:
        """The mean of each window's token vectors, special tokens included, as it was trained."""
        framed = [[self._first, *window, self._last] for window in windows]
        shape = (len(framed), max(len(ids) for ids in framed))
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, tokens in enumerate(framed):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        values = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
        }
        given = {name: value for name, value in values.items() if name in self._inputs}
        states = cast(Floats, self._session.run(None, given)[0])
        weights = mask[:, :, None].astype(np.float32)
        return (states * weights).sum(axis=1) / weights.sum(axis=1)
