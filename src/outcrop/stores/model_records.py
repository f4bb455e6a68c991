"""What Bedrock keeps of an account's models: access to them, throughput, profiles, custom models.

The topic of all is ``bedrock``, so that one mirror in memory holds them for the path of requests.
"""

from datetime import datetime
from typing import ClassVar, Final, Literal

import msgspec

from outcrop.stores.resources import Record

TOPIC: Final = "bedrock"

Commitment = Literal["OneMonth", "SixMonths"]
DeploymentStatus = Literal["Creating", "Active", "Updating", "Failed"]
DeploymentUpdate = Literal["UpdateCompleted", "UpdateFailed"]
ProvisionedStatus = Literal["Creating", "InService", "Updating", "Failed"]


class ModelAccess(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by a base model's ID; variants follow their base. A removed one is kept, since it says
    no where the deployment says yes to everything. ``by`` is the ARN of who granted or removed it,
    or ``operator``; ``offer`` the offer of the agreement, if there is one."""

    KIND: ClassVar[str] = "bedrock:model-access"

    status: Literal["granted", "removed"]
    by: str
    offer: str | None = None


class UseCase(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``Place(account, "", "use-case")``: the form that the account sent, in base64."""

    KIND: ClassVar[str] = "bedrock:use-case"

    form: str


class DataKey(msgspec.Struct, frozen=True, kw_only=True):
    """What the artifacts are encrypted with: itself encrypted under the KMS key of the ARN
    ``kms_key``, with the ARN ``context`` as its encryption context. ``grant`` is the ID of the
    grant by which Bedrock may decrypt it."""

    kms_key: str
    ciphertext: bytes
    context: str
    grant: str


class TrainedAdapter(msgspec.Struct, frozen=True, kw_only=True):
    """``folder`` is the name of the folder of its sealed files, ``data_key`` what opens them;
    ``base`` the fingerprint of the weights that it was trained on."""

    folder: str
    base: str
    size_bytes: int
    data_key: DataKey


class CustomModel(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its model name; its ARN ends in ``custom-model/<base model>/<id>``. ``base_model``
    is the ID of a catalog's model; ``engine`` serves its weights, under the name
    ``engine_model`` where the engine serves several. One that was trained here has an ``adapter``
    on the engine's own weights, whose facts its job keeps (``job_arn``). ``kms_key`` is the
    customer's, if one was given."""

    KIND: ClassVar[str] = "bedrock:custom-model"
    SEALED: ClassVar[bool] = True

    base_model: str
    engine: str | None = None
    engine_model: str | None = None
    kms_key: str | None = None
    job_arn: str | None = None
    adapter: TrainedAdapter | None = None


class ModelUnit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model unit was when it was bought: tokens a minute, US dollars an hour."""

    input_tokens: int
    output_tokens: int
    hourly_price: float = 0.0


class ProvisionedModel(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its name; its ARN ends in ``provisioned-model/<id>``. ``model`` and
    ``desired_model`` are ARNs of foundation or custom models: they differ while the first still
    serves. ``foundation_model`` is the ID of the catalog's model behind. ``bought_for`` is the
    kind of model that it was bought for, under whose quota its units count."""

    KIND: ClassVar[str] = "bedrock:provisioned-model"
    SEALED: ClassVar[bool] = True

    units: int
    desired_units: int
    model: str
    desired_model: str
    foundation_model: str
    unit: ModelUnit
    bought_for: Literal["base", "custom"] = "base"
    status: ProvisionedStatus = "Creating"
    commitment: Commitment | None = None
    commitment_ends_at: datetime | None = None
    failure: str | None = None
    by: str = ""
    """The ARN of who bought it."""


class CustomModelDeployment(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its deployment name; its ARN ends in ``custom-model-deployment/<id>``. ``model`` is
    the ARN of the custom model that it serves on demand; ``desired_model`` differs while that is
    being changed, or where ``updated``, what came of the last change, is a failure."""

    KIND: ClassVar[str] = "bedrock:custom-model-deployment"
    SEALED: ClassVar[bool] = True

    model: str
    desired_model: str
    description: str | None = None
    status: DeploymentStatus = "Creating"
    failure: str | None = None
    updated: DeploymentUpdate | None = None
    by: str = ""


class InferenceProfile(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An application inference profile, named by its name; its ARN ends in
    ``application-inference-profile/<id>``. ``models`` are ARNs of foundation models, in the
    regions where it may run; ``source`` is the model or system profile it was made from."""

    KIND: ClassVar[str] = "bedrock:inference-profile"

    id: str
    source: str
    models: tuple[str, ...]
    description: str | None = None


class LogBucket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bucket for invocation logs, or for what is too large for them. ``prefix`` is as given."""

    bucket: str
    prefix: str | None = None


class LogGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A log group for invocation logs, written with the role; ``large`` takes what does not fit."""

    name: str
    role_arn: str
    large: LogBucket | None = None


class LoggingConfiguration(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Where an account's invocations of a region are logged, at least one of both, and of which
    kinds the bodies are: ``Place(account, region, "default")``. A kind that nobody switched off is
    on, as in AWS."""

    KIND: ClassVar[str] = "bedrock:logging-configuration"

    s3: LogBucket | None = None
    group: LogGroup | None = None
    text: bool = True
    image: bool = True
    embedding: bool = True
    video: bool = True
    audio: bool = True


MIRRORED: Final[tuple[type[Record], ...]] = (
    ModelAccess,
    CustomModel,
    CustomModelDeployment,
    ProvisionedModel,
    InferenceProfile,
    LoggingConfiguration,
)
"""What requests look at."""

TAGGABLE_MODELS: Final[tuple[type[Record], ...]] = (
    CustomModel,
    CustomModelDeployment,
    ProvisionedModel,
    InferenceProfile,
)


class RequestToken(Record, frozen=True, kw_only=True):
    """Named by operation and client token: what the request was and what it was answered. Its
    topic is its own, since nobody looks for tokens but the operation itself."""

    KIND: ClassVar[str] = "tokens:request"
    SEALED: ClassVar[bool] = True

    digest: str
    answer: bytes


class EngineRate(Record, frozen=True, kw_only=True):
    """Named by machine and engine: tokens a second of one engine process on one CPU (or one
    replica), measured once. ``Place("", "", name)``."""

    KIND: ClassVar[str] = "capacity:engine-rate"

    input_per_s: float
    output_per_s: float
    measured_at: datetime


class EngineReservation(Record, frozen=True, kw_only=True):
    """Named by the ARN of a throughput, ``Place("", "", arn)``: what it held on the machine it was
    last served on, so that a restart gives it as much without measuring anew."""

    KIND: ClassVar[str] = "capacity:reservation"
    SEALED: ClassVar[bool] = True

    machine: str
    engine: str
    cpus: tuple[int, ...]


class OperatorAction(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator did that AWS has no API for, for the audit. Named by a unique ID."""

    KIND: ClassVar[str] = "trail:operator-action"

    action: str
    resource: str
    operator: str
    detail: dict[str, str] = msgspec.field(default_factory=dict[str, str])


SEALED_MODELS: Final[tuple[type[Record], ...]] = (
    CustomModel,
    CustomModelDeployment,
    ProvisionedModel,
    RequestToken,
    EngineReservation,
)
"""The models and throughput of accounts, and what else has their names or ARNs. What records calls
(trail, usage, metrics) has them too, and is for those to read who may see the calls."""
