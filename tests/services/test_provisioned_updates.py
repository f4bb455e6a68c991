"""Changing provisioned throughput: its name at once, its model while the old one goes on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kms_requests import make_key, owned, user
from statements import allow, to, user_arn
from throughputs_under_test import LONG, SHORT, Bench, model_arn, open_bench

from outcrop.capacity.capacity import CapacityShort

NO_TERM: dict[str, Any] = {"commitmentDuration": None}


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch) as bench:
        await bench.units(1000)
        yield bench


async def test_a_name_changes_at_once_and_the_arn_stays(bench: Bench) -> None:
    arn = await bench.bought(tags=[{"key": "team", "value": "ml"}])
    created_at = (await bench.get())["creationTime"]
    await bench.ask("Update", provisionedModelId="mine", desiredProvisionedModelName="ours")
    found = await bench.get("ours")
    assert (found["provisionedModelArn"], found["status"]) == (arn, "InService")
    assert found["creationTime"] == created_at
    assert (await bench.record("ours")).tags == {"team": "ml"}
    assert (await bench.refusal("Get", provisionedModelId="mine"))[0] == (
        "ResourceNotFoundException"
    )
    await bench.bought("mine")
    assert bench.inside.deployment.state.stores.models.find_arn(arn) is not None


async def test_a_taken_name_is_not_taken_again(bench: Bench) -> None:
    await bench.bought()
    await bench.bought("other")
    code, message = await bench.refusal(
        "Update", provisionedModelId="mine", desiredProvisionedModelName="other"
    )
    assert (code, "named 'other' already" in message) == ("ValidationException", True)


async def test_one_of_a_custom_model_goes_to_another_one_of_its_base_and_to_the_base(
    bench: Bench,
) -> None:
    tuned, better = await bench.custom("tuned"), await bench.custom("better")
    arn = await bench.bought(modelId=tuned, **NO_TERM)
    for desired, expected in (
        (better, better),
        ("tuned", tuned),
        (model_arn("anthropic.claude-v2"), model_arn("anthropic.claude-v2")),
        (LONG, model_arn(LONG)),
        (better, better),
    ):
        await bench.ask("Update", provisionedModelId=arn, desiredModelId=desired)
        found = await bench.settled(arn)
        assert (found["status"], found["modelArn"], found["desiredModelArn"]) == (
            "InService",
            expected,
            expected,
        )
    assert found["foundationModelArn"] == model_arn("anthropic.claude-v2")
    assert bench.capacity.asked[-1] == ("swap", "anthropic.claude-v2")


async def test_one_of_a_base_model_goes_to_another_variant_of_it_only(bench: Bench) -> None:
    tuned = await bench.custom("tuned")
    await bench.bought()
    await bench.ask("Update", provisionedModelId="mine", desiredModelId=LONG)
    found = await bench.settled()
    assert found["modelArn"] == found["foundationModelArn"] == model_arn(LONG)
    code, message = await bench.refusal("Update", provisionedModelId="mine", desiredModelId=tuned)
    assert (code, "was bought for a base model" in message) == ("ValidationException", True)


async def test_a_model_of_another_base_is_refused(bench: Bench) -> None:
    other = await bench.custom("other", base="amazon.titan-text-express-v1")
    await bench.bought(modelId=await bench.custom("tuned"), **NO_TERM)
    for desired in (other, "amazon.titan-text-express-v1:0:8k"):
        code, message = await bench.refusal(
            "Update", provisionedModelId="mine", desiredModelId=desired
        )
        assert code == "ValidationException"
        assert "models of the base anthropic.claude-v2 only" in message


async def test_while_it_is_updated_the_old_model_serves(bench: Bench) -> None:
    arn = await bench.bought()
    bench.capacity.open.clear()
    bench.capacity.arrived.clear()
    await bench.ask(
        "Update",
        provisionedModelId="mine",
        desiredProvisionedModelName="ours",
        desiredModelId=LONG,
    )
    await bench.capacity.arrived.wait()
    found = await bench.get("ours")
    assert (found["status"], found["modelArn"], found["desiredModelArn"]) == (
        "Updating",
        model_arn(SHORT),
        model_arn(LONG),
    )
    assert bench.capacity.held[arn].id == SHORT
    bench.capacity.open.set()
    assert (await bench.settled("ours"))["status"] == "InService"
    assert bench.capacity.held[arn].id == LONG


async def test_an_update_that_cannot_be_done_fails_with_the_reason(bench: Bench) -> None:
    arn = await bench.bought()
    bench.capacity.failures.append(CapacityShort("no room beside the old one"))
    await bench.ask("Update", provisionedModelId="mine", desiredModelId=LONG)
    found = await bench.settled()
    assert (found["status"], found["failureMessage"]) == ("Failed", "no room beside the old one")
    assert (found["modelArn"], found["desiredModelArn"]) == (model_arn(SHORT), model_arn(LONG))
    assert arn not in bench.capacity.held
    # Nothing is paid for it any more, so nothing keeps it.
    await bench.ask("Delete", provisionedModelId="mine")


@pytest.mark.parametrize("status", ["Creating", "Updating", "Failed"])
async def test_only_what_is_in_service_is_updated(bench: Bench, status: str) -> None:
    await bench.bought()
    await bench.change(status=status)
    changes: list[dict[str, Any]] = [
        {"desiredProvisionedModelName": "new"},
        {"desiredModelId": LONG},
    ]
    for change in changes:
        code, message = await bench.refusal("Update", provisionedModelId="mine", **change)
        assert code == "ValidationException"
        assert f"has the status {status}" in message


async def test_what_is_so_already_stays_so(bench: Bench) -> None:
    await bench.bought()
    before = await bench.record()
    same: dict[str, Any] = {"desiredProvisionedModelName": "mine", "desiredModelId": SHORT}
    await bench.ask("Update", provisionedModelId="mine", **same)
    assert await bench.record() == before
    # An update that is sent again finds itself under way.
    bench.capacity.open.clear()
    for _ in range(2):
        await bench.ask("Update", provisionedModelId="mine", desiredModelId=LONG)
    assert (await bench.get())["status"] == "Updating"


async def test_an_update_of_nothing_is_refused(bench: Bench) -> None:
    await bench.bought()
    code, message = await bench.refusal("Update", provisionedModelId="mine")
    assert (code, "Nothing to update" in message) == ("ValidationException", True)


async def test_an_update_needs_what_a_purchase_of_the_model_needs(bench: Bench) -> None:
    bedrock = allow("bedrock:*")
    may = await user(bench.inside, "may", bedrock)
    may_not = await user(bench.inside, "may-not", bedrock)
    key = await make_key(bench.admin, Policy=owned(to(user_arn("may"), "kms:Decrypt")))
    locked = await bench.custom("locked", kms_key=key)
    await bench.bought(modelId=await bench.custom("tuned"), **NO_TERM)
    change: dict[str, Any] = {"provisionedModelId": "mine", "desiredModelId": locked}
    code, message = await bench.refusal("Update", may_not, **change)
    assert (code, "KMS key" in message) == ("AccessDeniedException", True)
    await bench.ask("Update", may, **change)
    await bench.settled()
    await bench.access("anthropic.claude-v2", "removed")
    code, _ = await bench.refusal("Update", provisionedModelId="mine", desiredModelId="tuned")
    assert code == "AccessDeniedException"


async def test_calls_go_on_without_one_that_fails_while_it_is_updated(bench: Bench) -> None:
    arn = await bench.bought(modelUnits=900)
    bench.capacity.open.clear()
    stop = asyncio.Event()
    progress = asyncio.Event()
    answered = 0

    async def call() -> None:
        nonlocal answered
        body = b'{"prompt": "\\n\\nHuman: hi\\n\\nAssistant:", "max_tokens_to_sample": 4}'
        while not stop.is_set():
            await bench.admin.ask("bedrock-runtime", "InvokeModel", modelId=arn, body=body)
            answered += 1
            progress.set()
            # A call in this process waits for nothing by itself.
            await asyncio.sleep(0.001)

    calls = [asyncio.ensure_future(call()) for _ in range(4)]
    await bench.ask("Update", provisionedModelId=arn, desiredProvisionedModelName="ours")
    for desired in (LONG, SHORT):
        await bench.ask("Update", provisionedModelId=arn, desiredModelId=desired)
        before = answered
        async with asyncio.timeout(30):
            while answered < before + 20:
                progress.clear()
                await progress.wait()
        bench.capacity.open.set()
        assert (await bench.settled(arn))["status"] == "InService"
        bench.capacity.open.clear()
    stop.set()
    await asyncio.gather(*calls)
    assert answered > 40
