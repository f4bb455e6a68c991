"""What a job's driver and its workers on a Ray cluster tell each other, through an actor on the
driver's machine.

Ray keeps large objects in shared memory and writes them to disk when that is full, so everything of
the data or learnt from them is sealed with a key that is made anew for every attempt and is told
from process to process alone.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from outcrop.security.sealed_files import open_file, seal_file
from outcrop.training.curves import TrainingPoint, ValidationPoint
from outcrop.training.examples import Examples
from outcrop.training.sent_weights import Weights, read_piece
from outcrop.training.spec import TrainingSpec

PROGRESS: Final = "progress"
STANDING: Final = "standing"
ENDED: Final = "ended"
Kind = Literal["progress", "standing", "ended"]

_PIECE_TOKENS: Final = 2**24
_LENGTHS: Final = "lengths"
_PROMPTS: Final = "prompts"
_TOKENS: Final = "tokens"


class Done(msgspec.Struct, frozen=True, tag="done"):
    """``files`` are the adapter's, by their names."""

    tokens: int
    training: tuple[TrainingPoint, ...]
    validation: tuple[ValidationPoint, ...]
    files: Mapping[str, bytes]


class Halted(msgspec.Struct, frozen=True, tag="halted"):
    """It was asked to."""


class Diverging(msgspec.Struct, frozen=True, tag="diverging"):
    """The text is for the job's owner."""

    message: str


class Unfit(msgspec.Struct, frozen=True, tag="unfit"):
    """This node cannot train: another attempt would end as this one did."""

    message: str


Ended = Done | Halted | Diverging | Unfit


@dataclass(frozen=True, slots=True)
class Envelope:
    """``context`` is the job's ARN."""

    key: bytes
    context: str

    @staticmethod
    def new(context: str) -> "Envelope":
        return Envelope(secrets.token_bytes(32), context)

    def seal(self, name: str, plain: bytes) -> bytes:
        return seal_file(self.key, plain, self.context, name)

    def open(self, name: str, sealed: bytes) -> bytes:
        return open_file(self.key, sealed, self.context, name)


@dataclass(frozen=True, slots=True)
class SentExamples:
    """References to sealed objects; ``tokens`` counts them over all ``pieces``."""

    tokens: int
    lengths: Any
    prompts: Any
    pieces: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """``spec`` is without its key. ``standing`` refers to a checkpoint."""

    spec: TrainingSpec
    key: bytes
    examples: tuple[SentExamples, ...]
    standing: Any
    weights: Weights


class Post:
    """The actor. It keeps the latest of each kind, and of ends the first: nothing piles up."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._is_stopping = False
        self._told: dict[Kind, bytes] = {}

    def begin(self, task: Task) -> None:
        """Told in a call of its own: Ray's head keeps what an actor is made with."""
        self._task = task

    def task(self) -> Task | None:
        return self._task

    def weights(self, name: str, offset: int) -> bytes:
        weights = self._task.weights if self._task is not None else Weights()
        if name not in weights.files:
            raise KeyError(name)
        return read_piece(Path(weights.folder) / name, offset)

    def tell(self, kind: Kind, content: bytes) -> None:
        if kind != ENDED or ENDED not in self._told:
            self._told[kind] = content

    def take(self) -> Mapping[Kind, bytes]:
        told, self._told = self._told, {}
        return told

    def stop(self) -> None:
        self._is_stopping = True

    def is_stopping(self) -> bool:
        return self._is_stopping


def send_examples(number: int, examples: Examples, envelope: Envelope, core: Any) -> SentExamples:
    """``number`` tells these from the job's other examples."""

    def put(name: str, values: NDArray[Any]) -> Any:
        return core.put(envelope.seal(f"{number} {name}", values.tobytes()))

    tokens = examples.all_tokens
    starts = range(0, len(tokens), _PIECE_TOKENS)
    return SentExamples(
        tokens=len(tokens),
        lengths=put(_LENGTHS, examples.lengths),
        prompts=put(_PROMPTS, examples.prompts),
        pieces=tuple(put(f"{_TOKENS} {at}", tokens[at : at + _PIECE_TOKENS]) for at in starts),
    )


def receive_examples(number: int, sent: SentExamples, envelope: Envelope, core: Any) -> Examples:
    def get(name: str, reference: Any) -> bytes:
        return envelope.open(f"{number} {name}", core.get(reference))

    tokens = np.empty(sent.tokens, dtype=np.uint32)
    for index, reference in enumerate(sent.pieces):
        at = index * _PIECE_TOKENS
        piece = np.frombuffer(get(f"{_TOKENS} {at}", reference), dtype=np.uint32)
        tokens[at : at + len(piece)] = piece
    lengths = np.frombuffer(get(_LENGTHS, sent.lengths), dtype=np.int64)
    prompts = np.frombuffer(get(_PROMPTS, sent.prompts), dtype=np.int64)
    return Examples(tokens, lengths, prompts)
