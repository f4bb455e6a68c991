"""Attempts to use more than quotas, access and accounts allow, and to leave what was reserved
behind. Each was possible once."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, parse, running_inside, whole
from statements import ACCOUNT, OTHER, allow, document

from outcrop.billing.meter import LedgerMeter
from outcrop.config import ModelAccess as AccessSettings, Quotas, Scripted
from outcrop.engines.scripted import ScriptedEngine
from outcrop.generation import EmbeddingRequest, Event, Generation, Started, Text, Turn
from outcrop.quotas.limiter import Charge
from outcrop.quotas.memory import MemoryLimiter
from outcrop.services.bedrock_runtime.admission import Demand, admit
from outcrop.services.bedrock_runtime.embedding import embed
from outcrop.services.bedrock_runtime.inference import Run
from outcrop.services.bedrock_runtime.regions import in_some_region
from outcrop.services.bedrock_runtime.targets import resolve
from outcrop.services.call import Call
from outcrop.stores.model_records import InferenceProfile, ModelAccess
from outcrop.stores.resources import Place
from outcrop.stores.tables import usage

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
EMBEDDER = "amazon.titan-embed-text-v1"
HERE = "us-east-1"
ASK = Generation((Turn("user", (Text("one two three"),)),), 100)


class CountingLimiter(MemoryLimiter):
    """What is taken and not given back, by unit. Like a shared one, it takes a while to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.held = Counter[str]()
        self.giving_back = asyncio.Event()

    async def take(self, charges: Sequence[Charge]) -> None:
        await super().take(charges)
        for charge in charges:
            self.held[charge.unit] += charge.amount

    async def give_back(self, charge: Charge, amount: int) -> None:
        await super().give_back(charge, amount)
        self.held[charge.unit] -= amount
        self.giving_back.set()
        await asyncio.sleep(0)


class CountsAtEnd(ScriptedEngine):
    """Like Bedrock itself and most servers of other kinds, it tells at the end what it has read."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        async for event in super().generate(generation):
            yield Started(0) if isinstance(event, Started) else event


class SlowToClose(ScriptedEngine):
    """Its generations end in their own time: ``closing`` is set meanwhile."""

    def __init__(self) -> None:
        super().__init__("script", Scripted())
        self.closing = asyncio.Event()

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        try:
            async for event in super().generate(generation):
                yield event
        finally:
            self.closing.set()
            await asyncio.Event().wait()


@pytest.fixture
async def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """An account with access to nothing, and with quotas."""
    settings = {"quotas": Quotas(), "access": AccessSettings()}
    async with running_inside(tmp_path, monkeypatch, OTHER, **settings) as inside:
        yield inside


@pytest.fixture
def limiter(limited: Inside) -> CountingLimiter:
    limiter, deployment = CountingLimiter(), limited.deployment
    deployment.serving = replace(deployment.serving, limiter=limiter)
    return limiter


async def grant(inside: Inside, model: str, *regions: str) -> None:
    async with inside.deployment.state.stores.resources.writing() as transaction:
        for region in regions or (HERE,):
            record = ModelAccess(status="granted", by="operator")
            await transaction.add(record, Place(ACCOUNT, region, model))


def call_of(inside: Inside) -> Call:
    return inside.call(inside.caller(ADMIN))


async def converse(client: Client, model: str, *steps: Any) -> tuple[str, str]:
    """``ok`` and where it ran, or the code and text of the refusal."""
    request = client.request(
        "bedrock-runtime",
        "Converse",
        modelId=model,
        messages=[{"role": "user", "content": [{"text": f"script: {json.dumps(steps)}"}]}],
    )
    response = await client.app.handle(request)
    body = await whole(response)
    try:
        parse("bedrock-runtime", "Converse", response.status, response.headers, body)
    except ClientError as error:
        answer: Any = error.response
        return answer["Error"]["Code"], answer["Error"]["Message"]
    return "ok", response.headers.get("x-outcrop-region", "")


async def billed(inside: Inside) -> list[tuple[int, int, int]]:
    """Requests, input tokens and output tokens of the ledger's lines."""
    meter = inside.deployment.serving.usage
    assert isinstance(meter, LedgerMeter)
    await meter.flush()
    query = sa.select(usage.c.requests, usage.c.input_tokens, usage.c.output_tokens)
    async with inside.deployment.state.stores.database.read() as connection:
        return [(row[0], row[1], row[2]) for row in (await connection.execute(query)).all()]


async def test_a_profile_without_any_region_of_access_is_refused(limited: Inside) -> None:
    """The calling region has access, but is none that calls of the profile go to."""
    await grant(limited, HAIKU, "us-east-2")
    client = Client(limited.app, ADMIN, region="us-east-2")
    code, text = await converse(client, f"us.{HAIKU}")
    assert (code, text) == (
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
    )


async def test_a_call_that_leaves_its_region_says_so_though_it_had_no_choice(
    limited: Inside,
) -> None:
    await grant(limited, HAIKU, "us-west-2")
    assert await converse(limited.client(ADMIN), f"us.{HAIKU}", {"text": "a"}) == (
        "ok",
        "us-west-2",
    )


async def test_another_account_s_profile_of_the_system_is_not_there(limited: Inside) -> None:
    await grant(limited, HAIKU)
    arn = f"arn:aws:bedrock:{HERE}:{{}}:inference-profile/us.{HAIKU}"
    client = limited.client(ADMIN)
    assert (await converse(client, arn.format(ACCOUNT)))[0] == "ok"
    assert await converse(client, arn.format(OTHER)) == (
        "ValidationException",
        "The provided model identifier is invalid.",
    )


async def test_tags_of_another_account_s_resources_tell_nothing(limited: Inside) -> None:
    """A denial by a tag would say that the resource is there, and guess by guess its tags."""
    prefix = f"arn:aws:bedrock:{HERE}:{OTHER}:application-inference-profile"
    there, absent = f"{prefix}/abc123abc123", f"{prefix}/abc123abc124"
    record = InferenceProfile(id="abc123abc123", source="", models=())
    async with limited.deployment.state.stores.resources.writing() as transaction:
        place = Place(OTHER, HERE, "p")
        await transaction.add(record, place, arn=there, tags={"team": "red"})
    of_red = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": of_red}
    spy = limited.client(await limited.user(ACCOUNT, "spy", document(allow("*"), deny)))
    first, second = await converse(spy, there), await converse(spy, absent)
    assert first[0] == "AccessDeniedException"
    assert first == (second[0], second[1].replace(absent, there))


async def test_who_leaves_before_the_first_event_has_made_a_request(
    limited: Inside, limiter: CountingLimiter
) -> None:
    """Else whoever leaves early enough makes the engine work as often as they like."""
    await grant(limited, HAIKU)
    call = call_of(limited)
    working = asyncio.Event()

    async def begin(_admission: object) -> None:
        working.set()
        await asyncio.Event().wait()

    target = await resolve(call, HAIKU)
    leaving = asyncio.create_task(in_some_region(call, target, Demand(7, 50), begin))
    await working.wait()
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    assert +limiter.held == {"requests": 1}


async def test_an_embedding_left_while_it_is_settled_is_settled_once(
    limited: Inside, limiter: CountingLimiter
) -> None:
    await grant(limited, EMBEDDER)
    call = call_of(limited)
    request = EmbeddingRequest(("word " * 10,), 1536, 8192)
    embedding = asyncio.create_task(embed(call, await resolve(call, EMBEDDER), request))
    await limiter.giving_back.wait()
    embedding.cancel()
    with suppress(asyncio.CancelledError):
        await embedding
    ((requests, input_tokens, _),) = await billed(limited)
    assert requests == 1
    assert limiter.held == {"requests": 1, "tokens": input_tokens}


async def test_what_was_not_used_comes_back_though_the_engine_is_left_while_it_ends(
    limited: Inside, limiter: CountingLimiter
) -> None:
    """The client goes and then the server stops: the task is cancelled twice."""
    await grant(limited, HAIKU)
    call, engine = call_of(limited), SlowToClose()
    run = Run(engine, ASK, [])
    run.admission = await admit(call, await resolve(call, HAIKU), HERE, Demand(10, 100))
    events = run.events()
    await anext(events)
    leaving = asyncio.create_task(events.aclose())
    await engine.closing.wait()
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    ((requests, *tokens),) = await billed(limited)
    assert requests == 1
    assert limiter.held == {"requests": 1, "tokens": sum(tokens)}


async def test_a_prompt_counts_though_the_answer_is_left_before_the_engine_tells(
    limited: Inside, limiter: CountingLimiter
) -> None:
    """Else whoever leaves before the end sends prompts of any length for nothing."""
    await grant(limited, HAIKU)
    call = call_of(limited)
    run = Run(CountsAtEnd("script", Scripted()), ASK, [])
    run.admission = await admit(call, await resolve(call, HAIKU), HERE, Demand(10, 100))
    events = run.events()
    for _ in range(3):
        await anext(events)
    await events.aclose()
    assert await billed(limited) == [(1, 10, 2)]
    assert limiter.held == {"requests": 1, "tokens": 12}


async def test_an_answer_that_was_left_before_its_first_token_has_none(limited: Inside) -> None:
    await grant(limited, HAIKU)
    client = limited.client(ADMIN)
    steps = json.dumps([{"pause": "p"}, {"text": "never"}])
    request = client.request(
        "bedrock-runtime",
        "ConverseStream",
        modelId=HAIKU,
        messages=[{"role": "user", "content": [{"text": f"script: {steps}"}]}],
    )
    response = await client.app.handle(request)
    body = cast("AsyncGenerator[bytes]", response.body)
    assert b"messageStart" in await anext(body)
    await body.aclose()
    ((requests, _, output_tokens),) = await billed(limited)
    assert (requests, output_tokens) == (1, 0)
