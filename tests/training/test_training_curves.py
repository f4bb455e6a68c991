"""The metrics files, and what the owner of a job is told of its losses."""

import csv
import io
import math

import pytest

from outcrop.training.curves import (
    TrainingPoint,
    ValidationPoint,
    last_epoch,
    mean_loss,
    note,
    training_csv,
    validation_csv,
)


def epochs(*losses: tuple[float, ...]) -> list[TrainingPoint]:
    pairs = [(epoch, loss) for epoch, each in enumerate(losses, 1) for loss in each]
    return [TrainingPoint(step, epoch, loss, 10) for step, (epoch, loss) in enumerate(pairs, 1)]


def validated(*losses: float) -> list[ValidationPoint]:
    return [ValidationPoint(9 * at, at, loss, (loss,)) for at, loss in enumerate(losses, 1)]


def test_the_training_file_has_a_row_a_step() -> None:
    rows = list(csv.DictReader(io.StringIO(training_csv(epochs((2.0, 1.5), (1.0, 0.5))))))
    assert list(rows[0]) == ["step_number", "epoch_number", "training_loss", "perplexity"]
    assert [row["step_number"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["epoch_number"] for row in rows] == ["1", "1", "2", "2"]
    assert float(rows[1]["training_loss"]) == 1.5
    assert float(rows[1]["perplexity"]) == math.exp(1.5)


def test_the_validation_file_has_a_row_an_epoch() -> None:
    rows = list(csv.DictReader(io.StringIO(validation_csv(validated(2.0, 1.0)))))
    assert list(rows[0]) == ["step_number", "epoch_number", "validation_loss", "perplexity"]
    assert [(row["step_number"], row["epoch_number"]) for row in rows] == [("9", "1"), ("18", "2")]


def test_a_loss_beyond_all_numbers_has_an_infinite_perplexity() -> None:
    assert training_csv([TrainingPoint(1, 1, 1e5, 1)]).endswith(",inf\n")


def test_the_mean_loss_is_that_of_a_token() -> None:
    points = [TrainingPoint(1, 1, 1.0, 30), TrainingPoint(2, 1, 3.0, 10)]
    assert mean_loss(points) == pytest.approx(1.5)


def test_the_last_epoch_is_told_by_its_number() -> None:
    assert [one.step for one in last_epoch(epochs((3.0, 2.0), (1.0,)))] == [3]


def test_losses_that_fall_need_no_note() -> None:
    assert note(epochs((3.0, 2.5), (1.0, 0.5)), validated(2.0, 1.5)) == ""


@pytest.mark.parametrize(
    "losses", [((2.0, 2.0), (2.0, 1.99)), ((1.0,), (2.0,))], ids=["level", "rising"]
)
def test_a_training_loss_that_did_not_fall_is_told(losses: tuple[tuple[float, ...], ...]) -> None:
    assert note(epochs(*losses), []).startswith("The training loss did not fall")


def test_the_order_of_batches_within_epochs_does_not_look_like_learning() -> None:
    """An epoch that begins with hard records and the next that ends with easy ones."""
    assert "did not fall" in note(epochs((3.0, 1.0), (3.0, 1.0)), [])


def test_within_one_epoch_the_first_and_last_tenth_are_compared() -> None:
    falling = tuple(3.0 - 0.1 * step for step in range(20))
    assert note(epochs(falling), []) == ""
    assert "over the first 2 steps" in note(epochs(falling[::-1]), [])


def test_a_single_step_shows_nothing() -> None:
    assert "a single step" in note(epochs((2.0,)), [])


def test_a_validation_loss_that_rose_is_told() -> None:
    told = note(epochs((3.0,), (2.0,), (1.0,)), validated(2.0, 1.0, 1.5))
    assert told.startswith("The validation loss rose from 1.0000 after epoch 2 to 1.5000")


def test_a_validation_loss_that_wavers_near_nothing_has_not_risen() -> None:
    assert note(epochs((3.0,), (1.0,)), validated(0.0020, 0.0021)) == ""
