"""Which quotas there are and what the book says of an account's, also after they changed."""

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from quota_rates import per_minute

from outcrop.catalog.load import load_models
from outcrop.catalog.model import Model
from outcrop.quotas.book import BASE_MODEL_UNITS, QuotaBook
from outcrop.quotas.requests import set_value
from outcrop.stores.database import Database
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Place, Resources
from outcrop.stores.watch import ChangeWatcher

ACCOUNT, REGION = "123456789012", "us-east-1"
MODELS = load_models().by_id
HAIKU = MODELS["anthropic.claude-3-haiku-20240307-v1:0"]
V2 = MODELS["anthropic.claude-v2"]


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    opened = await Database.open(tmp_path / "outcrop.db")
    yield opened
    await opened.close()


@pytest.fixture
def resources(database: Database) -> Resources:
    return Resources(database)


def book_of(resources: Resources, *models: Model) -> QuotaBook:
    return QuotaBook(resources, models or tuple(MODELS.values()))


async def put(resources: Resources, key: str, value: float, region: str = REGION) -> None:
    quota = book_of(resources).find_key(key)
    assert quota is not None
    await set_value(resources, quota, Place(ACCOUNT, region, key), value, "operator")


def key_of(book: QuotaBook, model: Model) -> str:
    key = book.rate_key(model, "requests")
    assert key is not None
    return key


def test_names_codes_and_keys_are_each_one_quota_s(resources: Resources) -> None:
    quotas = book_of(resources).all()
    for values in ({q.name for q in quotas}, {q.code for q in quotas}, {q.key for q in quotas}):
        assert len(values) == len(quotas)
    assert all(re.fullmatch(r"L-[0-9A-F]{8}", quota.code) for quota in quotas)


def test_a_code_is_the_same_wherever_and_whenever_it_is_made(resources: Resources) -> None:
    alone, together = book_of(resources, V2), book_of(resources)
    key = key_of(alone, V2)
    assert alone.find_key(key) == together.find_key(key)
    # Programs that hold codes break when they change.
    quota = together.find("L-9815D423")
    assert quota is not None
    assert quota.key == "requests-per-minute/anthropic.claude-v2"


def test_an_unknown_code_is_no_quota(resources: Resources) -> None:
    assert book_of(resources).find("L-00000000") is None


def test_a_model_without_figures_has_no_quota(resources: Resources) -> None:
    book, model = book_of(resources), MODELS["anthropic.claude-opus-4-5-20251101-v1:0"]
    assert per_minute(book, ACCOUNT, REGION, model, "requests") is None
    assert book.rate_key(model, "tokens") is None


def test_a_variant_counts_as_its_base(resources: Resources) -> None:
    book, variant = book_of(resources), MODELS["anthropic.claude-v2:0:18k"]
    assert per_minute(book, ACCOUNT, REGION, variant, "requests") == 100
    assert book.rate_key(variant, "requests") == book.rate_key(V2, "requests")


def test_two_ids_of_one_model_share_its_quotas(resources: Resources) -> None:
    book = book_of(resources)
    assert key_of(book, MODELS["ai21.j2-mid"]) == key_of(book, MODELS["ai21.j2-mid-v1"])


def test_models_of_one_name_and_different_figures_are_told_apart(resources: Resources) -> None:
    mine = replace(V2, id="acme.a", name="Chat", provider="Acme")
    twin = replace(mine, id="acme.b", quotas={"requests_per_minute": 7})
    book = book_of(resources, mine, twin)
    assert per_minute(book, ACCOUNT, REGION, mine, "requests") == 100
    assert per_minute(book, ACCOUNT, REGION, twin, "requests") == 7
    assert per_minute(book, ACCOUNT, REGION, twin, "tokens") is None
    names = [quota.name for quota in book.all() if "Acme" in quota.name]
    assert all(name.endswith(("Acme Chat (acme.a)", "Acme Chat (acme.b)")) for name in names)


def test_a_model_of_one_s_own_can_have_more(resources: Resources) -> None:
    mine = replace(V2, id="acme.a", name="Chat", provider="Acme")
    quota = book_of(resources, mine).find_key("tokens-per-minute/acme.a")
    assert quota is not None
    assert quota.adjustable


@pytest.mark.parametrize(
    ("region", "requests", "tokens"),
    [
        ("us-east-1", 1000, 2_000_000),
        ("ap-northeast-1", 200, 200_000),
        ("eu-central-1", 400, 300_000),
    ],
)
def test_su_01_defaults_differ_by_region(
    resources: Resources, region: str, requests: int, tokens: int
) -> None:
    book = book_of(resources)
    assert per_minute(book, ACCOUNT, region, HAIKU, "requests") == requests
    assert per_minute(book, ACCOUNT, region, HAIKU, "tokens") == tokens


async def test_what_was_given_counts_from_the_next_look_on(resources: Resources) -> None:
    book = book_of(resources)
    key = key_of(book, V2)
    for value in (150, 0, 400):
        await put(resources, key, value)
        assert per_minute(book, ACCOUNT, REGION, V2, "requests") == value
    async with resources.writing() as transaction:
        await transaction.remove(QuotaValue, Place(ACCOUNT, REGION, key))
    assert per_minute(book, ACCOUNT, REGION, V2, "requests") == 100


async def test_what_was_given_is_there_after_a_restart(resources: Resources) -> None:
    await put(resources, BASE_MODEL_UNITS, 3)
    book = book_of(resources)
    await book.load()
    assert book.value(ACCOUNT, REGION, BASE_MODEL_UNITS) == 3


async def test_what_another_process_gave_is_noticed(database: Database, tmp_path: Path) -> None:
    here = Resources(database)
    book = book_of(here)
    await book.load()
    assert book.value(ACCOUNT, REGION, BASE_MODEL_UNITS) == 0

    noticed = asyncio.Event()

    async def reload() -> None:
        await here.reloads["quotas"]()
        noticed.set()

    async def nothing() -> None:
        pass

    watcher = ChangeWatcher(database, {"quotas": reload}, nothing, interval_s=0.01)
    watcher.start()
    elsewhere = await Database.open(tmp_path / "outcrop.db")
    try:
        await put(Resources(elsewhere), BASE_MODEL_UNITS, 5)
        async with asyncio.timeout(30):
            await noticed.wait()
        assert book.value(ACCOUNT, REGION, BASE_MODEL_UNITS) == 5
    finally:
        await watcher.close()
        await elsewhere.close()


async def test_a_value_that_is_no_quota_s_is_refused(resources: Resources) -> None:
    with pytest.raises(KeyError):
        book_of(resources).value(ACCOUNT, REGION, "no-such-quota")
