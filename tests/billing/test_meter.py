"""The meter of calls: counts in memory, lines in the ledger."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from outcrop.billing.ledger import Line, read_lines
from outcrop.billing.meter import OTHERS, LedgerMeter
from outcrop.billing.prices import Prices
from outcrop.billing.usage import UsageKey
from outcrop.security.masterkey import MasterKey
from outcrop.stores.database import Database
from outcrop.stores.failures import StoreError
from outcrop.stores.resources import Resources

KEY = MasterKey(bytes(32))
ACCOUNT = "123456789012"
MODEL = "anthropic.claude-v2"
PRICES = {MODEL: Prices(Decimal("0.008"), Decimal("0.024"))}
HOUR = 3600


class Clock:
    """A time that a test sets."""

    def __init__(self, now: float = 100 * HOUR) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "outcrop.db")
    yield opened
    await opened.close()


def key(name: str = "ada", model: str = MODEL, resource: str = "") -> UsageKey:
    return UsageKey(
        account=ACCOUNT,
        region="us-east-1",
        model_id=model,
        resource=resource or f"arn:aws:bedrock:us-east-1::foundation-model/{model}",
        principal=f"arn:aws:iam::{ACCOUNT}:user/{name}",
    )


async def lines_of(database: Database) -> list[Line]:
    async with database.read() as connection:
        return await read_lines(connection, first_hour=0, end_hour=1_000_000)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        # Rows and records of a log come without telling.
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_calls_of_an_hour_add_up_to_one_line_with_its_exact_cost(database: Database) -> None:
    clock = Clock()
    meter = LedgerMeter(Resources(database, KEY), PRICES.get, clock)
    for _ in range(3):
        meter.add(key(), input_tokens=7, output_tokens=11)
        await meter.flush()
    (line,) = await lines_of(database)
    assert (line.hour, line.requests, line.input_tokens, line.output_tokens) == (100, 3, 21, 33)
    assert line.prices == "0.008/0.024"
    assert line.cost == 21 * 8_000 + 33 * 24_000
    assert line.is_priced


async def test_what_two_meters_count_at_once_adds_up(database: Database, tmp_path: Path) -> None:
    other = await Database.open(tmp_path / "outcrop.db")
    meters = [LedgerMeter(Resources(each, KEY), PRICES.get, Clock()) for each in (database, other)]
    for _ in range(20):
        for meter in meters:
            meter.add(key(), input_tokens=1, output_tokens=2)
        await asyncio.gather(*(meter.flush() for meter in meters))
    await other.close()
    (line,) = await lines_of(database)
    assert (line.requests, line.input_tokens, line.output_tokens) == (40, 40, 80)


async def test_an_hour_that_ends_and_a_clock_that_goes_back_are_counted_where_they_are(
    database: Database,
) -> None:
    clock = Clock(101 * HOUR - 0.001)
    meter = LedgerMeter(Resources(database, KEY), PRICES.get, clock)
    for now in (101 * HOUR - 0.001, 101 * HOUR, 100 * HOUR):
        clock.now = now
        meter.add(key(), input_tokens=1, output_tokens=1)
    await meter.flush()
    assert [(line.hour, line.requests) for line in await lines_of(database)] == [(100, 2), (101, 1)]


async def test_what_was_written_survives_and_closing_writes_the_rest(
    database: Database, tmp_path: Path
) -> None:
    meter = LedgerMeter(Resources(database, KEY), PRICES.get, Clock(), interval_s=60)
    meter.start()
    meter.add(key(), input_tokens=1, output_tokens=1)
    await meter.close()
    again = await Database.open(tmp_path / "outcrop.db")
    restarted = LedgerMeter(Resources(again, KEY), PRICES.get, Clock(), interval_s=60)
    restarted.start()
    restarted.add(key(), input_tokens=1, output_tokens=1)
    await restarted.close()
    assert [line.requests for line in await lines_of(again)] == [2]
    await again.close()


async def test_a_database_that_fails_keeps_the_counts_and_is_told_of_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    meter = LedgerMeter(Resources(database, KEY), PRICES.get, Clock(), interval_s=0.01)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE usage RENAME TO hidden"))
    meter.add(key(), input_tokens=1, output_tokens=1)
    with pytest.raises(StoreError):
        await meter.flush()
    meter.start()
    meter.add(key(), input_tokens=1, output_tokens=1)

    def told(words: str) -> Callable[[], Awaitable[bool]]:
        async def is_told() -> bool:
            return words in caplog.text

        return is_told

    await until(told("is not written"))
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE hidden RENAME TO usage"))
    await until(told("is written again"))
    await meter.close()
    assert [line.requests for line in await lines_of(database)] == [2]
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 2


async def test_many_principals_are_written_early_and_never_fill_the_memory(
    database: Database,
) -> None:
    meter = LedgerMeter(
        Resources(database, KEY), PRICES.get, Clock(), interval_s=60, open_keys=3, most_keys=5
    )
    for number in range(8):
        meter.add(key(f"user{number}"), input_tokens=1, output_tokens=1)
    meter.start()

    async def is_written() -> bool:
        return bool(await lines_of(database))

    await until(is_written)
    await meter.close()
    lines = await lines_of(database)
    assert [line.requests for line in lines if line.principal == OTHERS] == [3]
    assert sum(line.requests for line in lines) == 8


async def test_tokens_without_a_known_price_are_told_apart_from_free_ones(
    database: Database,
) -> None:
    meter = LedgerMeter(Resources(database, KEY), PRICES.get, Clock())
    meter.add(key(model="acme.chat"), input_tokens=5, output_tokens=5)
    await meter.flush()
    (line,) = await lines_of(database)
    assert (line.prices, line.cost, line.is_priced) == ("-/-", 0, False)


async def test_calls_of_provisioned_throughput_cost_nothing_by_themselves(
    database: Database,
) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abcdefghijkl"
    meter = LedgerMeter(Resources(database, KEY), PRICES.get, Clock())
    meter.add(key(resource=arn), input_tokens=5, output_tokens=5)
    await meter.flush()
    (line,) = await lines_of(database)
    assert (line.kind, line.cost, line.is_priced, line.requests) == ("provisioned", 0, True, 1)


async def test_prices_that_change_within_an_hour_make_a_line_of_their_own(
    database: Database,
) -> None:
    for price in ("0.008", "0.004"):
        prices = {MODEL: Prices(Decimal(price), Decimal("0.024"))}
        meter = LedgerMeter(Resources(database, KEY), prices.get, Clock())
        meter.add(key(), input_tokens=1000, output_tokens=0)
        await meter.flush()
    lines = await lines_of(database)
    assert {line.prices: line.cost for line in lines} == {
        "0.004/0.024": 4_000_000,
        "0.008/0.024": 8_000_000,
    }
