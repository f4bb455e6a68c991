"""What a training process is told of a job: its weights, data, limits and settings.

A job's files lie in one folder while it runs, closed to others; it is named by the job's ID.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outcrop.catalog.model import Model
from outcrop.config import Config, Llama
from outcrop.engines.fingerprints import tell_file, tell_folder
from outcrop.engines.placement import usable_cpus
from outcrop.engines.pool import EnginePool
from outcrop.quotas.book import QuotaBook
from outcrop.services.bedrock.customization.hyperparameters import settings_of
from outcrop.services.bedrock.customization.locations import read_file_uri
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.failures import StoreError
from outcrop.stores.resources import Item, Place
from outcrop.training.spec import (
    BaseWeights,
    Cluster,
    DataFile,
    RecordLimits,
    TrainingSpec,
)

TRAINING_RECORDS: Final = "customization-training-records"
VALIDATION_RECORDS: Final = "customization-validation-records"
TRAINING_FILE: Final = "customization-training-file"
VALIDATION_FILE: Final = "customization-validation-file"

_EXPRESS: Final = "amazon.titan-text-express-v1"
_EXPRESS_ALONE: Final = "customization-titan-express-tokens-batch-1"
_EXPRESS_BATCHED: Final = "customization-titan-express-tokens-batch-2-4"
_CHARACTERS_PER_TOKEN: Final = 6


@dataclass(frozen=True, slots=True)
class Source:
    """A data file in S3 and where it lies here. The quotas are keys of the book."""

    uri: str
    path: Path
    records_quota: str
    file_quota: str


def folder_of(data_dir: Path, arn: str) -> Path:
    return jobs_folder(data_dir) / job_id(arn)


def jobs_folder(data_dir: Path) -> Path:
    return data_dir / "training"


def job_id(arn: str) -> str:
    return arn.rpartition("/")[2]


def arn_of(item: Item[CustomizationJob]) -> str:
    if item.arn is None:
        raise StoreError(f"The customization job {item.name!r} has no ARN.")
    return item.arn


def sources_of(job: CustomizationJob, folder: Path) -> Sequence[Source]:
    """Training data first."""
    training = Source(job.training_uri, folder / "training.jsonl", TRAINING_RECORDS, TRAINING_FILE)
    validation = [
        Source(uri, folder / f"validation-{number}.jsonl", VALIDATION_RECORDS, VALIDATION_FILE)
        for number, uri in enumerate(job.validation_uris)
    ]
    return (training, *validation)


@dataclass(frozen=True, slots=True)
class Specs:
    """Makes them, of this deployment."""

    config: Config
    engines: EnginePool
    book: QuotaBook

    async def make(
        self, item: Item[CustomizationJob], model: Model, key: bytes, cpus: int
    ) -> TrainingSpec:
        """``key`` is the opened data key, ``cpus`` how many it may use. Raises ``JobRefused``
        where the weights are not those that the job was created for, and what the pool raises."""
        job, training = item.record, self.config.training
        arn = arn_of(item)
        folder = folder_of(self.config.data_dir, arn)
        first, *others = (self._data_file(source, item.place) for source in sources_of(job, folder))
        settings = settings_of(job.hyperparameters, rank=training.rank, alpha=training.alpha)
        limits = self._limits(item.place, model, settings.batch_size)
        return TrainingSpec(
            job=arn,
            type=job.type,
            base=await asyncio.to_thread(self._base, job, model),
            model_id=job.base_model,
            dialect=model.dialect,
            training=first,
            validation=tuple(others),
            limits=limits,
            settings=settings,
            folder=str(folder),
            cache_dir=str(self.config.cache_dir / "training"),
            key=key,
            parent=os.getpid(),
            context_tokens=min(limits.total_tokens, self._context(job.engine)),
            threads=self._threads(cpus),
            device=training.device,
            checkpoint_s=training.checkpoint_s,
            cluster=self._cluster(),
            catalog=tuple(map(str, self.config.catalog)),
        )

    def file_bytes(self, source: Source, place: Place) -> int:
        return self.book.size_bytes(place.account, place.region, source.file_quota)

    def name_of(self, key: str) -> str:
        """Of a quota, as Service Quotas shows it."""
        quota = self.book.find_key(key)
        return key if quota is None else quota.name

    def _base(self, job: CustomizationJob, model: Model) -> BaseWeights:
        """Reads files."""
        bound = model.engine_model if model.engine == job.engine else None
        if self.engines.fingerprint(job.engine, bound) != job.base:
            raise JobRefused(
                "The weights behind the base model were changed after the job had been created. "
                "Create it again."
            )
        is_llama = isinstance(self.engines.config(job.engine), Llama)
        named = self.config.training.bases.get(job.engine)
        if named is None:
            path, template = self.engines.weights(job.engine)
            return BaseWeights(source=str(path), fingerprint=job.base, template=template)
        # What the engine renders prompts with holds, whichever copy of its weights is trained.
        template = self.engines.weights(job.engine)[1] if is_llama else None
        path = Path(named).expanduser()
        source = str(path) if path.exists() else named
        # What is computed from one copy of the weights is none of another's.
        fingerprint = f"{job.base}\n{_tell(path, named)}"
        return BaseWeights(source=source, fingerprint=fingerprint, template=template)

    def _context(self, engine: str) -> int:
        """What the engine is given at most; a server elsewhere does not tell."""
        config = self.engines.config(engine)
        return config.context if isinstance(config, Llama) else sys.maxsize

    def _data_file(self, source: Source, place: Place) -> DataFile:
        most = self.book.value(place.account, place.region, source.records_quota)
        return DataFile(
            path=str(source.path),
            name=read_file_uri(source.uri).key,
            most_records=int(most),
            records_quota=self.name_of(source.records_quota),
        )

    def _limits(self, place: Place, model: Model, batch_size: int) -> RecordLimits:
        """The documents state sums for Titan Text Express and batches of up to 4 alone. Larger
        batches have the smaller of these; a record of other models fits their context."""
        if (model.base_id or model.id) == _EXPRESS:
            key = _EXPRESS_ALONE if batch_size == 1 else _EXPRESS_BATCHED
            tokens = int(self.book.value(place.account, place.region, key))
        else:
            tokens = model.context_tokens
        return RecordLimits(
            input_tokens=tokens,
            output_tokens=tokens,
            total_tokens=tokens,
            characters=tokens * _CHARACTERS_PER_TOKEN,
        )

    def _threads(self, cpus: int) -> int:
        """Of this machine; on a cluster the CPUs of this one say nothing."""
        training = self.config.training
        if training.threads or training.ray_address is not None:
            return training.threads
        return max(1, usable_cpus(cpus))

    def _cluster(self) -> Cluster | None:
        training = self.config.training
        if training.ray_address is None:
            return None
        return Cluster(address=training.ray_address, workers=training.ray_workers)


def _tell(path: Path, named: str) -> str:
    if path.is_file():
        return tell_file(path)
    return tell_folder(path) if path.is_dir() else named
