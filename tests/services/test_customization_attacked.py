"""Customization jobs at the moments that hurt: cut off, refused and out of luck at their very
end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from botocore.exceptions import ClientError
from customizing_under_test import MOST_S, Bench, open_bench
from in_process import ADMIN
from sqlalchemy import event
from statements import allow, document

from outcrop.errors import ServiceError
from outcrop.identity import Caller
from outcrop.server.background import DeploymentBackground
from outcrop.services.bedrock.customization.locations import read_folder_uri, result_names
from outcrop.stores.kms_records import KmsGrant

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path_factory.mktemp("attacked")) as bench:
        yield bench


async def test_results_that_cannot_be_kept_are_paid_for_all_the_same(bench: Bench) -> None:
    arn = await bench.create("trains when stopped")
    job = await bench.training(arn)
    folder = read_folder_uri(job.output_uri)
    resource = f"arn:aws:s3:::{folder.bucket}/{folder.key}*"
    denied = {**allow("s3:PutObject", resource), "Effect": "Deny", "Principal": "*"}
    call = bench.inside.call(bench.inside.caller(ADMIN))
    named = {"Bucket": folder.bucket}
    await call.perform("s3", "PutBucketPolicy", {**named, "Policy": document(denied)})
    await bench.stop(arn)
    job = await bench.ended(arn)
    await call.perform("s3", "DeleteBucketPolicy", named)
    assert job.status == "Failed"
    assert (job.failure or "").startswith("Amazon S3 perms missing (PutObject)")
    assert await bench.billed(arn) == job.progress.tokens == 1000


async def test_an_output_folder_without_room_for_results_is_refused_at_once(bench: Bench) -> None:
    key = "a" * (1024 - len("s3:///") - len(bench.bucket))
    uri = f"s3://{bench.bucket}/{key}"
    with pytest.raises(ClientError, match=r"outputDataConfig\.s3Uri: The key .* more than 1024"):
        await bench.create("trains", outputDataConfig={"s3Uri": uri})
    room = 1024 - max(len(name) for name in result_names("a" * 12, is_validated=False))
    uri = f"s3://{bench.bucket}/{'a' * (room - 1)}"
    await bench.ended(await bench.create("rejects", outputDataConfig={"s3Uri": uri}))


async def test_what_the_object_store_cannot_keep_is_told_to_the_owner(bench: Bench) -> None:
    uri = f"s3://{bench.bucket}/{'.' * 800}"
    job = await bench.ended(await bench.create("trains", outputDataConfig={"s3Uri": uri}))
    assert job.status == "Failed"
    assert "The object store keeps no key of this length" in (job.failure or "")


async def test_a_model_whose_commit_is_cut_off_keeps_its_files(bench: Bench) -> None:
    arn = await bench.create("trains when stopped")
    job = await bench.training(arn)
    folder = bench.data / "artifacts" / job.model_arn.rpartition("/")[2]
    cut: list[str] = []

    def cut_off(_connection: sa.Connection) -> None:
        task = asyncio.current_task()
        if task is not None and arn in task.get_name() and folder.exists():
            cut.append(task.get_name())
            task.cancel()

    event.listen(sa.Engine, "commit", cut_off)
    try:
        await bench.stop(arn)
        job = await bench.ended(arn)
    finally:
        event.remove(sa.Engine, "commit", cut_off)
    assert cut
    assert job.status == "Completed"
    assert await bench.model(job) is not None
    assert (folder / "adapter.gguf.sealed").read_bytes() == b"gguf"


async def test_files_that_a_killed_attempt_had_put_go_with_its_stopped_job(bench: Bench) -> None:
    """It was killed between the files and the commit, and stopped before it was taken up again."""
    arn = await bench.create("waits")
    job = await bench.training(arn)
    folder = bench.data / "artifacts" / job.model_arn.rpartition("/")[2]
    folder.mkdir(parents=True)
    (folder / "adapter.gguf.sealed").write_bytes(b"gguf")
    await bench.stop(arn)
    assert (await bench.ended(arn)).status == "Stopped"
    assert not folder.exists()


async def test_a_kms_that_fails_by_itself_ends_no_job_and_leaves_no_grant(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails once at each of what a job asks of it."""
    perform = DeploymentBackground.perform
    failures = {"Decrypt": 1, "RetireGrant": 1}

    async def failing(
        self: DeploymentBackground,
        caller: Caller,
        service: str,
        operation: str,
        *args: Any,
        **named: Any,
    ) -> Mapping[str, Any]:
        if failures.pop(operation, 0):
            raise ServiceError("KMSInternalException", "Not now.", status=500)
        return await perform(self, caller, service, operation, *args, **named)

    monkeypatch.setattr(DeploymentBackground, "perform", failing)
    arn = await bench.create("rejects")
    job = await bench.ended(arn)
    assert (job.failure or "").startswith("Unable to parse job-")
    async with asyncio.timeout(MOST_S):
        for _ in itertools.count():
            if job.data_key.grant not in await _grants(bench):
                break
            await asyncio.sleep(0.1)
    assert not failures


async def _grants(bench: Bench) -> list[str]:
    async with bench.inside.deployment.state.stores.resources.reading() as view:
        return [item.name for item in await view.list(KmsGrant)]
