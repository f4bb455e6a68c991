"""The losses of a run: what the metrics files hold, and what their owner should be told of them."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

_TRAINING_HEAD: Final = "step_number,epoch_number,training_loss,perplexity"
_VALIDATION_HEAD: Final = "step_number,epoch_number,validation_loss,perplexity"
_SHARE: Final = 10
# A fall smaller than this is not told from chance.
_LEAST_FALL: Final = 0.02
# Losses near 0 waver by more than their share, and mean the same.
_LEAST_RISE: Final = 0.02


class TrainingPoint(msgspec.Struct, frozen=True, array_like=True):
    """``loss`` is the mean over the ``tokens`` trained in a step."""

    step: int
    epoch: int
    loss: float
    tokens: int


class ValidationPoint(msgspec.Struct, frozen=True, array_like=True):
    """At the end of an epoch: ``loss`` over the tokens of all validators, ``each`` of every one."""

    step: int
    epoch: int
    loss: float
    each: tuple[float, ...]


def training_csv(points: Iterable[TrainingPoint]) -> str:
    return _csv(_TRAINING_HEAD, ((one.step, one.epoch, one.loss) for one in points))


def validation_csv(points: Iterable[ValidationPoint]) -> str:
    """With several validators still one row an epoch, of all their records together."""
    return _csv(_VALIDATION_HEAD, ((one.step, one.epoch, one.loss) for one in points))


def mean_loss(points: Sequence[TrainingPoint]) -> float:
    """Per trained token."""
    tokens = sum(one.tokens for one in points)
    return sum(one.loss * one.tokens for one in points) / max(1, tokens)


def last_epoch(points: Sequence[TrainingPoint]) -> list[TrainingPoint]:
    return [one for one in points if one.epoch == points[-1].epoch]


def note(training: Sequence[TrainingPoint], validation: Sequence[ValidationPoint]) -> str:
    """Empty where the losses fell."""
    return " ".join(text for text in (_on_training(training), _on_validation(validation)) if text)


def perplexity(loss: float) -> float:
    return math.exp(loss) if loss < math.log(1e300) else math.inf


def _on_training(points: Sequence[TrainingPoint]) -> str:
    first, last = _ends(points)
    if not last:
        return "The run has a single step: it does not show whether the training loss falls."
    before, after = mean_loss(first), mean_loss(last)
    if after <= before * (1 - _LEAST_FALL):
        return ""
    return (
        f"The training loss did not fall: it was {before:.4f} over the first {_steps(first)} and "
        f"{after:.4f} over the last {_steps(last)}. Another learning rate or more epochs may teach "
        "this model more."
    )


def _on_validation(points: Sequence[ValidationPoint]) -> str:
    if len(points) < 2:
        return ""
    best, last = min(points, key=lambda one: one.loss), points[-1]
    if last.loss <= best.loss * (1 + _LEAST_FALL) + _LEAST_RISE:
        return ""
    return (
        f"The validation loss rose from {best.loss:.4f} after epoch {best.epoch} to "
        f"{last.loss:.4f} after epoch {last.epoch}: the model may have been trained for too long."
    )


def _ends(
    points: Sequence[TrainingPoint],
) -> tuple[Sequence[TrainingPoint], Sequence[TrainingPoint]]:
    """Whole epochs, which hold the same records, where there are several; else tenths."""
    final = last_epoch(points)
    if final[0].epoch > points[0].epoch:
        return [one for one in points if one.epoch == points[0].epoch], final
    if len(points) < 2:
        return points, ()
    count = max(1, len(points) // _SHARE)
    return points[:count], points[-count:]


def _steps(points: Sequence[TrainingPoint]) -> str:
    return "step" if len(points) == 1 else f"{len(points)} steps"


def _csv(head: str, rows: Iterable[tuple[int, int, float]]) -> str:
    lines = [head, *(f"{step},{epoch},{loss!r},{perplexity(loss)!r}" for step, epoch, loss in rows)]
    return "\n".join(lines) + "\n"
