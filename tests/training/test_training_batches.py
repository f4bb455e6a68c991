"""Which examples a step trains on, how they are padded, and how fast it learns."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from outcrop.training.batches import (
    epoch_batches,
    pad,
    share,
    split,
    steps_of_epoch,
    trained_tokens,
)
from outcrop.training.datasets import Example
from outcrop.training.examples import Examples, collect
from outcrop.training.schedule import learning_rate

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=200)


def of_lengths(*lengths: int) -> Examples:
    """Each has one token of prompt, where it has two or more."""
    counts = np.array(lengths, dtype=np.int64)
    tokens = np.arange(1, counts.sum() + 1, dtype=np.uint32)
    return Examples(tokens, counts, np.minimum(1, counts - 1))


@given(LENGTHS, st.integers(1, 64), st.integers(0, 3))
def test_an_epoch_has_every_example_once(lengths: list[int], size: int, epoch: int) -> None:
    batches = epoch_batches(np.array(lengths), size, 0, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == steps_of_epoch(len(lengths), size)
    assert sum(len(batch) < size for batch in batches) <= 1


def test_the_order_follows_from_seed_and_epoch() -> None:
    lengths = np.arange(1, 101)

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_batches(lengths, 8, seed, epoch)).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_batches_of_like_lengths_pad_little() -> None:
    lengths = np.random.default_rng(0).integers(10, 400, 1000)
    batches = epoch_batches(lengths, 8, 0, 0)
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    assert padded < 1.06 * lengths.sum()


@given(LENGTHS, st.integers(1, 1000))
@settings(deadline=None)
def test_parts_of_a_batch_fit_in_memory(lengths: list[int], most: int) -> None:
    examples = of_lengths(*lengths)
    parts = list(split(examples, np.arange(len(lengths)), most))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or int(examples.lengths[part].max()) * len(part) <= most


def test_a_batch_without_examples_has_no_parts() -> None:
    assert list(split(of_lengths(3), np.array([], dtype=np.int64), 10)) == []


def test_workers_share_a_batch_without_overlap() -> None:
    batch = np.array([5, 3, 1, 4, 2])
    shares = [share(batch, rank, 3) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == [1, 2, 3, 4, 5]


def test_what_is_trained_are_the_tokens_behind_the_prompt(tmp_path: Path) -> None:
    data = [Example((7, 8), (9, 2)), Example((), (4, 5, 2))]
    examples = collect(data, str(tmp_path))
    padded = pad(examples, np.array([0, 1]))
    assert padded.ids.tolist() == [[7, 8, 9, 2], [4, 5, 2, 0]]
    assert padded.mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    # Behind 8 comes 9, behind 9 the end; without a prompt the first token follows none.
    assert padded.positions.tolist() == [1, 2, 4, 5]
    assert padded.targets.tolist() == [9, 2, 5, 2]
    assert trained_tokens(examples, np.array([0, 1])) == 4
    assert padded.is_ragged
    assert not pad(examples, np.array([0])).is_ragged


def test_examples_leave_no_file(tmp_path: Path) -> None:
    examples = collect((Example((1,), (index, 2)) for index in range(1000)), str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert examples.tokens(999).tolist() == [1, 999, 2]
    assert examples.token_count == 3000


def test_equal_tokens_divided_otherwise_are_other_examples(tmp_path: Path) -> None:
    one = collect([Example((1, 2), (3,))], str(tmp_path))
    other = collect([Example((1,), (2, 3))], str(tmp_path))
    assert one.digest() != other.digest()
    assert one.digest() == collect([Example((1, 2), (3,))], str(tmp_path)).digest()


def test_the_rate_rises_over_the_warm_up_and_falls_to_the_end() -> None:
    rates = [learning_rate(1.0, step, 10, 3) for step in range(10)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 7)


def test_without_warm_up_the_first_step_has_the_whole_rate() -> None:
    assert learning_rate(1e-3, 0, 10, 0) == 1e-3


def test_a_run_shorter_than_its_warm_up_learns_in_every_step() -> None:
    assert all(0 < learning_rate(1.0, step, 5, 250) < 1 for step in range(5))
