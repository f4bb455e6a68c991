"""Data files and what a training process is told of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from outcrop.training.datasets import Example, read_examples
from outcrop.training.spec import (
    BaseWeights,
    CustomizationType,
    DataFile,
    RecordLimits,
    Settings,
    TrainingSpec,
)
from outcrop.training.tokenizer import Tokenizer

MODEL = "smollm2-135m-instruct"
LIMITS = RecordLimits(input_tokens=4096, output_tokens=4096, total_tokens=4096, characters=4096 * 6)
QUOTA = "(Model customization) Training records in a data set"


def spec_of(
    path: Path,
    *,
    kind: CustomizationType = "FINE_TUNING",
    model_id: str = "amazon.titan-text-express-v1",
    dialect: str = "titan_text",
    limits: RecordLimits = LIMITS,
    **changes: Any,
) -> TrainingSpec:
    """A job on the file at ``path``, known as ``train.jsonl`` in a folder of its bucket."""
    data = DataFile(
        path=str(path), name="data/train.jsonl", most_records=10_000, records_quota=QUOTA
    )
    spec = TrainingSpec(
        job="arn:aws:bedrock:us-east-1:111122223333:model-customization-job/titan/abcdefghijkl",
        type=kind,
        base=BaseWeights(source=MODEL, fingerprint="0", template="chatml"),
        model_id=model_id,
        dialect=dialect,
        training=data,
        validation=(),
        limits=limits,
        settings=Settings(epochs=1, batch_size=1, learning_rate=1e-4, warmup_steps=0),
        folder=str(path.parent),
        cache_dir=str(path.parent),
        key=bytes(32),
        parent=1,
    )
    return msgspec.structs.replace(spec, **changes)


def write(folder: Path, *records: Mapping[str, Any] | bytes) -> Path:
    """A file of these lines."""
    lines = [one if isinstance(one, bytes) else msgspec.json.encode(one) for one in records]
    path = folder / "train.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def read(path: Path, tokenizer: Tokenizer, **spec: Any) -> Sequence[Example]:
    told = spec_of(path, **spec)
    return list(read_examples(told.training, told, tokenizer))
