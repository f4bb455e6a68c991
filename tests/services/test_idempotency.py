"""Client tokens: a request that comes again makes nothing again."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from in_process import ADMIN, Inside
from running_gateways import ACCOUNT
from statements import OTHER

from outcrop.errors import AWSError, ConflictException, ValidationException
from outcrop.services.call import Call
from outcrop.services.idempotency import remember, replay
from outcrop.stores.model_records import CustomModel, RequestToken
from outcrop.stores.resources import Place
from outcrop.wire.spec import load_service

TOKEN = "a-token-of-the-client"
PARAMS = {"inferenceProfileName": "one", "clientRequestToken": TOKEN}


@pytest.fixture
def call(inside: Inside) -> Call:
    return of(inside.call(inside.caller(ADMIN)), "CreateInferenceProfile")


def of(call: Call, operation: str, service: str = "bedrock") -> Call:
    return replace(call, operation=load_service(service).operations[operation])


async def create(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """As handlers do it: something that counts how often it was made."""
    async with call.stores.resources.writing() as transaction:
        known = await replay(transaction, call, params)
        if known is not None:
            return known
        made = await transaction.list(CustomModel, account=call.account)
        name = f"model {len(made)}"
        await transaction.add(CustomModel(base_model="b"), Place(call.account, call.region, name))
        answer = {"name": name, "at": datetime(2026, 1, 2, tzinfo=UTC), "raw": b"\x00\xff"}
        await remember(transaction, call, params, answer)
    return answer


async def count(call: Call, type: type[Any] = CustomModel) -> int:
    async with call.stores.resources.reading() as view:
        return len(await view.list(type))


async def test_a_request_that_comes_again_is_answered_as_before(call: Call) -> None:
    first = await create(call, PARAMS)
    assert await create(call, dict(reversed(PARAMS.items()))) == first
    assert await count(call) == 1


async def test_parallel_requests_with_one_token_make_one_resource(call: Call) -> None:
    answers = await asyncio.gather(*(create(call, PARAMS) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await count(call) == 1


async def test_another_token_makes_another(call: Call) -> None:
    await create(call, PARAMS)
    await create(call, {**PARAMS, "clientRequestToken": TOKEN.upper()})
    assert await count(call) == 2


async def test_without_a_token_every_request_makes_one(call: Call) -> None:
    for _ in range(2):
        await create(call, {"inferenceProfileName": "one"})
    assert await count(call) == 2
    assert await count(call, RequestToken) == 0


@pytest.mark.parametrize(
    "params",
    [
        {**PARAMS, "inferenceProfileName": "two"},
        {**PARAMS, "description": ""},
        {"clientRequestToken": TOKEN},
        {**PARAMS, "tags": [{"key": "b", "value": "1"}, {"key": "a", "value": "2"}]},
    ],
)
@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("CreateInferenceProfile", ConflictException),
        # It declares no ConflictException.
        ("CreateProvisionedModelThroughput", ValidationException),
    ],
)
async def test_a_token_stands_for_one_request(
    operation: str, error: type[AWSError], params: Mapping[str, Any], call: Call
) -> None:
    call = of(call, operation)
    await create(call, PARAMS)
    with pytest.raises(error, match="clientRequestToken"):
        await create(call, params)
    assert await count(call) == 1


async def test_tokens_are_apart_by_account_region_and_operation(call: Call, inside: Inside) -> None:
    anne = inside.caller(await inside.user(OTHER, "anne"))
    calls = [
        call,
        replace(call, caller=anne),
        replace(call, region="us-west-2"),
        of(call, "CreateGuardrail"),
    ]
    for one in calls:
        await create(one, PARAMS)
    assert await count(call) == len(calls)
    assert {one.account for one in calls} == {ACCOUNT, OTHER}


async def test_a_token_is_forgotten_after_a_day(call: Call) -> None:
    await create(call, PARAMS)
    later = replace(call, now=call.now + timedelta(hours=23, minutes=59))
    await create(later, PARAMS)
    assert await count(call) == 1
    tomorrow = replace(call, now=call.now + timedelta(hours=24, minutes=1))
    await create(tomorrow, {**PARAMS, "inferenceProfileName": "two"})
    assert await count(call) == 2
    assert await count(call, RequestToken) == 1


async def test_old_tokens_go_when_others_come(call: Call) -> None:
    for index in range(3):
        await create(call, {**PARAMS, "clientRequestToken": f"t{index}"})
    tomorrow = replace(call, now=call.now + timedelta(hours=25))
    await create(tomorrow, PARAMS)
    assert await count(call, RequestToken) == 1


async def test_what_failed_is_not_remembered(call: Call) -> None:
    async def fail() -> None:
        async with call.stores.resources.writing() as transaction:
            assert await replay(transaction, call, PARAMS) is None
            await remember(transaction, call, PARAMS, {})
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    await create(call, PARAMS)
    assert await count(call) == 1


async def test_answers_keep_times_and_bytes(call: Call) -> None:
    first = await create(call, PARAMS)
    again = await create(call, PARAMS)
    assert (again["at"], again["raw"]) == (first["at"], first["raw"])
