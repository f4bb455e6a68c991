"""What an account was given of the quotas on data is what its jobs are held to, from the next one
on."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from customizing_under_test import Bench, open_bench
from in_process import REGION
from statements import ACCOUNT

from outcrop.quotas.requests import approve
from outcrop.services.bedrock.customization.specs import (
    TRAINING_FILE,
    TRAINING_RECORDS,
    VALIDATION_FILE,
    VALIDATION_RECORDS,
)
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Place

pytestmark = pytest.mark.asyncio(loop_scope="module")

KIB = 1 << 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path_factory.mktemp("quotas")) as bench:
        yield bench


async def raise_to(bench: Bench, key: str, value: float) -> None:
    """As Service Quotas is asked, and the operator says yes."""
    serving = bench.inside.deployment.serving
    quota = serving.book.find_key(key)
    assert quota is not None
    asked = {"ServiceCode": "bedrock", "QuotaCode": quota.code, "DesiredValue": value}
    made = await bench.admin.ask("service-quotas", "RequestServiceQuotaIncrease", **asked)
    resources = bench.inside.deployment.state.stores.resources
    await approve(resources, serving.book, made["RequestedQuota"]["Id"], "olga", None)


async def lower_to(bench: Bench, key: str, value: float) -> None:
    """As the operator can."""
    async with bench.inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(QuotaValue(value=value), Place(ACCOUNT, REGION, key))


async def limits(bench: Bench) -> list[dict[str, Any]]:
    """What the training process of a job is told of its files."""
    job = await validated(bench, "tells its limits")
    return json.loads(job.failure or "")


async def validated(
    bench: Bench, scenario: str, size_bytes: int = KIB, validation_bytes: int = KIB
) -> CustomizationJob:
    """A job whose two files have these sizes."""
    record = json.dumps({"input": scenario, "output": "x"}).encode()
    for name, size in (("train", size_bytes), ("validation", validation_bytes)):
        await bench.put(f"{name}.jsonl", record.ljust(size))
    arn = await bench.create(
        scenario,
        trainingDataConfig={"s3Uri": f"s3://{bench.bucket}/train.jsonl"},
        validationDataConfig={"validators": [{"s3Uri": f"s3://{bench.bucket}/validation.jsonl"}]},
    )
    return await bench.ended(arn)


async def test_qu_18_and_19_records_are_as_many_as_the_account_was_given(bench: Bench) -> None:
    assert [each["most"] for each in await limits(bench)] == [10_000, 1000]
    await raise_to(bench, TRAINING_RECORDS, 10_001)
    assert [each["most"] for each in await limits(bench)] == [10_001, 1000]
    await raise_to(bench, VALIDATION_RECORDS, 2000)
    told = await limits(bench)
    assert [each["most"] for each in told] == [10_001, 2000]
    book = bench.inside.deployment.serving.book
    quotas = [book.find_key(key) for key in (TRAINING_RECORDS, VALIDATION_RECORDS)]
    assert [each["quota"] for each in told] == [each and each.name for each in quotas]


@pytest.mark.parametrize(
    ("key", "unit_bytes", "name"),
    [(TRAINING_FILE, 1 << 30, "train.jsonl"), (VALIDATION_FILE, 1 << 20, "validation.jsonl")],
)
async def test_qu_20_and_21_files_are_as_large_as_the_account_was_given(
    bench: Bench, key: str, unit_bytes: int, name: str
) -> None:
    """The one that is lowered to 64 KiB is too large then, and not the other."""
    sizes = (100 * KIB, KIB) if key == TRAINING_FILE else (KIB, 100 * KIB)
    assert (await validated(bench, "trains", *sizes)).status == "Completed"
    await lower_to(bench, key, 64 * KIB / unit_bytes)
    job = await validated(bench, "trains", *sizes)
    quota = bench.inside.deployment.serving.book.find_key(key)
    assert quota is not None
    assert (job.status, job.failure) == (
        "Failed",
        f"The file {name} is larger than the {64 * KIB} bytes that the quota '{quota.name}' "
        "allows.",
    )
    assert job.training.status == "NotStarted"
    assert (await validated(bench, "trains", *reversed(sizes))).status == "Completed"
    await raise_to(bench, key, 1)
    assert (await validated(bench, "trains", *sizes)).status == "Completed"
