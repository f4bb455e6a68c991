"""Chapter QU of the requirements, a test a row: what the book says before anybody asks for more."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from quota_rates import per_minute

from outcrop.catalog.load import load_models
from outcrop.quotas.book import (
    BASE_MODEL_UNITS,
    CUSTOM_MODEL_UNITS,
    NO_COMMITMENT_UNITS,
    TAGS_PER_RESOURCE,
    Quota,
    QuotaBook,
)
from outcrop.quotas.requests import set_value
from outcrop.stores.database import Database
from outcrop.stores.resources import Place, Resources

ACCOUNT, OTHER = "123456789012", "210987654321"
REGION = "us-east-1"
MODELS = load_models().by_id
EXPRESS = "customization-titan-express"


@pytest_asyncio.fixture
async def resources(tmp_path: Path) -> AsyncGenerator[Resources]:
    database = await Database.open(tmp_path / "outcrop.db")
    yield Resources(database)
    await database.close()


@pytest.fixture
def book(resources: Resources) -> QuotaBook:
    return QuotaBook(resources, tuple(MODELS.values()))


def quota(book: QuotaBook, key: str | None) -> Quota:
    found = book.find_key(key or "")
    assert found is not None
    return found


async def test_qu_01_a_quota_is_an_account_s_in_a_region(
    resources: Resources, book: QuotaBook
) -> None:
    for found in book.all():
        place = Place(ACCOUNT, REGION, found.key)
        await set_value(resources, found, place, found.default_in(REGION) + 1, "operator")
        assert book.value(ACCOUNT, REGION, found.key) == found.default_in(REGION) + 1
        assert book.value(OTHER, REGION, found.key) == found.default_in(REGION)
        assert book.value(ACCOUNT, "eu-central-1", found.key) == found.default_in("eu-central-1")


def test_qu_02_some_quotas_are_adjustable_and_others_are_not(book: QuotaBook) -> None:
    assert {found.adjustable for found in book.all()} == {True, False}


RATES = [
    pytest.param("amazon.titan-text-express-v1", "Amazon Titan Text Express", 400, 300_000, id="3"),
    pytest.param(
        "amazon.titan-embed-text-v1", "Amazon Titan Text Embeddings", 2000, 300_000, id="4"
    ),
    pytest.param("anthropic.claude-instant-v1", "Anthropic Claude Instant", 400, 300_000, id="5"),
    pytest.param("anthropic.claude-v2", "Anthropic Claude V2", 100, 200_000, id="6"),
    pytest.param("anthropic.claude-v2:1", "Anthropic Claude V2.1", 100, 200_000, id="6-of-2.1"),
    pytest.param("ai21.j2-mid-v1", "AI21 Labs Jurassic-2 Mid", 400, 300_000, id="7"),
    pytest.param("ai21.j2-ultra-v1", "AI21 Labs Jurassic-2 Ultra", 100, 300_000, id="8"),
    pytest.param("cohere.command-text-v14", "Cohere Command", 400, 300_000, id="9"),
    pytest.param("cohere.command-light-text-v14", "Cohere Command Light", 400, 300_000, id="10"),
    pytest.param("cohere.embed-english-v3", "Cohere Embed English", 400, 300_000, id="11"),
    pytest.param(
        "cohere.embed-multilingual-v3", "Cohere Embed Multilingual", 400, 300_000, id="12"
    ),
    pytest.param("meta.llama2-13b-chat-v1", "Meta Llama 2 Chat 13B", 800, 300_000, id="13"),
]


@pytest.mark.parametrize(("model_id", "name", "requests", "tokens"), RATES)
def test_qu_03_to_13_rates_of_models(
    book: QuotaBook, model_id: str, name: str, requests: int, tokens: int
) -> None:
    model = MODELS[model_id]
    assert per_minute(book, ACCOUNT, REGION, model, "requests") == requests
    assert per_minute(book, ACCOUNT, REGION, model, "tokens") == tokens
    for unit in ("requests", "tokens"):
        found = quota(book, book.rate_key(model, unit))
        assert found.name == f"On-demand InvokeModel {unit} per minute for {name}"
        assert (found.adjustable, found.period) == (False, "MINUTE")


def test_qu_14_diffusion_has_requests_a_minute_and_no_tokens(book: QuotaBook) -> None:
    model = MODELS["stability.stable-diffusion-xl-v1"]
    assert per_minute(book, ACCOUNT, REGION, model, "requests") == 60
    assert per_minute(book, ACCOUNT, REGION, model, "tokens") is None
    assert not quota(book, book.rate_key(model, "requests")).adjustable


OTHERS = [
    pytest.param(f"{EXPRESS}-tokens-batch-1", 4096, False, id="15"),
    pytest.param(f"{EXPRESS}-tokens-batch-2-4", 2048, False, id="16"),
    pytest.param(f"{EXPRESS}-characters-batch-1", 4096 * 6, False, id="17-batch-1"),
    pytest.param(f"{EXPRESS}-characters-batch-2-4", 2048 * 6, False, id="17-batch-2-4"),
    pytest.param("customization-training-records", 10_000, True, id="18"),
    pytest.param("customization-validation-records", 1000, True, id="19"),
    pytest.param("customization-jobs", 2, True, id="22"),
    pytest.param("custom-models", 100, True, id="23"),
    pytest.param(TAGS_PER_RESOURCE, 50, True, id="24"),
    pytest.param(BASE_MODEL_UNITS, 0, True, id="25"),
    pytest.param(NO_COMMITMENT_UNITS, 2, True, id="26-without-commitment"),
    pytest.param(CUSTOM_MODEL_UNITS, 0, True, id="26-with-commitment"),
]


@pytest.mark.parametrize(("key", "value", "adjustable"), OTHERS)
def test_qu_15_to_26_other_quotas(
    book: QuotaBook, key: str, value: float, adjustable: bool
) -> None:
    assert book.value(ACCOUNT, REGION, key) == value
    assert quota(book, key).adjustable is adjustable


@pytest.mark.parametrize(
    ("key", "size_bytes"),
    [
        pytest.param("customization-training-file", 1024**3, id="20"),
        pytest.param("customization-validation-file", 100 * 1024**2, id="21"),
    ],
)
def test_qu_20_and_21_sizes_of_files(book: QuotaBook, key: str, size_bytes: int) -> None:
    assert book.size_bytes(ACCOUNT, REGION, key) == size_bytes
    assert quota(book, key).adjustable
