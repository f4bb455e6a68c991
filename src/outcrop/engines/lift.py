"""Vectors of an engine's own dimension, lifted to the dimension a model is known for.

The lift is an isometry: every dot product, cosine and length stays what it was, to rounding.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from outcrop.engines.protocol import Unsupported

Vectors = NDArray[np.float32]


def lift(vectors: Vectors, dimensions: int, engine: str) -> Vectors:
    """``vectors`` (one a row) in ``dimensions`` ≥ their own; fewer is refused, not truncated."""
    own = vectors.shape[1]
    if dimensions < own:
        raise Unsupported("dimensions", dimensions, engine)
    if dimensions == own:
        return vectors
    return (vectors.astype(np.float64) @ basis(own, dimensions)).astype(np.float32)


def unit(vectors: Vectors) -> Vectors:
    """Each row at length 1; one of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


@lru_cache(maxsize=8)
def basis(own: int, dimensions: int) -> NDArray[np.float64]:
    """``own`` orthonormal rows of length ``dimensions``, the same on every machine and for ever.

    Rows are vectors of the cosine basis DCT-II, a closed form. Which ones, in which order, and the
    signs that spread a vector over all components come from SHA-256 of the two numbers.
    """
    seed = f"outcrop lift {own} {dimensions}"
    frequency = np.array(sorted(range(dimensions), key=lambda k: _hash(f"{seed} row {k}"))[:own])
    signs = np.array([1 - 2 * (_hash(f"{seed} sign {n}")[0] & 1) for n in range(dimensions)])
    # The angle is reduced in integers, so no machine's cosine sees a large argument.
    angle = np.outer(frequency, 2 * np.arange(dimensions) + 1) % (4 * dimensions)
    rows = np.cos(angle * (np.pi / (2 * dimensions))) * np.sqrt(2 / dimensions)
    rows[frequency == 0] *= np.sqrt(0.5)
    rows *= signs
    rows.setflags(write=False)
    return rows


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
