"""Quotas of requests and tokens a minute under parallel calls, with a clock that stands still."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, running_inside, whole
from operator_commands import outcrop
from redis_servers import running_redis
from running_gateways import (
    ACCESS_KEY,
    ACCOUNT,
    SCRIPTED,
    SECRET_KEY,
    start_gateway,
)

from outcrop.config import Quotas
from outcrop.dialects import text_dialect
from outcrop.quotas.estimate import estimate_tokens
from outcrop.quotas.limiter import Limiter
from outcrop.quotas.memory import MemoryLimiter
from outcrop.quotas.redis import RedisLimiter
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Place

MODEL = "anthropic.claude-v2"
RATE = "On-demand InvokeModel requests per minute for Anthropic Claude V2"
PROMPT = '\n\nHuman: script:[{"pause": "gate"}, {"text": "done"}]\n\nAssistant:'
CALLS = 50


def _noon() -> float:
    """A clock that stands still."""
    return 1_000_000.0


@pytest.fixture
def redis_url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


@asynccontextmanager
async def _closing(limiter: Limiter) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await limiter.close()


@asynccontextmanager
async def gateway(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limiter: Limiter, requests: int, tokens: int
) -> AsyncGenerator[Inside]:
    async with (
        _closing(limiter),
        running_inside(folder, monkeypatch, quotas=Quotas()) as inside,
    ):
        book = inside.deployment.serving.book
        values = {"requests": requests, "tokens": tokens}
        model = inside.deployment.catalog.get(MODEL, "us-east-1")
        async with inside.deployment.state.stores.resources.writing() as transaction:
            for unit in ("requests", "tokens"):
                key = book.rate_key(model, unit)
                assert key is not None
                record = QuotaValue(value=values[unit])
                await transaction.add(record, Place(ACCOUNT, "us-east-1", key))
        inside.deployment.serving = replace(inside.deployment.serving, limiter=limiter)
        yield inside


async def reserved_output(inside: Inside, reserved: int) -> int:
    """How many tokens a call may answer, so that it takes ``reserved`` of the quota."""
    model = inside.deployment.catalog.get(MODEL, "us-east-1")
    generation = text_dialect(model).parse(_body(1), model)
    return reserved - estimate_tokens(generation)


def _body(max_tokens: int) -> dict[str, Any]:
    return {"prompt": PROMPT, "max_tokens_to_sample": max_tokens}


async def outcome(client: Client, max_tokens: int) -> str:
    """``ok``, or the code of the refusal."""
    body = json.dumps(_body(max_tokens))
    try:
        await client.ask("bedrock-runtime", "InvokeModel", modelId=MODEL, body=body)
    except ClientError as error:
        return str(cast(Any, error.response)["Error"]["Code"])
    return "ok"


async def passed(gateways: Sequence[Inside], max_tokens: int, expected: int) -> None:
    """Of 50 calls at once exactly the expected ones are answered, the others are throttled while
    these are still running."""
    calls = [
        asyncio.create_task(outcome(each.client(ADMIN), max_tokens))
        for each in gateways
        for _ in range(CALLS // len(gateways))
    ]
    outcomes: list[str] = []
    async with asyncio.timeout(60):
        for call in asyncio.as_completed(calls):
            outcomes.append(await call)
            if len(outcomes) == CALLS - expected:
                for each in gateways:
                    engine: Any = await each.deployment.engines.get("script")
                    engine.release("gate")
    assert outcomes == ["ThrottlingException"] * (CALLS - expected) + ["ok"] * expected


@pytest.mark.parametrize(
    ("reserved", "expected"), [(50, 10), (200, 5), (1000, 1)], ids=["requests", "tokens", "all"]
)
async def test_one_gateway_lets_exactly_the_allowed_calls_pass(
    reserved: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = MemoryLimiter(_noon)
    async with gateway(tmp_path / "one", monkeypatch, limiter, 10, 1000) as inside:
        await passed([inside], await reserved_output(inside, reserved), expected)


@pytest.mark.parametrize(("reserved", "expected"), [(50, 10), (200, 5)], ids=["requests", "tokens"])
async def test_two_gateways_that_share_redis_let_as_many_pass_together(
    reserved: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    def limiter() -> RedisLimiter:
        return RedisLimiter(redis_url, clock=_noon, timeout_s=30)

    async with (
        gateway(tmp_path / "one", monkeypatch, limiter(), 10, 1000) as one,
        gateway(tmp_path / "two", monkeypatch, limiter(), 10, 1000) as two,
    ):
        await passed([one, two], await reserved_output(one, reserved), expected)


async def test_converse_and_streams_use_the_same_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = MemoryLimiter(_noon)
    messages = [{"role": "user", "content": [{"text": "one two"}]}]
    body = json.dumps({"prompt": "\n\nHuman: one\n\nAssistant:", "max_tokens_to_sample": 5})
    async with gateway(tmp_path / "one", monkeypatch, limiter, 4, 100_000) as inside:
        client = inside.client(ADMIN)
        asked: dict[str, dict[str, Any]] = {
            "InvokeModel": {"body": body},
            "InvokeModelWithResponseStream": {"body": body},
            "Converse": {"messages": messages},
            "ConverseStream": {"messages": messages},
        }
        for operation, params in asked.items():
            response = await inside.app.handle(
                client.request("bedrock-runtime", operation, modelId=MODEL, **params)
            )
            await whole(response)
            assert response.status == 200
        for operation, params in asked.items():
            with pytest.raises(ClientError, match="Too many requests, please wait"):
                await client.ask("bedrock-runtime", operation, modelId=MODEL, **params)


async def test_what_was_reserved_and_not_used_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers have a few words, however many they may have: with their reserved tokens two
    calls would pass."""
    limiter = MemoryLimiter(_noon)
    body = json.dumps({"prompt": "\n\nHuman: one\n\nAssistant:", "max_tokens_to_sample": 400})
    async with gateway(tmp_path / "one", monkeypatch, limiter, 100, 1000) as inside:
        client = inside.client(ADMIN)
        outcomes = [
            await client.ask("bedrock-runtime", "InvokeModel", modelId=MODEL, body=body)
            for _ in range(10)
        ]
        assert [each["ResponseMetadata"]["HTTPStatusCode"] for each in outcomes] == [200] * 10


def test_boto3_retries_until_its_turn(tmp_path: Path) -> None:
    running = start_gateway(tmp_path, SCRIPTED, variables={"OUTCROP_QUOTAS_PROFILE": "aws"})
    try:
        quotas = running.client("service-quotas")
        pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
        found = [quota for page in pages for quota in page["Quotas"]]
        code = next(quota["QuotaCode"] for quota in found if quota["QuotaName"] == RATE)
        outcrop(running, "quotas", "set", code, "60")
        # A running server reads what another process wrote within a second; each request asks.
        values = (
            quotas.get_service_quota(ServiceCode="bedrock", QuotaCode=code)["Quota"]["Value"]
            for _ in range(2000)
        )
        assert any(value == 60 for value in values)
        config = cast(Any, botocore.config).Config(
            retries={"total_max_attempts": 10, "mode": "standard"}
        )
        patient = cast(Any, boto3).client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=running.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=config,
        )
        body = json.dumps({"prompt": "\n\nHuman: one\n\nAssistant:", "max_tokens_to_sample": 5})
        retried = 0
        for _ in range(72):
            answer = patient.invoke_model(modelId=MODEL, body=body)
            retried += answer["ResponseMetadata"]["RetryAttempts"]
        assert retried > 0
    finally:
        running.stop()
