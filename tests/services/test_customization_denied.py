"""Jobs whose role may not read their data or write their results, or whose data are not there: they
fail in the documents' words before any of it is fetched."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from customizing_under_test import Bench, open_bench
from in_process import ADMIN, Client
from kms_requests import make_key
from statements import ACCOUNT, allow, document
from training_jobs_under_test import example, trust, unique

from outcrop.stores.customization_records import CustomizationJob

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ = ("s3:GetObject", "s3:ListBucket")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path_factory.mktemp("denied")) as bench:
        for bucket, key in (("training", "train.jsonl"), ("validation", "validation.jsonl")):
            name = f"{bucket}-data-bucket"
            await bench.admin.ask("s3", "CreateBucket", Bucket=name)
            await replace(bench, bucket=name).put(key, b'{"input": "trains", "output": "x"}')
        await bench.admin.ask("s3", "CreateBucket", Bucket="bedrock-output-bucket")
        yield bench


def on(bucket: str, *actions: str, **more: Any) -> dict[str, Any]:
    """A statement on a bucket and all that is in it."""
    return allow([*actions], [f"arn:aws:s3:::{bucket}{below}" for below in ("", "/*")], **more)


TRAINING = on("training-data-bucket", *READ)
VALIDATION = on("validation-data-bucket", *READ)
OUTPUT = on("bedrock-output-bucket", "s3:PutObject")
NO_TRAINING, NO_VALIDATION = example("RUN-124.txt").splitlines()
NO_OUTPUT = example("RUN-125.txt").strip()
LACKING: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "nothing of training": (NO_TRAINING, [VALIDATION, OUTPUT]),
    "GetObject of training": (
        NO_TRAINING,
        [on("training-data-bucket", "s3:ListBucket"), VALIDATION, OUTPUT],
    ),
    "ListBucket of training": (
        NO_TRAINING,
        [on("training-data-bucket", "s3:GetObject"), VALIDATION, OUTPUT],
    ),
    "nothing of validation": (NO_VALIDATION, [TRAINING, OUTPUT]),
    "GetObject of validation": (
        NO_VALIDATION,
        [TRAINING, on("validation-data-bucket", "s3:ListBucket"), OUTPUT],
    ),
    "ListBucket of validation": (
        NO_VALIDATION,
        [TRAINING, on("validation-data-bucket", "s3:GetObject"), OUTPUT],
    ),
    "a denial of validation": (
        NO_VALIDATION,
        [TRAINING, VALIDATION, OUTPUT, on("validation-data-bucket", *READ, Effect="Deny")],
    ),
    "PutObject": (NO_OUTPUT, [TRAINING, VALIDATION]),
    "PutObject, but beside it": (
        NO_OUTPUT,
        [TRAINING, VALIDATION, allow("s3:PutObject", "arn:aws:s3:::bedrock-output-bucket/other/*")],
    ),
}


async def ended(
    bench: Bench,
    statements: list[dict[str, Any]],
    validation: str = "validation.jsonl",
    bucket: str = "training-data-bucket",
) -> CustomizationJob:
    """A job with the documents' locations, of a role that may this alone."""
    role = await bench.inside.role(ACCOUNT, unique("job"), trust(), document(*statements))
    validators = [{"s3Uri": f"s3://validation-data-bucket/{validation}"}]
    arn = await bench.create(
        "trains",
        roleArn=role,
        trainingDataConfig={"s3Uri": f"s3://{bucket}/train.jsonl"},
        validationDataConfig={"validators": validators},
        outputDataConfig={"s3Uri": "s3://bedrock-output-bucket/output"},
    )
    return await bench.ended(arn)


async def assert_failed_before_training(bench: Bench, job: CustomizationJob) -> None:
    assert (job.status, job.validation.status) == ("Failed", "Failed")
    assert {job.processing.status, job.training.status} == {"NotStarted"}
    assert (job.progress.step, job.progress.tokens) == (0, 0)
    assert await bench.model(job) is None


@pytest.mark.parametrize(("sentence", "statements"), LACKING.values(), ids=LACKING)
async def test_a_role_that_lacks_a_permission_fails_the_job_in_the_documents_words(
    bench: Bench, sentence: str, statements: list[dict[str, Any]]
) -> None:
    job = await ended(bench, statements)
    assert job.failure == sentence
    await assert_failed_before_training(bench, job)


async def test_validation_data_that_are_not_there_fail_the_job_before_it_trains(
    bench: Bench,
) -> None:
    job = await ended(bench, [TRAINING, VALIDATION, OUTPUT], "no.jsonl")
    sentence = NO_VALIDATION.replace("validation.jsonl", "no.jsonl")
    assert job.failure == f"{sentence}. The specified key does not exist."
    await assert_failed_before_training(bench, job)
    # Who may not list is not told what is there.
    blind = on("validation-data-bucket", "s3:GetObject")
    job = await ended(bench, [TRAINING, blind, OUTPUT], "no.jsonl")
    assert job.failure == sentence


async def test_data_under_a_kms_key_need_leave_to_decrypt(bench: Bench) -> None:
    """In the guide's words the role needs ``kms:Decrypt``: with it the same job trains."""
    sealed = unique("sealed")
    key = await make_key(bench.admin)
    await bench.admin.ask("s3", "CreateBucket", Bucket=sealed)
    record = b'{"input": "trains", "output": "x"}'
    put = {"Key": "train.jsonl", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    background = bench.inside.deployment.records.observing.background
    caller = bench.inside.caller(ADMIN)
    await background.perform(caller, "s3", "PutObject", {"Bucket": sealed, **put}, body=record)
    may = [on(sealed, *READ), VALIDATION, OUTPUT]
    told = NO_TRAINING.replace("training-data-bucket", sealed)
    job = await ended(bench, may, bucket=sealed)
    assert (job.failure or "").startswith(f"{told}. ")
    assert "kms:Decrypt" in (job.failure or "")
    await assert_failed_before_training(bench, job)
    job = await ended(bench, [*may, allow("kms:Decrypt", key)], bucket=sealed)
    assert (job.status, job.failure) == ("Completed", None)


async def test_buckets_of_another_region_fail_the_job(bench: Bench) -> None:
    west, bucket = Client(bench.inside.app, ADMIN, region="us-west-2"), unique("west")
    place = {"LocationConstraint": "us-west-2"}
    await west.ask("s3", "CreateBucket", Bucket=bucket, CreateBucketConfiguration=place)
    body = b'{"input": "trains", "output": "x"}'
    await west.ask("s3", "PutObject", Bucket=bucket, Key="train.jsonl", Body=body)
    why = ". The bucket is in us-west-2, the job in us-east-1: they must be in the same Region."
    job = await ended(bench, [allow("s3:*")], bucket=bucket)
    assert job.failure == NO_TRAINING.replace("training-data-bucket", bucket) + why
    await assert_failed_before_training(bench, job)


async def test_a_role_that_lacks_nothing_of_these_trains(bench: Bench) -> None:
    """So each of those above has failed for what it lacks."""
    job = await ended(bench, [TRAINING, VALIDATION, OUTPUT])
    assert (job.status, job.failure) == ("Completed", None)
    listed = await bench.admin.ask("s3", "ListObjectsV2", Bucket="bedrock-output-bucket")
    assert "output/.write_access_check_file.tmp" in [each["Key"] for each in listed["Contents"]]
