"""What Bedrock keeps of customization jobs.

Their topic is their own: a job changes every second, and requests to models look at none."""

from datetime import datetime
from typing import ClassVar, Final, Literal

import msgspec

from outcrop.stores.model_records import (
    SEALED_MODELS,
    TAGGABLE_MODELS as MODELS,
    DataKey,
)
from outcrop.stores.resources import Record

JobStatus = Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"]
PhaseStatus = Literal["NotStarted", "InProgress", "Completed", "Failed", "Stopping", "Stopped"]


class Phase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a job: validation of its data, their processing, training."""

    status: PhaseStatus = "NotStarted"
    began_at: datetime | None = None
    changed_at: datetime | None = None


class TrainingProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a job has come. ``tokens`` are those it has trained, which are billed."""

    step: int = 0
    steps: int = 0
    epoch: int = 0
    loss: float | None = None
    tokens: int = 0
    tokens_per_s: float = 0.0
    left_s: float | None = None
    at: datetime | None = None


class CustomizationJob(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its job name; its ARN ends in ``model-customization-job/<base model>/<id>``, its
    model's in ``custom-model/<base model>/<id>`` (``model_arn``, which exists once the job is
    Completed). ``engine`` is the engine whose weights it trains, ``base`` their fingerprint.
    ``kms_key`` is the ARN of the customer's key, if one was given. ``interface`` is the ID of its
    network interface, of a job with ``subnets``. ``by`` is the ARN of who created it."""

    KIND: ClassVar[str] = "customization:job"
    SEALED: ClassVar[bool] = True

    base_model: str
    type: Literal["FINE_TUNING", "CONTINUED_PRE_TRAINING"]
    role_arn: str
    model_name: str
    model_arn: str
    training_uri: str
    output_uri: str
    hyperparameters: dict[str, str]
    engine: str
    base: str
    data_key: DataKey
    by: str
    model_tags: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    validation_uris: tuple[str, ...] = ()
    kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    client_token: str | None = None
    status: JobStatus = "InProgress"
    validation: Phase = Phase()
    processing: Phase = Phase()
    training: Phase = Phase()
    progress: TrainingProgress = TrainingProgress()
    failure: str | None = None
    note: str | None = None
    training_loss: float | None = None
    validation_losses: tuple[float, ...] = ()
    interface: str | None = None
    ended_at: datetime | None = None


TAGGABLE: Final[tuple[type[Record], ...]] = (*MODELS, CustomizationJob)
"""What Bedrock's operations on tags find by its ARN. A kind listed here needs nothing else."""

SEALED: Final[tuple[type[Record], ...]] = (*SEALED_MODELS, CustomizationJob)
"""All sealed kinds: what was written before they were is sealed at the start."""
