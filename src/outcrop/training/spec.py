"""What a training process is told on line one of its stdin, and what it reports on its stdout.

One JSON object a line. The process ends when its stdin does; the line ``stop`` asks it to end soon.
"""

from typing import Final, Literal

import msgspec

CustomizationType = Literal["FINE_TUNING", "CONTINUED_PRE_TRAINING"]

STOP: Final = b"stop\n"

TRAINING_METRICS: Final = "step_wise_training_metrics.csv"
VALIDATION_METRICS: Final = "validation_metrics.csv"
ADAPTER_GGUF: Final = "adapter.gguf.sealed"
"""What llama.cpp loads."""
ADAPTER_PEFT: Final = "adapter.peft.sealed"
"""A ZIP of the two files that PEFT saves."""
PEFT_CONFIG: Final = "adapter_config.json"
PEFT_WEIGHTS: Final = "adapter_model.safetensors"
CHECKPOINT: Final = "checkpoint.sealed"


class BaseWeights(msgspec.Struct, frozen=True, kw_only=True):
    """``source`` is a GGUF file, a directory of Transformers, or an ID of the hub. ``fingerprint``
    tells these weights from any others: those of the engine (``EnginePool.fingerprint``), and which
    copy of them where the configuration names one. ``template`` names a chat format of ours
    (``chatml``) that the engine uses in place of the weights' own."""

    source: str
    fingerprint: str
    template: str | None = None


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """``path`` is where it lies here, ``name`` its key in S3, which messages say the last part of.
    ``most_records`` is the value of the quota that is called ``records_quota``."""

    path: str
    name: str
    most_records: int
    records_quota: str


class RecordLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one record, by the quotas of the batch size. Tokens are those of the base's tokenizer."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    characters: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    rank: int = 16
    alpha: int = 32
    seed: int = 0


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A Ray cluster and how many workers train on it. For ``wait_s`` a job waits until there is
    room for all of them; where some were lost in the middle it goes on, after ``rejoin_s``, on
    those that are left."""

    address: str
    workers: int
    wait_s: float = 300.0
    rejoin_s: float = 30.0


class TrainingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """``job`` is the job's ARN, the context of all that is sealed with ``key`` (32 bytes).
    ``model_id`` names the base in the catalog and ``dialect`` its family's format. Checkpoints and
    results go to ``folder``, what can be computed again from ``base`` to ``cache_dir``. ``catalog``
    are the files that the configuration adds to the catalog. ``threads`` are those of each worker,
    0 as many as there are CPUs for it. ``context_tokens`` are those of a record that the engine
    takes; the weights may take fewer."""

    job: str
    type: CustomizationType
    base: BaseWeights
    model_id: str
    dialect: str
    training: DataFile
    validation: tuple[DataFile, ...]
    limits: RecordLimits
    settings: Settings
    folder: str
    cache_dir: str
    key: bytes
    parent: int
    context_tokens: int = 4096
    threads: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_s: float = 60.0
    cluster: Cluster | None = None
    catalog: tuple[str, ...] = ()


class Validated(msgspec.Struct, frozen=True, kw_only=True, tag="validated"):
    """All data files are read and sound. Tokens are those of one epoch, prompts included."""

    training_records: int
    training_tokens: int
    validation_records: int


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """After a step, at most some times a second. ``loss`` is the step's; ``tokens`` those trained
    so far, over every start of the job."""

    step: int
    steps: int
    epoch: int
    loss: float
    tokens: int
    tokens_per_s: float
    left_s: float


class Trained(msgspec.Struct, frozen=True, kw_only=True, tag="trained"):
    """The adapter and the metrics lie in the folder. ``note`` says what its owner should know, such
    as that the loss did not fall."""

    training_loss: float
    validation_losses: tuple[float, ...]
    tokens: int
    note: str = ""


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag="stopped"):
    """It was asked to, and leaves nothing but its checkpoint."""

    tokens: int


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected"):
    """The data are at fault; ``message`` is for the job's owner."""

    message: str


class Broken(msgspec.Struct, frozen=True, kw_only=True, tag="broken"):
    """Something else is: a library that is missing, memory, a bug. For the operator's log."""

    message: str


Report = Validated | Progress | Trained | Stopped | Rejected | Broken
