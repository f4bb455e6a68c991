"""Hyperparameters of customization jobs: checked against the catalog's ranges, kept as they were
written. What training here does not honour is refused, not ignored."""

import re
import sys
from collections.abc import Mapping
from typing import Final

from outcrop.catalog.model import Model, Parameter
from outcrop.errors import ValidationException
from outcrop.training.spec import Settings

EPOCHS: Final = "epochCount"
BATCH_SIZE: Final = "batchSize"
LEARNING_RATE: Final = "learningRate"
WARMUP_STEPS: Final = "learningRateWarmupSteps"
EVALUATED: Final = "evalPercentage"

_WHOLE: Final = frozenset({EPOCHS, BATCH_SIZE, WARMUP_STEPS})
_HONOURED: Final = _WHOLE | {LEARNING_RATE}
_UNSTATED: Final[Mapping[str, Parameter]] = {
    EPOCHS: Parameter(1, 100, 5),
    BATCH_SIZE: Parameter(1, 64, 8),
    LEARNING_RATE: Parameter(0, 1, 0.002),
    WARMUP_STEPS: Parameter(0, 250, 0),
}
"""Of a model that the configuration's catalog calls customizable without saying more."""

_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_DECIMAL: Final = re.compile(
    r"(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?"
)


def read_hyperparameters(
    model: Model, given: Mapping[str, str], *, is_validated: bool
) -> dict[str, str]:
    """All of the model's that count, with defaults for those that are not given.
    ``is_validated``: the job has validation data of its own."""
    known = model.hyperparameters or _UNSTATED
    for name in given:
        if name not in known:
            raise ValidationException(
                f"The hyperparameter {name!r} is unknown for the model {model.id}, which has "
                f"{', '.join(known)}."
            )
    read: dict[str, str] = {}
    for name, parameter in known.items():
        text = given.get(name)
        if text is not None:
            _check(name, text, parameter)
            _require_honoured(name, is_validated=is_validated)
            read[name] = text
        elif name in _HONOURED:
            read[name] = _default(name, parameter)
    return read


def settings_of(hyperparameters: Mapping[str, str], *, rank: int, alpha: int) -> Settings:
    """What ``read_hyperparameters`` returned, for the training process."""
    return Settings(
        epochs=int(hyperparameters[EPOCHS]),
        batch_size=int(hyperparameters[BATCH_SIZE]),
        learning_rate=float(hyperparameters[LEARNING_RATE]),
        warmup_steps=int(hyperparameters.get(WARMUP_STEPS, 0)),
        rank=rank,
        alpha=alpha,
    )


def _check(name: str, text: str, parameter: Parameter) -> None:
    is_whole = name in _WHOLE
    if not (_INTEGER if is_whole else _DECIMAL).fullmatch(text):
        kind = "an integer" if is_whole else "a decimal number, such as 0.005 or 1.00E-05"
        raise ValidationException(f"The hyperparameter {name!r} is {text!r}. Give {kind}.")
    low, high = parameter.minimum, parameter.maximum
    value = float(text)
    # Digits alone may be more than a float holds, where the catalog names no maximum.
    if (low is not None and value < low) or value > (sys.float_info.max if high is None else high):
        raise ValidationException(
            f"The hyperparameter {name!r} is {text}, which is out of its range: "
            f"{_told(low, 'any')} to {_told(high, 'any')}."
        )


def _require_honoured(name: str, *, is_validated: bool) -> None:
    if name in _HONOURED or (name == EVALUATED and is_validated):
        # A share to evaluate with is for jobs without validation data: it changes nothing here.
        return
    if name == EVALUATED:
        raise ValidationException(
            f"The hyperparameter {name!r} is not supported: no part of the training data is set "
            "aside. Give validation data in validationDataConfig instead."
        )
    raise ValidationException(
        f"The hyperparameter {name!r} is not supported: training does not stop before its last "
        f"epoch. Leave it out, and give {EPOCHS!r} the number of epochs to train."
    )


def _default(name: str, parameter: Parameter) -> str:
    if parameter.default is None:
        raise ValidationException(f"The hyperparameter {name!r} has no default. Give its value.")
    return str(parameter.default).upper()


def _told(bound: float | None, otherwise: str) -> str:
    return otherwise if bound is None else f"{bound:g}"
