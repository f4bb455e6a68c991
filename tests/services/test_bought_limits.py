"""What was bought is what can be used (PT-30): tokens read and written a minute, in every operation
of the runtime, whatever else limits rates."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import parse, whole
from throughputs_under_test import Bench, open_bench

from outcrop.config import Quotas
from outcrop.quotas.memory import MemoryLimiter
from outcrop.stores.model_records import ModelUnit

MUCH = 1_000_000
EMBEDDER = "amazon.titan-embed-text-v1:2:8k"
ON_DEMAND = "anthropic.claude-v2"
WORDS = "\u00e9" * 40
"""Of as many tokens, as it is estimated."""

TEXT = ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=["off", "aws"])
def profile(request: pytest.FixtureRequest) -> str:
    """Without quotas on demand, what was bought holds all the same."""
    return cast(str, request.param)


@pytest.fixture
async def bench(
    profile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch, quotas=Quotas(profile=profile)) as bench:
        await bench.units(10)
        yield bench


@pytest.fixture
def clock(bench: Bench) -> Clock:
    clock, deployment = Clock(), bench.inside.deployment
    deployment.serving = replace(deployment.serving, limiter=MemoryLimiter(clock))
    return clock


async def bought(bench: Bench, *, reads: int = MUCH, writes: int = MUCH, **params: Any) -> str:
    arn = await bench.bought(**params)
    await bench.change(unit=ModelUnit(input_tokens=reads, output_tokens=writes))
    return arn


async def ask(
    bench: Bench, operation: str, model: str, *, tokens: int = 1, most: int | None = None
) -> Mapping[str, str]:
    """Asks for ``tokens`` and allows ``most``. The headers of the refusal, none where it passed."""
    text, most = f'script: [{{"tokens": {tokens}}}]', tokens if most is None else most
    if operation.startswith("Converse"):
        params: dict[str, Any] = {
            "messages": [{"role": "user", "content": [{"text": text}]}],
            "inferenceConfig": {"maxTokens": most},
        }
    else:
        prompt = f"\n\nHuman: {text}\n\nAssistant:"
        params = {"body": json.dumps({"prompt": prompt, "max_tokens_to_sample": most})}
    return await asked(bench, operation, model, params)


async def asked(
    bench: Bench, operation: str, model: str, params: Mapping[str, Any]
) -> Mapping[str, str]:
    request = bench.admin.request("bedrock-runtime", operation, modelId=model, **params)
    response = await bench.inside.app.handle(request)
    body = await whole(response)
    if response.status == 200:
        return {}
    with pytest.raises(ClientError) as caught:
        parse("bedrock-runtime", operation, response.status, response.headers, body)
    error = cast(Any, caught.value.response)["Error"]
    assert (response.status, error["Code"], error["Message"]) == (
        429,
        "ThrottlingException",
        "Too many tokens, please wait before trying again.",
    )
    return response.headers


@pytest.mark.parametrize("operation", TEXT)
async def test_no_more_is_written_in_a_minute_than_was_bought(
    bench: Bench, clock: Clock, operation: str
) -> None:
    await bought(bench, writes=30, modelUnits=2)
    for _ in range(3):
        assert not await ask(bench, operation, "mine", tokens=20)
    refused = await ask(bench, operation, "mine", tokens=20)
    assert (refused["x-amz-retry-after"], refused["retry-after"]) == ("20000", "20")
    clock.now_s = 20.0
    assert not await ask(bench, operation, "mine", tokens=20)
    assert await ask(bench, operation, "mine", tokens=20)


@pytest.mark.parametrize("operation", TEXT)
async def test_no_more_is_read_in_a_minute_than_was_bought(
    bench: Bench, clock: Clock, operation: str
) -> None:
    arn = await bought(bench, reads=60)
    passed = 0
    while not (refused := await ask(bench, operation, arn)):
        passed += 1
        assert passed < 60
    assert passed > 1
    assert int(refused["x-amz-retry-after"]) > 0
    clock.now_s = 60.0
    assert not await ask(bench, operation, arn)


async def test_embeddings_read_no_more_than_was_bought(bench: Bench, clock: Clock) -> None:
    await bought(bench, reads=100, modelId=EMBEDDER)
    params = {"body": json.dumps({"inputText": WORDS})}
    answers = [await asked(bench, "InvokeModel", "mine", params) for _ in range(200)]
    assert not answers[0]
    assert answers[-1]["retry-after"]


@pytest.mark.parametrize("operation", TEXT)
async def test_what_a_call_may_write_and_does_not_is_not_used(
    bench: Bench, clock: Clock, operation: str
) -> None:
    await bought(bench, writes=30)
    for _ in range(6):
        assert not await ask(bench, operation, "mine", tokens=2, most=20)
    assert await ask(bench, operation, "mine", tokens=2, most=20)


@pytest.mark.parametrize("operation", TEXT)
async def test_what_may_need_more_than_a_minute_takes_it_whole_and_owes_the_rest(
    bench: Bench, clock: Clock, operation: str
) -> None:
    await bought(bench, writes=30)
    assert not await ask(bench, operation, "mine", tokens=1, most=1000)
    # One is missing now.
    refused = await ask(bench, operation, "mine", tokens=1, most=1000)
    assert refused["x-amz-retry-after"] == "2000"
    clock.now_s = 2.0
    assert not await ask(bench, operation, "mine", tokens=90, most=1000)
    refused = await ask(bench, operation, "mine")
    assert refused["retry-after"] == "122"
    clock.now_s = 124.0
    assert not await ask(bench, operation, "mine")


async def test_a_prompt_longer_than_a_minute_holds_is_read_and_paid_for_by_waiting(
    bench: Bench, clock: Clock
) -> None:
    await bought(bench, reads=2)
    assert not await ask(bench, "Converse", "mine")
    assert int((await ask(bench, "Converse", "mine"))["retry-after"]) > 30


async def test_what_was_bought_and_the_quotas_on_demand_are_counted_apart(
    bench: Bench, clock: Clock, profile: str
) -> None:
    await bought(bench, writes=30)
    inside = bench.inside.deployment
    model = inside.catalog.get(ON_DEMAND, "us-east-1")
    for unit in ("requests", "tokens"):
        await bench.quota(str(inside.serving.book.rate_key(model, unit)), 100)
    assert not await ask(bench, "Converse", "mine", tokens=30)
    assert await ask(bench, "Converse", "mine", tokens=30)
    # All hundred tokens are there: twelve or so are read.
    assert not await ask(bench, "Converse", ON_DEMAND, tokens=80)
    refused = await ask(bench, "Converse", ON_DEMAND, tokens=80)
    assert bool(refused) == (profile == "aws")
    clock.now_s = 60.0
    assert not await ask(bench, "Converse", ON_DEMAND, tokens=80)
    assert not await ask(bench, "Converse", "mine", tokens=30)


async def test_an_update_leaves_what_was_used_used(bench: Bench, clock: Clock) -> None:
    arn = await bought(bench, writes=30)
    assert not await ask(bench, "Converse", arn, tokens=30)
    await bench.ask("Update", provisionedModelId=arn, desiredModelId="anthropic.claude-v2:0:100k")
    await bench.ask("Update", provisionedModelId=arn, desiredProvisionedModelName="mine")
    assert (await bench.settled(arn))["status"] == "InService"
    assert await ask(bench, "Converse", "mine")
