"""What the API and a job's folder show of jobs that run, and the key that they run under."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from customizing_under_test import Bench, open_bench
from kms_requests import make_key
from training_jobs_under_test import Jobs

pytestmark = pytest.mark.asyncio(loop_scope="module")

VALIDATION = b'{"input": "q", "output": "a"}\n{"input": "r", "output": "b"}\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path_factory.mktemp("told")) as bench:
        await bench.put("validation.jsonl", VALIDATION)
        yield bench


async def create(bench: Bench, scenario: str, **params: Any) -> str:
    validators = [{"s3Uri": f"s3://{bench.bucket}/validation.jsonl"}]
    return await bench.create(scenario, validationDataConfig={"validators": validators}, **params)


async def told(bench: Bench, arn: str) -> dict[str, Any]:
    return await bench.admin.ask("bedrock", "GetModelCustomizationJob", jobIdentifier=arn)


async def tags(bench: Bench, arn: str) -> list[dict[str, str]]:
    return (await bench.admin.ask("bedrock", "ListTagsForResource", resourceARN=arn))["tags"]


async def models(bench: Bench) -> dict[str, str]:
    """Those that are listed: their ARNs by their names."""
    listed = await bench.admin.ask("bedrock", "ListCustomModels")
    return {each["modelName"]: each["modelArn"] for each in listed["modelSummaries"]}


async def read(bench: Bench, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    background = bench.inside.deployment.records.observing.background
    return await Jobs(bench.inside, bench.admin, background).read(bucket, key)


async def test_what_came_of_a_job_is_told_of_it_and_of_its_model(bench: Bench) -> None:
    job_tags, model_tags = ([{"key": name, "value": "v"}] for name in ("job", "model"))
    arn = await create(bench, "trains when stopped", jobTags=job_tags, customModelTags=model_tags)
    await bench.training(arn)
    running = await told(bench, arn)
    assert running["status"] == "InProgress"
    assert not {"outputModelArn", "trainingMetrics", "endTime"} & running.keys()
    assert running["validationMetrics"] == []
    assert running["outputModelName"] not in await models(bench)
    await bench.stop(arn)
    assert (await told(bench, arn))["status"] == "Stopping"
    await bench.ended(arn)
    found = await told(bench, arn)
    assert found["status"] == "Completed"
    assert found["trainingMetrics"] == {"trainingLoss": 0.5}
    assert found["validationMetrics"] == [{"validationLoss": 0.75}]
    model_arn = found["outputModelArn"]
    model = await bench.admin.ask("bedrock", "GetCustomModel", modelIdentifier=model_arn)
    for same in ("jobArn", "jobName", "baseModelArn", "hyperParameters", "customizationType"):
        assert model[same] == found[same]
    for same in ("trainingMetrics", "validationMetrics", "trainingDataConfig", "outputDataConfig"):
        assert model[same] == found[same]
    assert (model["modelArn"], model["modelName"]) == (model_arn, found["outputModelName"])
    assert (await models(bench))[found["outputModelName"]] == model_arn
    assert (await tags(bench, arn), await tags(bench, model_arn)) == (job_tags, model_tags)


async def test_the_results_in_s3_are_those_that_training_wrote(bench: Bench) -> None:
    arn = await create(bench, "trains")
    await bench.ended(arn)
    folder = (await told(bench, arn))["outputDataConfig"]["s3Uri"]
    results = f"{folder}/model-customization-job-{arn.rpartition('/')[2]}"
    form = "step_number,epoch_number,{}_loss,perplexity\n1,1,0.5,1.6\n"
    name = "training_artifacts/step_wise_training_metrics.csv"
    assert await read(bench, f"{results}/{name}") == form.format("training").encode()
    name = "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"
    assert await read(bench, f"{results}/{name}") == form.format("validation").encode()


async def test_data_and_results_lie_under_keys_of_s3(bench: Bench) -> None:
    """SSE-S3, which is the default of every bucket."""
    arn = await create(bench, "trains")
    job = await bench.ended(arn)
    assert job.status == "Completed"
    written = await bench.keys(job.output_uri.removeprefix(f"s3://{bench.bucket}/"))
    assert len(written) == 2
    for key in ("validation.jsonl", job.training_uri.rpartition("/")[2], *written):
        head = await bench.admin.ask("s3", "HeadObject", Bucket=bench.bucket, Key=key)
        assert head["ServerSideEncryption"] == "AES256"


async def test_a_job_s_folder_has_what_its_owner_gave_and_nothing_else(bench: Bench) -> None:
    """Calls were made and recorded before: nothing of them comes into a training."""
    asked = {"modelId": "cohere.command-text-v14", "body": b'{"prompt": "granite"}'}
    for _ in range(3):
        await bench.admin.ask("bedrock-runtime", "InvokeModel", **asked)
    arn = await create(bench, "waits")
    job = await bench.training(arn)
    files = {path.name: path.read_bytes() for path in bench.folder(arn).iterdir()}
    # The training process of these tests leaves its own ID.
    assert files.keys() == {"training.jsonl", "validation-0.jsonl", "pid"}
    assert files["training.jsonl"] == await read(bench, job.training_uri)
    assert files["validation-0.jsonl"] == VALIDATION
    await bench.stop(arn)
    await bench.ended(arn)
    assert not bench.folder(arn).exists()


@pytest.mark.parametrize("scenario", ["trains", "rejects", "diverges", "breaks"])
async def test_however_a_job_ends_its_data_are_gone(bench: Bench, scenario: str) -> None:
    arn = await create(bench, scenario)
    job = await bench.ended(arn)
    assert job.status == ("Completed" if scenario == "trains" else "Failed")
    assert not bench.folder(arn).exists()
    words = await read(bench, job.training_uri)
    assert await asyncio.to_thread(left, bench, words, VALIDATION) == []


def left(bench: Bench, *words: bytes) -> list[str]:
    """Files below the data folder, the objects of S3 among them, that hold these words as they
    are."""
    files = [path for path in bench.data.rglob("*") if path.is_file()]
    assert len(files) > 3
    contents = [(path, path.read_bytes()) for path in files if path.exists()]
    return [str(path) for path, body in contents if any(each in body for each in words)]


async def test_a_job_and_its_model_are_sealed_under_the_customer_s_key(bench: Bench) -> None:
    """One that cannot be used any more when a job's turn comes ends that job before it trains."""
    key = await make_key(bench.admin)
    arn = await create(bench, "trains when stopped", customModelKmsKeyId=key)
    await bench.training(arn)
    waiting = await create(bench, "trains", customModelKmsKeyId=key)
    await bench.stop(arn)
    job = await bench.ended(arn)
    model = await bench.model(job)
    assert model is not None
    assert model.record.adapter is not None
    assert {model.record.kms_key, model.record.adapter.data_key.kms_key} == {key}
    shown = await bench.admin.ask("bedrock", "GetCustomModel", modelIdentifier=str(model.arn))
    assert shown["modelKmsKeyArn"] == key
    assert (await bench.ended(waiting)).status == "Completed"
    blocking = await create(bench, "waits")
    await bench.training(blocking)
    waiting = await create(bench, "trains", customModelKmsKeyId=key)
    await bench.admin.ask("kms", "DisableKey", KeyId=key)
    await bench.stop(blocking)
    job = await bench.ended(waiting)
    assert (job.status, job.training.status) == ("Failed", "NotStarted")
    assert "is disabled" in (job.failure or "")
    assert await bench.model(job) is None
