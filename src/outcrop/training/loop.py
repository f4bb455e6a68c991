"""The training itself: step by step over all epochs, from where the last checkpoint stands.

Several workers run the same loop, each on its share of every batch; the first of them reports and
keeps the checkpoints.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from outcrop.training.batches import (
    Batch,
    epoch_batches,
    pad,
    share,
    split,
    steps_of_epoch,
    trained_tokens,
)
from outcrop.training.checkpoints import Standing
from outcrop.training.curves import TrainingPoint, ValidationPoint
from outcrop.training.examples import Examples
from outcrop.training.libraries import Libraries
from outcrop.training.lora import Adapter
from outcrop.training.losses import Losses
from outcrop.training.optimizer import Optimizer
from outcrop.training.pace import Pace
from outcrop.training.schedule import learning_rate
from outcrop.training.spec import Progress, Report, Settings
from outcrop.training.world import World

_PART_TOKENS: Final = 2048
"""So many positions are computed at once, padding included: what a batch takes in memory."""
_REPORT_S: Final = 0.25


class StopAsked(Exception):
    pass


class Diverged(Exception):
    """The loss is no number any more; the text is for the job's owner."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """``keep`` is given every checkpoint; a worker without it makes none. ``should_stop`` is asked
    several times a step."""

    report: Callable[[Report], None]
    keep: Callable[[Standing], None] | None
    should_stop: Callable[[], bool]
    checkpoint_s: float


@dataclass(slots=True)
class Outcome:
    tokens: int = 0
    training: list[TrainingPoint] = field(default_factory=list[TrainingPoint])
    validation: list[ValidationPoint] = field(default_factory=list[ValidationPoint])


class Run:
    """One worker's. ``validation`` has the examples of every validator."""

    def __init__(
        self,
        settings: Settings,
        training: Examples,
        validation: Sequence[Examples],
        adapter: Adapter,
        losses: Losses,
        world: World,
        libraries: Libraries,
    ) -> None:
        self._settings = settings
        self._training = training
        self._validation = validation
        self._adapter = adapter
        self._losses = losses
        self._world = world
        self._torch = libraries.torch
        self._optimizer = Optimizer(adapter.parameters, libraries)
        self._per_epoch = steps_of_epoch(len(training), settings.batch_size)
        self._steps = self._per_epoch * settings.epochs
        self._done = 0
        self.outcome = Outcome()
        self._pace = Pace()

    def take_up(self, standing: Standing) -> None:
        """Goes on from a checkpoint."""
        self._done = standing.steps
        self.outcome = Outcome(standing.tokens, list(standing.training), list(standing.validation))
        self._optimizer.load(standing.tensors, standing.steps)

    def standing(self) -> Standing:
        return Standing(
            steps=self._done,
            tokens=self.outcome.tokens,
            training=tuple(self.outcome.training),
            validation=tuple(self.outcome.validation),
            tensors=self._optimizer.dump(),
        )

    def train(self, hooks: Hooks) -> Outcome:
        """Raises StopAsked, with a checkpoint of all whole steps, and Diverged."""
        try:
            self._train(hooks)
        except StopAsked:
            self._keep(hooks)
            raise
        return self.outcome

    def _train(self, hooks: Hooks) -> None:
        self._evaluate_once(hooks)
        kept_at, reported_at = time.monotonic(), -math.inf
        for epoch, batch in self._remaining():
            self._step(epoch, batch, hooks)
            is_end = self._done % self._per_epoch == 0
            if is_end or time.monotonic() - reported_at >= _REPORT_S:
                hooks.report(self._progress(epoch))
                reported_at = time.monotonic()
            self._evaluate_once(hooks)
            if is_end or time.monotonic() - kept_at >= hooks.checkpoint_s:
                self._keep(hooks)
                kept_at = time.monotonic()
        self._require_sound()

    def _keep(self, hooks: Hooks) -> None:
        if hooks.keep is not None:
            hooks.keep(self.standing())

    def _remaining(self) -> Iterator[tuple[int, Batch]]:
        """Epochs count from 1."""
        first, skipped = divmod(self._done, self._per_epoch)
        settings, lengths = self._settings, self._training.lengths
        for epoch in range(first, settings.epochs):
            batches = epoch_batches(lengths, settings.batch_size, settings.seed, epoch)
            for batch in batches[skipped if epoch == first else 0 :]:
                yield epoch + 1, batch

    def _step(self, epoch: int, batch: Batch, hooks: Hooks) -> None:
        self._agree_on_stop(hooks)
        trained = trained_tokens(self._training, batch)
        mine = share(batch, self._world.rank, self._world.size)
        self._optimizer.clear()
        total = self._torch.zeros((), dtype=self._torch.float64)
        for part in split(self._training, mine, _PART_TOKENS):
            self._check_stop(hooks)
            loss = self._losses.total(pad(self._training, part))
            (loss / max(1, trained)).backward()
            total += loss.item()
        self._world.all_reduce(total)
        mean = total.item() / max(1, trained)
        _require(math.isfinite(mean), f"The training loss at step {self._done + 1} is")
        settings = self._settings
        rate = learning_rate(settings.learning_rate, self._done, self._steps, settings.warmup_steps)
        self._optimizer.step(rate, self._world)
        self._done += 1
        tokens = int(self._training.lengths[batch].sum())
        self.outcome.tokens += tokens
        self._pace.add(tokens)
        self.outcome.training.append(TrainingPoint(self._done, epoch, mean, trained))

    def _require_sound(self) -> None:
        """The last step may have spoilt what was learnt, and no other computes a loss with it."""
        everything = np.arange(len(self._training), dtype=np.int64)
        first = next(iter(split(self._training, everything, _PART_TOKENS)))
        with self._losses.evaluating():
            loss = self._losses.total(pad(self._training, first)).item()
        _require(math.isfinite(loss), "The training loss after the last step is")

    def _evaluate_once(self, hooks: Hooks) -> None:
        """At the end of every epoch, also of one that an earlier start trained to its end."""
        epoch, rest = divmod(self._done, self._per_epoch)
        if not self._validation or rest or len(self.outcome.validation) == epoch:
            return
        with self._losses.evaluating():
            sums = [self._evaluate(examples, hooks) for examples in self._validation]
        losses = tuple(total / max(1, count) for total, count in sums)
        loss = sum(total for total, _ in sums) / max(1, sum(count for _, count in sums))
        _require(math.isfinite(loss), f"The validation loss after epoch {epoch} is")
        self.outcome.validation.append(ValidationPoint(self._done, epoch, loss, losses))

    def _evaluate(self, examples: Examples, hooks: Hooks) -> tuple[float, int]:
        everything = np.arange(len(examples), dtype=np.int64)
        mine = share(everything, self._world.rank, self._world.size)
        total = self._torch.zeros((), dtype=self._torch.float64)
        for part in split(examples, mine, _PART_TOKENS):
            self._check_stop(hooks)
            total += self._losses.total(pad(examples, part)).item()
        self._world.all_reduce(total)
        return total.item(), trained_tokens(examples, everything)

    def _progress(self, epoch: int) -> Progress:
        left = self._training.token_count * self._settings.epochs - self.outcome.tokens
        return Progress(
            step=self._done,
            steps=self._steps,
            epoch=epoch,
            loss=self.outcome.training[-1].loss,
            tokens=self.outcome.tokens,
            tokens_per_s=self._pace.tokens_per_s,
            left_s=self._pace.left_s(left),
        )

    def _check_stop(self, hooks: Hooks) -> None:
        # Of several workers none may leave while the others wait for its gradients.
        if self._world.size == 1 and hooks.should_stop():
            raise StopAsked

    def _agree_on_stop(self, hooks: Hooks) -> None:
        asked = self._torch.tensor(float(hooks.should_stop()))
        self._world.all_reduce(asked)
        if asked.item():
            raise StopAsked


def _require(is_number: bool, what: str) -> None:
    if not is_number:
        raise Diverged(
            f"{what} not a number any more. A lower learning rate or more warm-up steps may help."
        )
