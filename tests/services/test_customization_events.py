"""The events of jobs that run, as a rule sends them to a queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from customizing_under_test import MOST_S, Bench, open_bench
from event_worlds import received, rule_to_queue

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDINGS = ("Completed", "Failed", "Stopped")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path_factory.mktemp("events")) as bench:
        yield bench


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def queue(bench: Bench) -> str:
    pattern = {"source": ["aws.bedrock"], "detail-type": ["Model Customization Job State Change"]}
    return await rule_to_queue(bench.admin, pattern=json.dumps(pattern))


async def events(bench: Bench, queue: str, count: int) -> list[dict[str, Any]]:
    """The next ones, in the order of states: they come in no particular one."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(MOST_S):
        while len(found) < count:
            message = await received(bench.admin, queue)
            if message is not None:
                found.append(json.loads(message["Body"]))
    order = ["InProgress", "Stopping", *ENDINGS]
    return sorted(found, key=lambda each: order.index(each["detail"]["jobStatus"]))


async def told(bench: Bench, queue: str, scenario: str, count: int) -> list[dict[str, Any]]:
    """The events of one job until its end, which is stopped where there are to be three."""
    arn = await bench.create(scenario)
    if count == 3:
        await bench.training(arn)
        await bench.stop(arn)
    job = await bench.ended(arn)
    found = await events(bench, queue, count)
    for each in found:
        assert (each["source"], each["resources"]) == ("aws.bedrock", [arn])
        assert each["detail"]["jobArn"] == arn
    described = await bench.admin.ask("bedrock", "GetModelCustomizationJob", jobIdentifier=arn)
    last = found[-1]["detail"]
    assert last["jobStatus"] == described["status"] == job.status
    assert last.get("outputModelArn") == described.get("outputModelArn")
    assert last.get("failureMessage") == described.get("failureMessage")
    for each in found[:-1]:
        assert not {"outputModelArn", "failureMessage", "endTime"} & each["detail"].keys()
    assert "endTime" in last
    return found


async def test_a_job_that_completes_tells_its_model(bench: Bench, queue: str) -> None:
    found = await told(bench, queue, "trains", 2)
    assert [each["detail"]["jobStatus"] for each in found] == ["InProgress", "Completed"]
    last = found[-1]["detail"]
    models = await bench.admin.ask("bedrock", "ListCustomModels")
    assert last["outputModelArn"] in [each["modelArn"] for each in models["modelSummaries"]]


@pytest.mark.parametrize("scenario", ["rejects", "diverges", "breaks"])
async def test_a_job_that_fails_tells_why(bench: Bench, queue: str, scenario: str) -> None:
    """In its data, in its training and in what it runs on."""
    found = await told(bench, queue, scenario, 2)
    assert [each["detail"]["jobStatus"] for each in found] == ["InProgress", "Failed"]
    assert found[-1]["detail"]["failureMessage"]


async def test_a_job_that_is_stopped_tells_both_that_it_stops_and_that_it_has(
    bench: Bench, queue: str
) -> None:
    found = await told(bench, queue, "waits", 3)
    states = [each["detail"]["jobStatus"] for each in found]
    assert states == ["InProgress", "Stopping", "Stopped"]


async def test_a_job_that_is_done_before_it_stops_tells_its_model(bench: Bench, queue: str) -> None:
    found = await told(bench, queue, "trains when stopped", 3)
    states = [each["detail"]["jobStatus"] for each in found]
    assert states == ["InProgress", "Stopping", "Completed"]
    assert "outputModelArn" in found[-1]["detail"]


async def test_no_other_event_comes_of_jobs_that_were_tried_again(bench: Bench, queue: str) -> None:
    """How far a job has come is no change of its state."""
    await told(bench, queue, "breaks once", 2)
    assert await received(bench.admin, queue) is None
