"""Calls on provisioned throughput by their state and by the kind of model behind it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import whole
from throughputs_under_test import Bench, open_bench

NO_TERM: dict[str, Any] = {"commitmentDuration": None}
BODY = json.dumps({"prompt": "\n\nHuman: granite\n\nAssistant:", "max_tokens_to_sample": 4})


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch) as bench:
        await bench.units(1)
        yield bench


async def invoke(bench: Bench, identifier: str) -> str:
    """The completion, or the code of the refusal."""
    try:
        answer = await bench.admin.ask(
            "bedrock-runtime", "InvokeModel", modelId=identifier, body=BODY
        )
    except ClientError as error:
        refused: Any = error.response
        return str(refused["Error"]["Code"])
    return json.loads(answer["body"])["completion"].strip()


@pytest.mark.parametrize(
    ("status", "code"),
    [("Creating", "ModelNotReadyException"), ("Failed", "ValidationException")],
)
async def test_it_serves_nothing_before_and_after_its_service(
    bench: Bench, status: str, code: str
) -> None:
    """PT-29."""
    arn = await bench.bought()
    await bench.change(status=status)
    for identifier in (arn, "mine"):
        assert await invoke(bench, identifier) == code
    for served in ("InService", "Updating"):
        await bench.change(status=served)
        assert await invoke(bench, arn) == "granite"


async def test_throughput_of_a_custom_model_speaks_its_base_s_body(bench: Bench) -> None:
    """AP-14, AP-27: the custom model itself is not called on demand."""
    custom = await bench.custom("tuned")
    arn = await bench.bought(modelId=custom, **NO_TERM)
    for identifier in (arn, "mine"):
        assert await invoke(bench, identifier) == "granite"
    for identifier in (custom, "tuned"):
        assert await invoke(bench, identifier) == "ValidationException"


@pytest.mark.parametrize("operation", ["InvokeModelWithResponseStream", "ConverseStream"])
async def test_throughput_of_a_custom_model_streams(bench: Bench, operation: str) -> None:
    """AP-15."""
    arn = await bench.bought(modelId=await bench.custom("tuned"), **NO_TERM)
    messages = [{"role": "user", "content": [{"text": "granite"}]}]
    asked: dict[str, Any] = (
        {"messages": messages} if operation == "ConverseStream" else {"body": BODY}
    )
    request = bench.admin.request("bedrock-runtime", operation, modelId=arn, **asked)
    response = await bench.inside.app.handle(request)
    assert response.status == 200
    event = b"contentBlockDelta" if operation == "ConverseStream" else b"chunk"
    assert event in await whole(response)
