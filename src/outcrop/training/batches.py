"""Which examples a step trains on. Everything follows from the seed, the epoch and the lengths, so
a job that is taken up again needs to know its step alone.

Examples of like length share a batch, so that little is padded; which ones do is drawn anew in
every epoch, and so is the order of the batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outcrop.training.examples import Counts, Examples

Batch = NDArray[np.int64]
"""Indices of examples."""

_WINDOW_BATCHES: Final = 16
"""Examples are sorted by length within so many batches: fewer pad more, more mix less."""


@dataclass(frozen=True, slots=True)
class Padded:
    """Some examples side by side. A position is trained where ``targets`` holds the token that
    follows it; ``positions`` are those, counted through all rows."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    positions: NDArray[np.int64]
    targets: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        return int(self.mask.sum())

    @property
    def is_ragged(self) -> bool:
        return self.tokens < self.mask.size


def steps_of_epoch(examples: int, batch_size: int) -> int:
    return -(-examples // batch_size)


def epoch_batches(lengths: Counts, batch_size: int, seed: int, epoch: int) -> list[Batch]:
    """Every example once; only one batch may be smaller than ``batch_size``."""
    drawn = np.random.default_rng([seed, epoch])
    order = drawn.permutation(len(lengths))
    window = batch_size * _WINDOW_BATCHES
    batches: list[Batch] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    return [batches[index] for index in drawn.permutation(len(batches))]


def share(batch: Batch, rank: int, size: int) -> Batch:
    """What one of several workers trains on: of like lengths as the others' shares."""
    return batch[rank::size]


def split(examples: Examples, batch: Batch, most_tokens: int) -> Iterator[Batch]:
    """Parts of a batch of at most so many tokens with their padding, or one example."""
    order = batch[np.argsort(examples.lengths[batch], kind="stable")]
    start = 0
    for end in range(1, len(order) + 1):
        longest_next = int(examples.lengths[order[end]]) if end < len(order) else 0
        if end == len(order) or longest_next * (end + 1 - start) > most_tokens:
            yield order[start:end]
            start = end


def pad(examples: Examples, part: Batch) -> Padded:
    """Padding is token 0 behind the end: masked, and never trained."""
    width = int(examples.lengths[part].max())
    ids = np.zeros((len(part), width), dtype=np.int64)
    mask = np.zeros((len(part), width), dtype=np.int64)
    positions: list[NDArray[np.int64]] = []
    targets: list[NDArray[np.int64]] = []
    for row, index in enumerate(part):
        tokens = examples.tokens(int(index))
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        # The first token follows none.
        first = max(1, int(examples.prompts[index]))
        positions.append(np.arange(first - 1, len(tokens) - 1) + row * width)
        targets.append(tokens[first:].astype(np.int64))
    return Padded(ids, mask, np.concatenate(positions), np.concatenate(targets))


def trained_tokens(examples: Examples, batch: Batch) -> int:
    """Of how many tokens the loss is the mean."""
    return int((examples.lengths[batch] - np.maximum(1, examples.prompts[batch])).sum())
