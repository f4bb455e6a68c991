"""What an account asks for and what an operator decides: one transaction each, on record."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from outcrop.catalog.load import load_models
from outcrop.quotas.book import BASE_MODEL_UNITS, Quota, QuotaBook
from outcrop.quotas.requests import (
    MAX_OPEN,
    AlreadyOpen,
    NotGreater,
    TooManyOpen,
    approve,
    deny,
    list_requests,
    make_request,
    set_value,
)
from outcrop.stores.database import Database
from outcrop.stores.failures import NoSuchItem, StoreError
from outcrop.stores.model_records import OperatorAction
from outcrop.stores.quota_records import QuotaRequest
from outcrop.stores.resources import Item, Place, Resources

ACCOUNT, REGION = "123456789012", "us-east-1"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
MODELS = tuple(load_models().by_id.values())


@pytest_asyncio.fixture
async def resources(tmp_path: Path) -> AsyncGenerator[Resources]:
    database = await Database.open(tmp_path / "outcrop.db")
    yield Resources(database)
    await database.close()


@pytest.fixture
def book(resources: Resources) -> QuotaBook:
    return QuotaBook(resources, MODELS)


@pytest.fixture
def units(book: QuotaBook) -> Quota:
    quota = book.find_key(BASE_MODEL_UNITS)
    assert quota is not None
    return quota


async def ask(
    resources: Resources, quota: Quota, desired: float, region: str = REGION
) -> Item[QuotaRequest]:
    return await make_request(resources, quota, Place(ACCOUNT, region, quota.key), desired, ANN)


async def actions(resources: Resources) -> list[OperatorAction]:
    async with resources.reading() as view:
        return [item.record for item in await view.list(OperatorAction)]


async def statuses(resources: Resources) -> list[str]:
    async with resources.reading() as view:
        return [each.record.status for each in await list_requests(view)]


async def test_su_04_what_is_approved_counts_at_once(
    resources: Resources, book: QuotaBook, units: Quota
) -> None:
    request = await ask(resources, units, 4)
    assert book.value(ACCOUNT, REGION, units.key) == 0
    decided = await approve(resources, book, request.name, "olga")
    assert (decided.record.status, decided.record.granted) == ("APPROVED", 4)
    assert book.value(ACCOUNT, REGION, units.key) == 4
    (action,) = await actions(resources)
    assert (action.action, action.resource, action.operator) == (
        "quotas.approve",
        request.name,
        "olga",
    )
    assert action.detail == {"quota": units.key, "value": "4", "before": "0"}


async def test_an_operator_can_give_less_than_asked(
    resources: Resources, book: QuotaBook, units: Quota
) -> None:
    request = await ask(resources, units, 4)
    decided = await approve(resources, book, request.name, "olga", 1)
    assert (decided.record.desired, decided.record.granted) == (4, 1)
    assert book.value(ACCOUNT, REGION, units.key) == 1


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e11])
async def test_what_is_no_increase_is_not_approved(
    resources: Resources, book: QuotaBook, units: Quota, value: float
) -> None:
    request = await ask(resources, units, 4)
    with pytest.raises(StoreError):
        await approve(resources, book, request.name, "olga", value)
    assert book.value(ACCOUNT, REGION, units.key) == 0
    assert await statuses(resources) == ["PENDING"]
    assert await actions(resources) == []


async def test_su_13_a_request_may_be_denied(
    resources: Resources, book: QuotaBook, units: Quota
) -> None:
    request = await ask(resources, units, 4)
    decided = await deny(resources, request.name, "olga", "no room")
    assert (decided.record.status, decided.record.reason) == ("DENIED", "no room")
    assert book.value(ACCOUNT, REGION, units.key) == 0
    assert [action.action for action in await actions(resources)] == ["quotas.deny"]


async def test_what_is_decided_stays_decided(
    resources: Resources, book: QuotaBook, units: Quota
) -> None:
    request = await ask(resources, units, 4)
    await deny(resources, request.name, "olga", "no room")
    with pytest.raises(StoreError, match="is DENIED already"):
        await approve(resources, book, request.name, "olga")
    with pytest.raises(StoreError, match="is DENIED already"):
        await deny(resources, request.name, "olga", "again")


async def test_a_decision_on_no_request_says_so(resources: Resources, book: QuotaBook) -> None:
    with pytest.raises(NoSuchItem, match="outcrop quotas requests"):
        await approve(resources, book, "nothing", "olga")


async def test_two_operators_decide_a_request_once(
    resources: Resources, book: QuotaBook, units: Quota
) -> None:
    request = await ask(resources, units, 4)
    decided = await asyncio.gather(
        *(approve(resources, book, request.name, f"o{number}", number) for number in range(1, 9)),
        return_exceptions=True,
    )
    (granted,) = [each.record.granted for each in decided if not isinstance(each, BaseException)]
    assert book.value(ACCOUNT, REGION, units.key) == granted
    assert len(await actions(resources)) == 1


async def test_of_parallel_requests_one_is_open(resources: Resources, units: Quota) -> None:
    asked = await asyncio.gather(
        *(ask(resources, units, number) for number in range(1, 21)), return_exceptions=True
    )
    refused = [each for each in asked if isinstance(each, AlreadyOpen)]
    assert len(refused) == 19
    assert await statuses(resources) == ["PENDING"]


async def test_each_region_has_its_own_open_request(resources: Resources, units: Quota) -> None:
    await ask(resources, units, 4)
    await ask(resources, units, 4, "eu-central-1")
    assert len(await statuses(resources)) == 2


async def test_open_requests_are_bounded(resources: Resources, units: Quota) -> None:
    for number in range(MAX_OPEN):
        await ask(resources, units, 4, f"region-{number}")
    with pytest.raises(TooManyOpen):
        await ask(resources, units, 4)


async def test_a_request_asks_for_more_than_there_is(
    resources: Resources, book: QuotaBook, units: Quota
) -> None:
    await set_value(resources, units, Place(ACCOUNT, REGION, units.key), 4, "olga")
    with pytest.raises(NotGreater):
        await ask(resources, units, 4)
    request = await ask(resources, units, 5)
    assert (await approve(resources, book, request.name, "olga")).record.granted == 5


async def test_open_requests_are_listed_first(
    resources: Resources, book: QuotaBook, units: Quota
) -> None:
    first = await ask(resources, units, 4)
    second = await ask(resources, units, 4, "eu-central-1")
    third = await ask(resources, units, 4, "us-west-2")
    await approve(resources, book, third.name, "olga")
    await deny(resources, first.name, "olga", "no room")
    async with resources.reading() as view:
        listed = [each.name for each in await list_requests(view)]
    assert listed[0] == second.name
    assert sorted(listed[1:]) == sorted([first.name, third.name])


async def test_su_12_what_is_not_adjustable_can_be_set_by_an_operator(
    resources: Resources, book: QuotaBook
) -> None:
    (haiku,) = [
        quota
        for quota in book.all()
        if quota.name == "On-demand InvokeModel requests per minute for Anthropic Claude 3 Haiku"
    ]
    assert not haiku.adjustable
    await set_value(resources, haiku, Place(ACCOUNT, REGION, haiku.key), 5000, "olga")
    assert book.value(ACCOUNT, REGION, haiku.key) == 5000
    (action,) = await actions(resources)
    assert (action.action, action.resource) == ("quotas.set", haiku.key)
    assert action.detail == {"value": "5000", "before": "1000"}
