"""The states of a customization job: whoever changes one does it here, where its event is published
in the same transaction. No other transitions are possible than those below."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from outcrop.catalog.arns import foundation_model_arn
from outcrop.events.bus import EventBuses, service_event
from outcrop.stores.customization_records import (
    CustomizationJob,
    JobStatus,
    Phase,
    PhaseStatus,
    TrainingProgress,
)
from outcrop.stores.failures import NoSuchItem
from outcrop.stores.resources import Item, Place, Transaction

PhaseName = Literal["validation", "processing", "training"]

PHASES: Final[tuple[PhaseName, ...]] = ("validation", "processing", "training")

_NEXT: Final[Mapping[JobStatus, frozenset[JobStatus]]] = {
    "InProgress": frozenset({"Completed", "Failed", "Stopping"}),
    "Stopping": frozenset({"Stopped", "Completed", "Failed"}),
    "Completed": frozenset(),
    "Failed": frozenset(),
    "Stopped": frozenset(),
}
_NEXT_OF_PHASE: Final[Mapping[PhaseStatus, frozenset[PhaseStatus]]] = {
    "NotStarted": frozenset({"InProgress"}),
    "InProgress": frozenset({"Completed", "Failed", "Stopping", "Stopped"}),
    "Stopping": frozenset({"Completed", "Failed", "Stopped"}),
    "Completed": frozenset(),
    "Failed": frozenset(),
    "Stopped": frozenset(),
}


class IllegalTransition(Exception):
    """The job, or the phase of it, is no longer (or not yet) where it could become that."""


def is_ended(job: CustomizationJob) -> bool:
    return not _NEXT[job.status]


async def add_job(
    transaction: Transaction,
    events: EventBuses,
    job: CustomizationJob,
    place: Place,
    *,
    arn: str,
    tags: Mapping[str, str],
) -> Item[CustomizationJob]:
    """Raises ``NameTaken``."""
    item = await transaction.add(job, place, arn=arn, tags=tags)
    await _publish(transaction, events, item)
    return item


async def change_job(
    transaction: Transaction,
    events: EventBuses,
    item: Item[CustomizationJob],
    now: datetime,
    **fields: Any,
) -> Item[CustomizationJob]:
    """Writes ``fields`` of the record over what is there now, which may be later than ``item``. A
    phase in progress goes with the job where that stops or ends. Raises ``IllegalTransition``, and
    ``NoSuchItem`` where the job is gone."""
    current = await _read(transaction, item)
    before: JobStatus = current.record.status
    record = msgspec.structs.replace(current.record, **fields)
    if record.status == before:
        return await transaction.put(replace(current, record=record))
    if record.status not in _NEXT[before]:
        raise IllegalTransition(f"{current.arn} is {before} and cannot become {record.status}.")
    record = _with_phases(record, now)
    if is_ended(record):
        record = msgspec.structs.replace(record, ended_at=now)
    changed = await transaction.put(replace(current, record=record))
    await _publish(transaction, events, changed)
    return changed


def change_phase(
    job: CustomizationJob, name: PhaseName, status: PhaseStatus, now: datetime
) -> dict[str, Phase]:
    """The field of the record, for ``change_job``. A phase that is there already stays as it is.
    Raises ``IllegalTransition``."""
    phase: Phase = getattr(job, name)
    if phase.status == status:
        return {name: phase}
    if status not in _NEXT_OF_PHASE[phase.status]:
        raise IllegalTransition(f"The {name} is {phase.status} and cannot become {status}.")
    return {name: Phase(status=status, began_at=phase.began_at or now, changed_at=now)}


async def write_progress(
    transaction: Transaction, item: Item[CustomizationJob], progress: TrainingProgress
) -> Item[CustomizationJob]:
    """No event: how far it has come is no change of state."""
    current = await _read(transaction, item)
    record = msgspec.structs.replace(current.record, progress=progress)
    return await transaction.put(replace(current, record=record))


def render_event(item: Item[CustomizationJob]) -> dict[str, Any]:
    """The event of the state that the job is in, to publish."""
    return service_event(
        "aws.bedrock", "Model Customization Job State Change", [str(item.arn)], _detail(item)
    )


async def _read(transaction: Transaction, item: Item[CustomizationJob]) -> Item[CustomizationJob]:
    current = await transaction.find_arn(CustomizationJob, str(item.arn))
    if current is None:
        raise NoSuchItem(f"There is no customization job {item.arn}.")
    return current


async def _publish(
    transaction: Transaction, events: EventBuses, item: Item[CustomizationJob]
) -> None:
    place = item.place
    await events.publish(transaction, place.account, place.region, render_event(item))


def _with_phases(job: CustomizationJob, now: datetime) -> CustomizationJob:
    """The job's own state is one that a phase in progress may have."""
    changed = {
        name: Phase(status=job.status, began_at=phase.began_at, changed_at=now)
        for name in PHASES
        if (phase := _phase(job, name)).status in ("InProgress", "Stopping")
    }
    return msgspec.structs.replace(job, **changed)


def _phase(job: CustomizationJob, name: PhaseName) -> Phase:
    return getattr(job, name)


def _detail(item: Item[CustomizationJob]) -> dict[str, Any]:
    """As the documents print it: the validation data's URI lies beside its list."""
    job = item.record
    detail: dict[str, Any] = {
        "version": "0.0",
        "jobName": item.name,
        "jobArn": item.arn,
        "outputModelName": job.model_name,
        "outputModelArn": job.model_arn if job.status == "Completed" else None,
        "roleArn": job.role_arn,
        "jobStatus": job.status,
        "failureMessage": job.failure if job.status == "Failed" else None,
        "creationTime": _iso(item.created_at),
        "lastModifiedTime": _iso(item.changed_at),
        "endTime": job.ended_at and _iso(job.ended_at),
        "baseModelArn": foundation_model_arn(item.place.region, job.base_model),
        "hyperParameters": job.hyperparameters,
        "trainingDataConfig": {"s3Uri": job.training_uri},
        "validationDataConfig": _validation(job),
        "outputDataConfig": {"s3Uri": job.output_uri},
    }
    return {name: value for name, value in detail.items() if value is not None}


def _validation(job: CustomizationJob) -> dict[str, Any] | None:
    if not job.validation_uris:
        return None
    first, *others = job.validation_uris
    config: dict[str, Any] = {"s3Uri": first}
    if others:
        config["validators"] = [{"s3Uri": uri} for uri in job.validation_uris]
    return config


def _iso(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
