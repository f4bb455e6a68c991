"""What training costs: each token that a job has trained, once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from outcrop.billing.ledger import Line, read_lines
from outcrop.billing.prices import Prices, training_prices
from outcrop.billing.report import Month, grouped, grouped_by_tag, read_month
from outcrop.billing.training import count_tokens
from outcrop.catalog.load import load_models
from outcrop.security.masterkey import MasterKey
from outcrop.stores.customization_records import CustomizationJob, TrainingProgress
from outcrop.stores.database import Database
from outcrop.stores.model_records import DataKey
from outcrop.stores.resources import Item, Place, Resources

ACCOUNT = "123456789012"
ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-customization-job/base/0123456789ab"
EXPRESS = "amazon.titan-text-express-v1"
NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
PLACE = Place(ACCOUNT, "us-east-1", "job")
JOB = CustomizationJob(
    base_model=EXPRESS,
    type="FINE_TUNING",
    role_arn="r",
    model_name="m",
    model_arn="a",
    training_uri="s3://b/t",
    output_uri="s3://b/o",
    hyperparameters={},
    engine="smollm2",
    base="f",
    data_key=DataKey(kms_key="k", ciphertext=b"c", context=ARN, grant="g"),
    by="arn:aws:iam::123456789012:user/ada",
)


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Resources]:
    database = await Database.open(tmp_path / "outcrop.db")
    resources = Resources(database, MasterKey(bytes(32)))
    async with resources.writing() as transaction:
        await transaction.add(JOB, PLACE, arn=ARN, tags={"team": "red"})
    yield resources
    await database.close()


async def reach(stored: Resources, tokens: int) -> None:
    """The job's progress, as whoever runs it writes it."""
    async with stored.writing() as transaction:
        item = await transaction.get(CustomizationJob, PLACE)
        prices = training_prices(load_models().by_id[EXPRESS])
        counted = await count_tokens(transaction, item, tokens, prices, NOW)
        progress = TrainingProgress(tokens=counted)
        record = msgspec.structs.replace(item.record, progress=progress)
        changed: Item[CustomizationJob] = replace(item, record=record)
        await transaction.put(changed)


async def lines(stored: Resources) -> list[Line]:
    async with stored.reading() as view:
        return await read_lines(view.connection, first_hour=0, end_hour=10**9)


async def test_tokens_cost_what_the_model_costs_to_train(stored: Resources) -> None:
    await reach(stored, 1500)
    [line] = await lines(stored)
    assert (line.kind, line.input_tokens, line.resource) == ("training", 1500, ARN)
    assert line.cost == 12_000_000
    assert line.is_priced


async def test_what_is_trained_again_after_a_crash_is_counted_once(stored: Resources) -> None:
    for tokens in (1000, 400, 900, 1200, 1200):
        await reach(stored, tokens)
    assert sum(line.input_tokens for line in await lines(stored)) == 1200


async def test_a_model_without_a_price_to_train_is_told_apart() -> None:
    unknown = Prices()
    assert training_prices(load_models().by_id["amazon.titan-text-agile-v1"]) == unknown


async def test_a_bill_has_trained_tokens_apart_from_those_of_calls(stored: Resources) -> None:
    await reach(stored, 1500)
    month = Month.find("2026-03")
    assert month is not None
    async with stored.reading() as view:
        found = await read_month(view, month, None, NOW)
        [by_model] = grouped(found, "model").items()
        by_tag = await grouped_by_tag(view, found, "team")
    assert by_model[0] == EXPRESS
    assert (by_model[1].trained_tokens, by_model[1].input_tokens) == (1500, 0)
    assert list(by_tag) == ["red"]
