"""Provisioned throughput under parallel calls: names, tokens and quotas hold."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client
from throughputs_under_test import LONG, Bench, open_bench

from outcrop.errors import ConflictException
from outcrop.quotas.book import NO_COMMITMENT_UNITS
from outcrop.stores.quota_records import QuotaValue

CALLS = 12
NO_TERM: dict[str, Any] = {"commitmentDuration": None}


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch) as bench:
        yield bench


def codes(outcomes: list[Any]) -> Counter[str]:
    """Error codes, and ``""`` for what passed."""
    return Counter(
        cast(Any, outcome.response)["Error"]["Code"] if isinstance(outcome, ClientError) else ""
        for outcome in outcomes
        if isinstance(outcome, ClientError) or not isinstance(outcome, BaseException)
    )


async def buy_all(bench: Bench, *asked: dict[str, Any]) -> list[Any]:
    return await asyncio.gather(*(bench.buy(**each) for each in asked), return_exceptions=True)


async def test_one_name_is_given_once(bench: Bench) -> None:
    await bench.units(CALLS)
    outcomes = await buy_all(bench, *({"name": "mine"} for _ in range(CALLS)))
    assert codes(outcomes) == {"": 1, "ValidationException": CALLS - 1}
    assert await bench.names() == ["mine"]


async def test_one_token_buys_once_and_all_are_told_the_same(bench: Bench) -> None:
    await bench.units(CALLS)
    outcomes = await buy_all(bench, *({"clientRequestToken": "t1"} for _ in range(CALLS)))
    assert codes(outcomes) == {"": CALLS}
    assert len(set(outcomes)) == 1
    assert await bench.names() == ["mine"]


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_quota_for_one_lets_one_pass(bench: Bench, is_committed: bool) -> None:
    await bench.units(1)
    await bench.quota(NO_COMMITMENT_UNITS, 1)
    terms = {} if is_committed else {"modelId": await bench.custom("tuned"), **NO_TERM}
    outcomes = await buy_all(bench, *({"name": f"t{n}", **terms} for n in range(CALLS)))
    assert codes(outcomes) == {"": 1, "ServiceQuotaExceededException": CALLS - 1}
    assert len(await bench.names()) == 1


async def test_one_of_many_renames_gets_the_name(bench: Bench) -> None:
    await bench.units(4)
    names = [f"t{number}" for number in range(4)]
    for name in names:
        await bench.bought(name)
    outcomes = await asyncio.gather(
        *(
            bench.ask("Update", provisionedModelId=name, desiredProvisionedModelName="best")
            for name in names
        ),
        return_exceptions=True,
    )
    assert codes(outcomes) == {"": 1, "ValidationException": 3}
    assert sorted(await bench.names())[0] == "best"


async def test_an_update_and_a_deletion_at_once_leave_no_capacity_behind(bench: Bench) -> None:
    tuned, better = await bench.custom("tuned"), await bench.custom("better")
    for _ in range(5):
        arn = await bench.bought(modelId=tuned, **NO_TERM)
        outcomes = await asyncio.gather(
            bench.ask("Update", provisionedModelId=arn, desiredModelId=better),
            *(bench.ask("Delete", provisionedModelId=arn) for _ in range(3)),
            return_exceptions=True,
        )
        assert codes(outcomes)[""] in (1, 2)
        assert set(codes(outcomes)) <= {"", "ResourceNotFoundException"}
        await bench.quiet()
        assert bench.capacity.held == {}


async def test_access_that_is_removed_while_many_buy_leaves_nobody_without_access(
    bench: Bench,
) -> None:
    await bench.units(CALLS)
    call = bench.inside.call(bench.inside.caller(ADMIN))
    removal = call.perform(
        "bedrock", "DeleteFoundationModelEntitlement", {"modelId": "anthropic.claude-v2"}
    )
    outcomes = await asyncio.gather(
        *(bench.buy(f"t{number}", modelId=LONG) for number in range(CALLS)),
        removal,
        return_exceptions=True,
    )
    bought, removed = codes(outcomes[:-1]), outcomes[-1]
    if isinstance(removed, ConflictException):
        assert bought[""] >= 1
    else:
        # The removal came first: nobody bought without access.
        assert removed == {"status": "SUCCESS"}
        assert bought == {"AccessDeniedException": CALLS}


async def test_units_are_summed_over_variants_and_not_over_regions(bench: Bench) -> None:
    await bench.units(3)
    await bench.buy("short", modelUnits=2)
    await bench.buy("long", modelId=LONG)
    code, message = await bench.refusal("Create", name="more", modelId=LONG)
    assert (code, "of which 3 are in use" in message) == ("ServiceQuotaExceededException", True)
    elsewhere = Client(bench.inside.app, ADMIN, region="us-west-2")
    code, message = await bench.refusal("Create", elsewhere, name="more")
    assert (code, "of which 0 are in use" in message) == ("ServiceQuotaExceededException", True)


async def test_a_quota_that_is_lowered_takes_nothing_away_and_gives_nothing_more(
    bench: Bench,
) -> None:
    await bench.units(3)
    for name in ("one", "two", "three"):
        await bench.bought(name)
    async with bench.inside.deployment.state.stores.resources.writing() as transaction:
        for item in await transaction.list(QuotaValue):
            await transaction.put(replace(item, record=QuotaValue(value=2)))
    for left in ("two", "three"):
        code, _ = await bench.refusal("Create", name="four")
        assert code == "ServiceQuotaExceededException"
        await bench.ask("Update", provisionedModelId=left, desiredModelId=LONG)
        assert (await bench.settled(left))["status"] == "InService"
        await bench.end_commitment((await bench.record(left)).created_at, left)
        await bench.ask("Delete", provisionedModelId=left)
    await bench.buy("four")
    assert sorted(await bench.names()) == ["four", "one"]


async def test_purchases_and_deletions_at_once_never_hold_more_than_the_quota(
    bench: Bench,
) -> None:
    await bench.quota(NO_COMMITMENT_UNITS, 2)
    tuned = await bench.custom("tuned")
    outcomes: list[Any] = []

    async def buy_and_delete(name: str) -> None:
        for _ in range(4):
            try:
                arn = await bench.buy(name, modelId=tuned, **NO_TERM)
            except ClientError as error:
                outcomes.append(error)
            else:
                assert len(await bench.names()) <= 2
                await bench.ask("Delete", provisionedModelId=arn)
                outcomes.append(arn)

    await asyncio.gather(*(buy_and_delete(f"t{number}") for number in range(6)))
    assert set(codes(outcomes)) <= {"", "ServiceQuotaExceededException"}
    assert codes(outcomes)[""] >= 2
    assert await bench.names() == []
    await bench.quiet()
    assert bench.capacity.held == {}
