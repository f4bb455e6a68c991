"""Every operation of the runtime on provisioned throughput, by name and by ARN: in each state,
after its deletion, and while its engine is not back after a restart."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Inside, parse, running_inside, whole
from throughputs_under_test import SHORT, TERM, Bench, open_bench

from outcrop.config import Capacity

NO_TERM: dict[str, Any] = {"commitmentDuration": None}
COUNTED = "anthropic.claude-sonnet-4-20250514-v1:0"
"""Of those that tokens are counted of; throughput is sold of models that were made from it."""

OPERATIONS = (
    *("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"),
    "CountTokens",
)
ENOUGH = Capacity(input_tokens=100_000, output_tokens=100_000)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch, capacity=ENOUGH) as bench:
        yield bench


@pytest.fixture
async def arn(bench: Bench) -> str:
    return await bench.bought(modelId=await bench.custom("tuned", base=COUNTED), **NO_TERM)


def asking(operation: str, text: str = "granite") -> dict[str, Any]:
    conversation = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    if operation == "CountTokens":
        return {"input": {"converse": conversation}}
    if operation.startswith("Converse"):
        return conversation
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 8,
        "messages": [{"role": "user", "content": text}],
    }
    return {"body": json.dumps(body)}


async def outcome(inside: Inside, operation: str, identifier: str) -> str:
    """``ok``, or the code of the refusal."""
    client = inside.client(ADMIN)
    request = client.request("bedrock-runtime", operation, modelId=identifier, **asking(operation))
    response = await inside.app.handle(request)
    body = await whole(response)
    if response.status == 200:
        return "ok" if b"exception" not in body else "a stream that broke off"
    try:
        parse("bedrock-runtime", operation, response.status, response.headers, body)
    except ClientError as error:
        return cast(Any, error.response)["Error"]["Code"]
    raise AssertionError("an error that is none to botocore")


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_it_answers_goes_by_its_state(bench: Bench, arn: str, operation: str) -> None:
    for status, expected in (
        ("InService", "ok"),
        ("Updating", "ok"),
        ("Creating", "ModelNotReadyException"),
        ("Failed", "ValidationException"),
    ):
        await bench.change(status=status)
        found = {await outcome(bench.inside, operation, name) for name in ("mine", arn)}
        assert found == {expected}, status


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_was_deleted_is_not_there(bench: Bench, arn: str, operation: str) -> None:
    await bench.ask("Delete", provisionedModelId="mine")
    found = {await outcome(bench.inside, operation, name) for name in ("mine", arn)}
    assert len(found) == 1
    assert found <= {"ValidationException", "ResourceNotFoundException"}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_until_its_engine_is_back_it_is_not_ready(
    bench: Bench, arn: str, operation: str
) -> None:
    model = bench.capacity.held.pop(arn)
    found = {await outcome(bench.inside, operation, name) for name in ("mine", arn)}
    assert found == {"ModelNotReadyException"}
    bench.capacity.held[arn] = model
    assert await outcome(bench.inside, operation, arn) == "ok"


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_another_name_s_or_account_s_is_not_there(
    bench: Bench, arn: str, operation: str
) -> None:
    foreign = arn.replace(":123456789012:", ":210987654321:")
    assert foreign != arn
    for name in ("ours", foreign, f"{arn}x"):
        assert await outcome(bench.inside, operation, name) != "ok"


async def test_a_stream_that_runs_when_its_throughput_is_deleted_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch, capacity=ENOUGH) as inside:
        bench = Bench(inside, inside.client(ADMIN), cast(Any, None))
        await bench.units(1)
        arn = await bench.bought(modelId=SHORT, **TERM)
        script = 'script: [{"text": "begun"}, {"sleep_s": 0.2}, {"text": " and ended"}]'
        request = bench.admin.request(
            "bedrock-runtime",
            "ConverseStream",
            modelId=arn,
            messages=[{"role": "user", "content": [{"text": script}]}],
        )
        response = await inside.app.handle(request)
        async with aclosing(cast(Any, response.body)) as body:
            pieces = [await anext(body)]
            await bench.end_commitment((await bench.record()).created_at)
            await bench.ask("Delete", provisionedModelId=arn)
            assert await outcome(inside, "Converse", arn) != "ok"
            async with asyncio.timeout(30):
                pieces += [piece async for piece in body]
        text = b"".join(pieces)
        assert b'" ended"' in text
        assert b"messageStop" in text
        assert b"xception" not in text
