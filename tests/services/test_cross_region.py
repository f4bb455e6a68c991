"""Calls through inference profiles run where quota and an engine are left, and say where."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, parse, running_inside, whole
from statements import ACCOUNT

from outcrop.billing.meter import LedgerMeter
from outcrop.config import Binding, OpenAI, Quotas, Scripted
from outcrop.stores.model_records import ModelAccess
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Place
from outcrop.stores.tables import usage

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
PROFILE = f"us.{HAIKU}"
HERE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}"
EAST, WEST = "us-east-1", "us-west-2"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Two regions with an engine each, and quotas that hold."""
    settings: dict[str, Any] = {
        "quotas": Quotas(profile="aws"),
        "engines": {"east": Scripted(), "west": Scripted()},
        "bind": (
            Binding(pattern="*", engine="east"),
            Binding(pattern="*", engine="west", regions=(WEST,)),
        ),
    }
    async with running_inside(tmp_path, monkeypatch, **settings) as inside:
        yield inside


async def allow_requests(inside: Inside, **per_minute: int) -> None:
    """``east`` and ``west``: what the account may ask of the model in a minute."""
    model = inside.deployment.catalog.get(HAIKU, EAST)
    key = inside.deployment.serving.book.rate_key(model, "requests")
    assert key is not None
    async with inside.deployment.state.stores.resources.writing() as transaction:
        for name, value in per_minute.items():
            place = Place(ACCOUNT, {"east": EAST, "west": WEST}[name], key)
            await transaction.add(QuotaValue(value=value), place)


async def converse(
    client: Client, identifier: str = PROFILE, text: str = "granite"
) -> tuple[str | None, str]:
    """Where it ran, if it says so, and what was answered."""
    request = client.request(
        "bedrock-runtime",
        "Converse",
        modelId=identifier,
        messages=[{"role": "user", "content": [{"text": text}]}],
        inferenceConfig={"maxTokens": 10},
    )
    response = await client.app.handle(request)
    body = await whole(response)
    parsed = parse("bedrock-runtime", "Converse", response.status, response.headers, body)
    answered = parsed["output"]["message"]["content"][0]["text"]
    return response.headers.get("x-outcrop-region"), answered


async def throttled(client: Client, identifier: str = PROFILE) -> None:
    with pytest.raises(ClientError) as caught:
        await converse(client, identifier)
    error: Any = caught.value.response
    assert error["Error"]["Code"] == "ThrottlingException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 429


async def test_a_call_goes_on_to_a_region_with_quota_left_and_says_where(inside: Inside) -> None:
    """XR-01, XR-02, XR-04: by the profile's ID and by its ARN, quotas of both regions are used."""
    await allow_requests(inside, east=2, west=1)
    client = inside.client(ADMIN)
    arn = f"{HERE}:inference-profile/{PROFILE}"
    assert [(await converse(client, each))[0] for each in (PROFILE, arn, PROFILE)] == [
        EAST,
        EAST,
        WEST,
    ]
    for identifier in (PROFILE, arn):
        await throttled(client, identifier)


async def test_the_calling_region_comes_first(inside: Inside) -> None:
    await allow_requests(inside, east=1, west=1)
    client = Client(inside.app, ADMIN, region=WEST)
    assert [(await converse(client))[0] for _ in range(2)] == [WEST, EAST]


async def test_a_call_in_one_region_never_leaves_it(inside: Inside) -> None:
    """XR-03: across regions is only what asks for it."""
    await allow_requests(inside, east=1)
    client = inside.client(ADMIN)
    assert await converse(client, HAIKU) == (None, "granite")
    await throttled(client, HAIKU)
    assert (await converse(client))[0] == WEST


async def test_an_application_profile_of_one_model_stays_in_its_region(inside: Inside) -> None:
    await allow_requests(inside, east=1)
    client = inside.client(ADMIN)
    arn = await make_profile(client, f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}")
    assert await converse(client, arn) == (None, "granite")
    await throttled(client, arn)


async def test_an_application_profile_goes_where_its_source_goes_and_is_billed(
    inside: Inside,
) -> None:
    await allow_requests(inside, east=1)
    client = inside.client(ADMIN)
    arn = await make_profile(client, f"{HERE}:inference-profile/{PROFILE}")
    assert (await converse(client, arn))[0] == EAST
    assert (await converse(client, arn.rpartition("/")[2]))[0] == WEST
    assert await used(inside) == {(EAST, HAIKU, arn): 1, (WEST, HAIKU, arn): 1}


async def test_use_of_a_profile_is_counted_where_it_ran(inside: Inside) -> None:
    await allow_requests(inside, east=1)
    client = inside.client(ADMIN)
    for _ in range(3):
        await converse(client)
    arn = f"{HERE}:inference-profile/{PROFILE}"
    assert await used(inside) == {(EAST, HAIKU, arn): 1, (WEST, HAIKU, arn): 2}


async def make_profile(client: Client, source: str) -> str:
    answer = await client.ask(
        "bedrock",
        "CreateInferenceProfile",
        inferenceProfileName="mine",
        modelSource={"copyFrom": source},
    )
    return answer["inferenceProfileArn"]


async def used(inside: Inside) -> dict[tuple[str, str, str], int]:
    """Requests by region, model and what was called."""
    meter = inside.deployment.serving.usage
    assert isinstance(meter, LedgerMeter)
    await meter.flush()
    columns = (usage.c.region, usage.c.model_id, usage.c.resource, usage.c.requests)
    async with inside.deployment.state.stores.database.read() as connection:
        rows = (await connection.execute(sa.select(*columns))).all()
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def test_a_region_whose_engine_is_gone_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XR-02: and what was taken of its quota is given back."""
    settings: dict[str, Any] = {
        "quotas": Quotas(profile="aws"),
        # Nothing listens there.
        "engines": {"gone": OpenAI(url="http://127.0.0.1:9/v1"), "west": Scripted()},
        "bind": (
            Binding(pattern="*", engine="gone"),
            Binding(pattern="*", engine="west", regions=(WEST,)),
        ),
    }
    async with running_inside(tmp_path, monkeypatch, **settings) as inside:
        await allow_requests(inside, east=1, west=2)
        client = inside.client(ADMIN)
        for _ in range(2):
            assert await converse(client) == (WEST, "granite")
        # The region's own request a minute is still there: it is refused for its engine.
        with pytest.raises(ClientError) as caught:
            await converse(client)
        error: Any = caught.value.response
        assert error["Error"]["Code"] == "ServiceUnavailableException"
        arn = f"{HERE}:inference-profile/{PROFILE}"
        assert await used(inside) == {(WEST, HAIKU, arn): 2}


async def test_a_region_without_access_to_the_model_is_passed_over(inside: Inside) -> None:
    """Access is an account's in a region."""
    removed = ModelAccess(status="removed", by="operator")
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(removed, Place(ACCOUNT, EAST, HAIKU))
    client = inside.client(ADMIN)
    assert (await converse(client))[1] == "granite"
    with pytest.raises(ClientError, match="You don't have access to the model"):
        await converse(client, HAIKU)
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(removed, Place(ACCOUNT, WEST, HAIKU))
    with pytest.raises(ClientError, match="You don't have access to the model"):
        await converse(client)


async def test_a_stream_says_where_it_runs(inside: Inside) -> None:
    await allow_requests(inside, east=0)
    client = inside.client(ADMIN)
    request = client.request(
        "bedrock-runtime",
        "ConverseStream",
        modelId=PROFILE,
        messages=[{"role": "user", "content": [{"text": "granite"}]}],
        inferenceConfig={"maxTokens": 10},
    )
    response = await client.app.handle(request)
    assert response.headers["x-outcrop-region"] == WEST
    assert b"granite" in await whole(response)


async def test_the_native_operations_go_across_regions_too(inside: Inside) -> None:
    """XR-04: InvokeModel takes the ID and the ARN of a profile."""
    await allow_requests(inside, east=1)
    client = inside.client(ADMIN)
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "granite"}],
    }
    ran: list[str | None] = []
    for identifier in (PROFILE, f"{HERE}:inference-profile/{PROFILE}"):
        request = client.request(
            "bedrock-runtime", "InvokeModel", modelId=identifier, body=json.dumps(body).encode()
        )
        response = await client.app.handle(request)
        assert response.status == 200
        assert b"granite" in await whole(response)
        ran.append(response.headers.get("x-outcrop-region"))
    assert ran == [EAST, WEST]


ROCK = """
provider = "Acme"

[[models]]
id = "acme.rock-v1:0"
name = "Rock"
dialect = "openai_chat"
input_modalities = ["TEXT"]
output_modalities = ["TEXT"]
regions = ["eu-central-1", "us-west-2"]
profiles = ["global"]
inference_types = ["INFERENCE_PROFILE"]
supports = ["converse"]
engine = "east"
"""


async def test_a_profile_of_everywhere_goes_where_its_model_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rock.toml"
    await asyncio.to_thread(file.write_text, ROCK, encoding="utf-8")
    settings: dict[str, Any] = {"engines": {"east": Scripted()}, "bind": (), "catalog": (file,)}
    async with running_inside(tmp_path, monkeypatch, **settings) as inside:
        client = inside.client(ADMIN)
        arn = await make_profile(client, f"{HERE}:inference-profile/global.acme.rock-v1:0")
        expected = (WEST, "granite")
        assert await converse(client, "global.acme.rock-v1:0") == expected
        assert await converse(client, arn) == expected
