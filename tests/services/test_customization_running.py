"""What becomes of customization jobs, whatever happens meanwhile."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from customizing_under_test import EXPRESS, Bench, open_bench
from in_process import ADMIN, REGION
from statements import ACCOUNT

from outcrop.services.bedrock.customization.keys import make_data_key
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.kms_records import KmsGrant
from outcrop.stores.model_records import CustomModel
from outcrop.stores.resources import Place

pytestmark = pytest.mark.asyncio(loop_scope="module")

INTERNAL = "Encountered an unexpected error when processing the request, please try again"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path_factory.mktemp("customizing")) as bench:
        yield bench


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_job_that_has_trained_is_completed_and_has_its_model(bench: Bench) -> None:
    tags = [{"key": "team", "value": "red"}]
    arn = await bench.create("trains", customModelTags=tags)
    job = await bench.ended(arn)
    assert (job.status, job.failure, job.training_loss, job.note) == (
        *("Completed", None),
        *(0.5, "noted"),
    )
    assert {job.validation.status, job.processing.status, job.training.status} == {"Completed"}
    model = await bench.model(job)
    assert model is not None
    assert model.record.adapter is not None
    assert (model.arn, model.tags, model.record.job_arn, model.record.engine) == (
        *(job.model_arn, {"team": "red"}),
        *(arn, "base"),
    )
    folder = bench.data / "artifacts" / model.record.adapter.folder
    assert (folder / "adapter.gguf.sealed").read_bytes() == b"gguf"
    assert model.record.adapter.size_bytes == len(b"ggufpeft!")


async def test_the_results_lie_where_the_documents_say(bench: Bench) -> None:
    arn = await bench.create("trains")
    job = await bench.ended(arn)
    name, job_id = job.output_uri.rpartition("/")[2], arn.rpartition("/")[2]
    assert await bench.keys(f"out/{name}/") == [
        f"out/{name}/model-customization-job-{job_id}/training_artifacts/"
        "step_wise_training_metrics.csv"
    ]


async def test_validation_data_have_results_of_their_own(bench: Bench) -> None:
    await bench.put("validation.jsonl", b'{"input": "q", "output": "a"}')
    validators = [{"s3Uri": f"s3://{bench.bucket}/validation.jsonl"}]
    arn = await bench.create("trains", validationDataConfig={"validators": validators})
    job = await bench.ended(arn)
    assert job.validation_losses == (0.75,)
    name = job.output_uri.rpartition("/")[2]
    assert [key.split("/", 3)[3] for key in await bench.keys(f"out/{name}/")] == [
        "training_artifacts/step_wise_training_metrics.csv",
        "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv",
    ]


async def test_all_tokens_trained_are_billed(bench: Bench) -> None:
    arn = await bench.create("trains")
    job = await bench.ended(arn)
    assert (job.progress.step, job.progress.tokens) == (4, 1000)
    assert await bench.billed(arn) == 1000


async def test_refused_data_are_the_jobs_failure_message(bench: Bench) -> None:
    job = await bench.ended(await bench.create("rejects"))
    assert job.status == "Failed"
    assert (job.failure or "").startswith("Unable to parse job-")
    assert await bench.model(job) is None
    assert job.validation.status == "Failed"


async def test_a_job_that_fails_late_pays_for_what_it_has_trained(bench: Bench) -> None:
    arn = await bench.create("diverges")
    job = await bench.ended(arn)
    assert (job.status, job.training.status) == ("Failed", "Failed")
    assert job.failure == "The loss is no number any more."
    assert await bench.billed(arn) == job.progress.tokens == 750


async def test_what_is_no_file_of_the_role_fails_the_job(bench: Bench) -> None:
    config = {"s3Uri": f"s3://{bench.bucket}/none.jsonl"}
    job = await bench.ended(await bench.create("trains", trainingDataConfig=config))
    assert job.status == "Failed"
    assert (job.failure or "").startswith("Could not validate GetObject permissions to access")


async def test_a_role_that_is_gone_fails_the_job(bench: Bench) -> None:
    role = await bench.make_role()
    arn = await bench.create("trains when stopped", roleArn=role)
    await bench.training(arn)
    await bench.inside.remove(RoleRecord, ACCOUNT, role.rpartition("/")[2])
    await bench.stop(arn)
    job = await bench.ended(arn)
    assert job.status == "Failed"
    assert job.failure != INTERNAL
    assert await bench.model(job) is None


async def test_what_breaks_once_goes_on_from_where_it_was(bench: Bench) -> None:
    arn = await bench.create("breaks once")
    job = await bench.ended(arn)
    assert job.status == "Completed"
    assert await bench.billed(arn) == 1000


async def test_what_goes_further_each_time_is_not_given_up(bench: Bench) -> None:
    """It breaks more often than what makes no headway may."""
    arn = await bench.create("breaks at each step")
    job = await bench.ended(arn)
    assert job.status == "Completed"
    assert await bench.billed(arn) == 1000


async def test_what_breaks_again_and_again_fails_with_the_documents_sentence(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    arn = await bench.create("breaks")
    job = await bench.ended(arn)
    assert (job.status, job.failure) == ("Failed", INTERNAL)
    assert f"{arn} has failed: The training process ended with status 3" in caplog.text


async def test_a_stopped_job_leaves_no_model_and_pays_for_its_tokens(bench: Bench) -> None:
    arn = await bench.create("waits")
    await bench.training(arn)
    await bench.stop(arn)
    job = await bench.ended(arn)
    assert (job.status, job.training.status) == ("Stopped", "Stopped")
    assert await bench.model(job) is None
    assert await bench.billed(arn) == 500


async def test_one_that_waits_for_its_turn_can_be_stopped(bench: Bench) -> None:
    first = await bench.create("waits")
    await bench.training(first)
    second = await bench.create("trains")
    await bench.stop(second)
    job = await bench.ended(second)
    assert (job.status, job.progress.tokens) == ("Stopped", 0)
    found = await bench.find(first)
    assert found is not None
    assert found.record.status == "InProgress"
    await bench.stop(first)
    await bench.ended(first)


async def test_a_stop_that_comes_as_the_last_step_ends_is_too_late(bench: Bench) -> None:
    arn = await bench.create("trains when stopped")
    await bench.training(arn)
    await bench.stop(arn)
    job = await bench.ended(arn)
    assert job.status == "Completed"
    assert await bench.model(job) is not None


async def test_data_are_closed_to_others_while_a_job_runs(bench: Bench) -> None:
    arn = await bench.create("waits")
    await bench.training(arn)
    folder = bench.folder(arn)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "training.jsonl")}
    assert modes == {0o700, 0o600}
    await bench.stop(arn)
    await bench.ended(arn)


async def test_a_model_whose_name_was_taken_meanwhile_fails_the_job(bench: Bench) -> None:
    arn = await bench.create("trains when stopped")
    job = await bench.training(arn)
    other = Place(ACCOUNT, REGION, job.model_name)
    async with bench.inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(CustomModel(base_model=job.base_model), other)
    await bench.stop(arn)
    job = await bench.ended(arn)
    assert job.status == "Failed"
    assert f"the name {job.model_name} was created" in (job.failure or "")
    assert not (bench.data / "artifacts" / job.model_arn.rpartition("/")[2]).exists()


async def test_with_its_account_a_job_is_gone(bench: Bench) -> None:
    arn = await bench.create("waits")
    await bench.training(arn)
    pid = int((bench.folder(arn) / "pid").read_text())
    resources = bench.inside.deployment.state.stores.resources
    async with resources.writing() as transaction:
        item = await transaction.find_arn(CustomizationJob, arn)
        assert item is not None
        await transaction.remove(CustomizationJob, item.place)
    await bench.removed(arn)
    assert not is_running(pid)
    assert await bench.find(arn) is None


async def test_a_server_that_stops_ends_the_training_and_goes_on_later(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as first:
        arn = await first.create("waits")
        await first.training(arn)
        pid = int((first.folder(arn) / "pid").read_text())
        stray = first.data / "training" / "gone"
        stray.mkdir()
        (stray.parent / "note.txt").write_text("of nobody's job")
    assert not is_running(pid)
    async with open_bench(tmp_path, bucket=first.bucket) as second:
        job = await second.ended(arn)
        assert job.status == "Completed"
        assert await second.billed(arn) == 1000
        assert not stray.exists()
        assert not (stray.parent / "note.txt").exists()


async def test_a_grant_that_a_killed_server_made_for_no_job_is_retired(tmp_path: Path) -> None:
    """It was killed between the grant and the job."""
    nobody = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-customization-job/{EXPRESS}/nobodysjob12"
    async with open_bench(tmp_path) as first:
        await first.ended(await first.create("trains"))
        call = first.inside.call(first.inside.caller(ADMIN))
        left = await make_data_key(call, nobody, None)
        before = await _grants(first)
    assert left.grant in before
    async with open_bench(tmp_path, bucket=first.bucket) as second:
        assert await _grants(second) == before - {left.grant}


async def _grants(bench: Bench) -> set[str]:
    async with bench.inside.deployment.state.stores.resources.reading() as view:
        return {item.name for item in await view.list(KmsGrant)}
