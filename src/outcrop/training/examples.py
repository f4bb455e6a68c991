"""Tokens of a data file, kept compactly in a file that has no name: training data are larger than
what a process should hold, and none may outlive it."""

import hashlib
import tempfile
from array import array
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outcrop.training.datasets import Example

Tokens = NDArray[np.uint32]
Counts = NDArray[np.int64]

_BUFFERED: Final = 2**18


class Examples:
    """A sequence of examples. ``lengths`` counts all tokens of each, ``prompts`` those in front of
    what is learnt; ``all_tokens`` are those of all examples, one after the other."""

    def __init__(self, tokens: Tokens, lengths: Counts, prompts: Counts) -> None:
        self.all_tokens = tokens
        self._starts = np.cumsum(lengths) - lengths
        self.lengths = lengths
        self.prompts = prompts

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def token_count(self) -> int:
        return int(self.lengths.sum())

    def digest(self) -> str:
        """Tells these examples from any others."""
        state = hashlib.blake2b(self.lengths.tobytes(), digest_size=16)
        state.update(self.prompts.tobytes())
        state.update(np.ascontiguousarray(self.all_tokens).data)
        return state.hexdigest()

    def tokens(self, index: int) -> Tokens:
        start = self._starts[index]
        return self.all_tokens[start : start + self.lengths[index]]


def collect(examples: Iterable[Example], folder: str) -> Examples:
    """Reads them all; only the counts stay in memory."""
    lengths, prompts, buffer = array("q"), array("q"), array("I")
    with tempfile.TemporaryFile(dir=folder) as file:
        for example in examples:
            buffer.extend(example.prompt)
            buffer.extend(example.completion)
            lengths.append(len(example.prompt) + len(example.completion))
            prompts.append(len(example.prompt))
            if len(buffer) >= _BUFFERED:
                buffer.tofile(file)
                del buffer[:]
        buffer.tofile(file)
        file.flush()
        # The mapping outlives the open file; an empty one cannot be mapped.
        tokens: Tokens = (
            np.memmap(file, dtype=np.uint32, mode="r")
            if sum(lengths)
            else np.zeros(0, dtype=np.uint32)
        )
    return Examples(tokens, np.array(lengths, dtype=np.int64), np.array(prompts, dtype=np.int64))
