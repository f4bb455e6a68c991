"""The states of customization jobs, and the event of each."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from customizations_under_test import BASE_ARN, HYPERPARAMETERS, Bench, open_bench
from event_worlds import rule_to_queue
from hypothesis import given, strategies as st
from statements import ACCOUNT

from outcrop.services.bedrock.customization.states import (
    PHASES,
    IllegalTransition,
    PhaseName,
    change_phase,
    is_ended,
    write_progress,
)
from outcrop.stores.customization_records import (
    CustomizationJob,
    JobStatus,
    Phase,
    PhaseStatus,
    TrainingProgress,
)
from outcrop.stores.failures import NoSuchItem
from outcrop.stores.model_records import DataKey

SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
LEGAL = {
    ("InProgress", "Completed"),
    ("InProgress", "Failed"),
    ("InProgress", "Stopping"),
    ("Stopping", "Stopped"),
    ("Stopping", "Completed"),
    ("Stopping", "Failed"),
}
STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
PHASE_STATUSES: tuple[PhaseStatus, ...] = get_args(PhaseStatus)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORD = CustomizationJob(
    base_model="m",
    type="FINE_TUNING",
    role_arn="r",
    model_name="m",
    model_arn="a",
    training_uri="t",
    output_uri="o",
    hyperparameters={},
    engine="e",
    base="b",
    data_key=DataKey(kms_key="k", ciphertext=b"", context="c", grant="g"),
    by="u",
)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """With the documents' rule, which takes every event of the service (RUN-197)."""
    async with open_bench(tmp_path, monkeypatch) as bench:
        pattern = (SEED / "RUN-197.json").read_text(encoding="utf-8")
        await rule_to_queue(bench.admin, pattern=pattern)
        yield bench


async def brought_to(bench: Bench, status: JobStatus) -> None:
    await bench.create()
    if status == "Stopped":
        await bench.change(status="Stopping")
    if status != "InProgress":
        await bench.change(status=status)


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("after", STATUSES)
async def test_no_other_transition_is_made_than_those_of_the_documents(
    bench: Bench, before: JobStatus, after: JobStatus
) -> None:
    await brought_to(bench, before)
    told = len(await bench.events())
    if (before, after) in LEGAL:
        changed = await bench.change(status=after)
        assert (changed.record.ended_at is not None) == is_ended(changed.record)
        assert len(await bench.events()) == told + 1
    elif before == after:
        await bench.change(status=after, note="the same")
        assert len(await bench.events()) == told
    else:
        with pytest.raises(IllegalTransition, match=f"is {before} and cannot become {after}"):
            await bench.change(status=after)
        assert len(await bench.events()) == told
        assert (await bench.record()).record.status == before


async def test_each_state_has_an_event_of_the_documents_form(bench: Bench) -> None:
    """RUN-196, whose example has a comma too many."""
    arn = await bench.create(
        hyperParameters=HYPERPARAMETERS,
        validationDataConfig={"validators": [{"s3Uri": "s3://bucket/v.jsonl"}]},
    )
    await bench.stop()
    await bench.change(status="Failed", failure="Failure Message here.")
    events = await bench.events()
    assert [each["detail"]["jobStatus"] for each in events] == ["InProgress", "Stopping", "Failed"]
    sample = (
        (SEED / "RUN-196.json").read_text(encoding="utf-8").replace('",\n        }', '"\n        }')
    )
    documented = json.loads(sample)
    failed = events[-1]
    assert failed.keys() == documented.keys()
    for name in ("version", "detail-type", "source"):
        assert failed[name] == documented[name]
    assert (failed["account"], failed["region"]) == (ACCOUNT, "us-east-1")
    assert failed["resources"] == [arn]
    detail = failed["detail"]
    # A model that was not made has no ARN.
    assert detail.keys() == documented["detail"].keys() - {"outputModelArn"}
    assert detail["hyperParameters"].keys() == documented["detail"]["hyperParameters"].keys()
    for name in ("creationTime", "lastModifiedTime", "endTime"):
        told = datetime.strptime(detail.pop(name), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        found = (await bench.get())[name]
        assert found.replace(microsecond=0) == told
    assert detail == {
        "version": "0.0",
        "jobName": "job-name",
        "jobArn": arn,
        "outputModelName": "custom-model-name",
        "roleArn": bench.role,
        "jobStatus": "Failed",
        "failureMessage": "Failure Message here.",
        "baseModelArn": BASE_ARN,
        "hyperParameters": HYPERPARAMETERS,
        "trainingDataConfig": {"s3Uri": "s3://bucket/path/to/train.jsonl"},
        "validationDataConfig": {"s3Uri": "s3://bucket/v.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://bucket/path/to/output-folder"},
    }
    first = events[0]["detail"]
    assert not {"failureMessage", "endTime", "outputModelArn"} & first.keys()


async def test_the_model_is_told_once_it_is_there(bench: Bench) -> None:
    validators = [{"s3Uri": f"s3://bucket/{name}.jsonl"} for name in "ab"]
    await bench.create(validationDataConfig={"validators": validators})
    changed = await bench.change(status="Completed")
    created, completed = await bench.events()
    assert "outputModelArn" not in created["detail"]
    assert completed["detail"]["outputModelArn"] == changed.record.model_arn
    assert completed["detail"]["validationDataConfig"] == {
        "s3Uri": "s3://bucket/a.jsonl",
        "validators": validators,
    }


async def test_a_request_that_fails_publishes_nothing(bench: Bench) -> None:
    await bench.refusal(jobTags=[{"key": "aws:x", "value": ""}])
    assert await bench.events() == []


async def test_a_late_writer_changes_what_is_there_now(bench: Bench) -> None:
    """Whoever works on a job holds it as it was; a stop that came meanwhile stays."""
    await bench.create()
    held = await bench.record()
    await bench.stop()
    progress = TrainingProgress(step=3, steps=9, tokens=120)
    stores = bench.inside.deployment.state.stores
    async with stores.resources.writing() as transaction:
        written = await write_progress(transaction, held, progress)
    assert (written.record.status, written.record.progress) == ("Stopping", progress)
    assert len(await bench.events()) == 2
    async with stores.resources.writing() as transaction:
        await transaction.remove(CustomizationJob, held.place)
        with pytest.raises(NoSuchItem):
            await write_progress(transaction, held, progress)


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopping"])
async def test_a_phase_in_progress_goes_with_its_job(bench: Bench, status: Any) -> None:
    await bench.create()
    began = Phase(status="InProgress", began_at=NOW, changed_at=NOW)
    done = Phase(status="Completed", began_at=NOW, changed_at=NOW)
    changed = await bench.change(status=status, validation=done, training=began)
    assert changed.record.validation == done
    assert changed.record.processing == Phase()
    assert (changed.record.training.status, changed.record.training.began_at) == (status, NOW)


@pytest.mark.parametrize("name", PHASES)
def test_a_phase_begins_and_ends_and_keeps_when(name: PhaseName) -> None:
    begun = msgspec.structs.replace(RECORD, **change_phase(RECORD, name, "InProgress", NOW))
    later = NOW + timedelta(seconds=5)
    ended = change_phase(begun, name, "Completed", later)
    assert ended == {name: Phase(status="Completed", began_at=NOW, changed_at=later)}
    # Work that begins anew after a restart says so again.
    assert change_phase(begun, name, "InProgress", later) == {
        name: Phase(status="InProgress", began_at=NOW, changed_at=NOW)
    }


@given(st.sampled_from(PHASE_STATUSES), st.sampled_from(PHASE_STATUSES))
def test_no_phase_goes_back(before: PhaseStatus, after: PhaseStatus) -> None:
    order = {"NotStarted": 0, "InProgress": 1, "Stopping": 2}
    job = msgspec.structs.replace(RECORD, training=Phase(status=before))
    is_forward = order.get(before, 3) < order.get(after, 3) and (
        before != "NotStarted" or after == "InProgress"
    )
    if before == after or is_forward:
        assert change_phase(job, "training", after, NOW)["training"].status == after
    else:
        with pytest.raises(IllegalTransition):
            change_phase(job, "training", after, NOW)
