"""The lift to a higher dimension: an isometry, and the same one for ever."""

import numpy as np
import pytest
from numpy.typing import NDArray

from outcrop.engines.lift import Vectors, basis, lift
from outcrop.engines.protocol import Unsupported


def vectors() -> Vectors:
    drawn = np.random.default_rng(7).normal(size=(20, 384))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def cosines(rows: Vectors) -> NDArray[np.float64]:
    exact = rows.astype(np.float64)
    return exact @ exact.T


@pytest.mark.parametrize("dimensions", [385, 512, 1024, 1536])
def test_keeps_every_cosine_and_length(dimensions: int) -> None:
    before = vectors()
    after = lift(before, dimensions, "test")
    assert after.shape == (20, dimensions)
    assert after.dtype == np.float32
    assert np.abs(cosines(before) - cosines(after)).max() < 1e-7


@pytest.mark.parametrize(("own", "dimensions"), [(384, 1024), (384, 1536), (3, 7), (1, 2)])
def test_the_rows_are_orthonormal(own: int, dimensions: int) -> None:
    rows = basis(own, dimensions)
    assert np.abs(rows @ rows.T - np.eye(own)).max() < 1e-12


def test_the_lift_never_changes() -> None:
    # Stored vectors are compared with new ones, so these numbers are fixed for all versions.
    row = basis(384, 1024)[0]
    assert row[:3] == pytest.approx(
        [0.023986422529501266, -0.04369573831821136, -0.011917768855239376], abs=1e-12
    )


def test_spreads_a_vector_over_all_components() -> None:
    one = np.eye(1, 384, dtype=np.float32)
    assert np.count_nonzero(lift(one, 1024, "test")) > 1000


def test_the_own_dimension_is_left_as_it_is() -> None:
    own = vectors()
    assert lift(own, 384, "test") is own


def test_refuses_fewer_dimensions() -> None:
    with pytest.raises(Unsupported, match="dimensions=256"):
        lift(vectors(), 256, "test")
