"""What provisioned throughput costs over time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, strategies as st

from outcrop.billing.accrual import Accrual, accrue_in, pending
from outcrop.billing.ledger import Line, read_lines, read_tags
from outcrop.billing.prices import hourly_price, reserved_cost
from outcrop.security.masterkey import MasterKey
from outcrop.stores.database import Database
from outcrop.stores.model_records import ModelUnit, ProvisionedModel, ProvisionedStatus
from outcrop.stores.resources import Item, Place, Resources
from outcrop.stores.tables import accruals, resources as records, to_ms

ACCOUNT = "123456789012"
START = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abcdefghijkl"
PLACE = Place(ACCOUNT, "us-east-1", "mine")


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Resources]:
    database = await Database.open(tmp_path / "outcrop.db")
    yield Resources(database, MasterKey(bytes(32)))
    await database.close()


async def buy(
    stored: Resources, status: ProvisionedStatus = "InService", units: int = 2
) -> Item[ProvisionedModel]:
    """In service since ``START``."""
    record = ProvisionedModel(
        units=units,
        desired_units=units,
        model="arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
        desired_model="arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
        foundation_model="anthropic.claude-v2",
        unit=ModelUnit(input_tokens=1, output_tokens=1, hourly_price=39.6),
        status=status,
        by=f"arn:aws:iam::{ACCOUNT}:user/ada",
    )
    async with stored.writing() as transaction:
        await transaction.add(record, PLACE, arn=ARN, tags={"team": "one"})
        since = sa.update(records).values(changed_at_ms=to_ms(START))
        await transaction.connection.execute(since)
        return await transaction.get(ProvisionedModel, PLACE)


async def lines_of(stored: Resources) -> list[Line]:
    async with stored.reading() as view:
        return await read_lines(view.connection, first_hour=0, end_hour=1_000_000)


async def seconds_of(stored: Resources) -> int:
    return sum(line.seconds for line in await lines_of(stored))


async def change(stored: Resources, status: ProvisionedStatus, now: datetime) -> None:
    """As an operation does it: counted as it was before, and as it is after."""
    async with stored.writing() as transaction:
        item = await transaction.get(ProvisionedModel, PLACE)
        await accrue_in(transaction, item, now)
        record = msgspec.structs.replace(item.record, status=status)
        item = replace(await transaction.put(replace(item, record=record)), changed_at=now)
        await accrue_in(transaction, item, now)


async def test_every_hour_has_a_line_and_its_seconds(stored: Resources) -> None:
    await buy(stored)
    await Accrual(stored).accrue(START + timedelta(hours=1, minutes=45))
    lines = await lines_of(stored)
    assert [line.seconds for line in lines] == [1800, 3600, 900]
    first = lines[0]
    assert first.hour == START.replace(minute=0).timestamp() // 3600
    assert (first.kind, first.resource, first.prices) == ("provisioned", ARN, "79.2")
    assert (first.principal, first.cost) == (f"arn:aws:iam::{ACCOUNT}:user/ada", 39_600_000_000)


async def test_counting_often_or_after_a_long_stop_gives_the_same(stored: Resources) -> None:
    await buy(stored)
    for minutes in (0, 1, 1, 17, 45, 400):
        # Every time as a process that was just started.
        await Accrual(stored).accrue(START + timedelta(minutes=minutes))
    assert await seconds_of(stored) == 400 * 60


async def test_a_clock_that_goes_back_counts_nothing_twice(stored: Resources) -> None:
    await buy(stored)
    for minutes in (10, 5, -30, 8, 10, 11):
        await Accrual(stored).accrue(START + timedelta(minutes=minutes))
    assert await seconds_of(stored) == 11 * 60


async def test_fractions_of_seconds_are_not_lost(stored: Resources) -> None:
    await buy(stored)
    for tenths in range(1, 36):
        await Accrual(stored).accrue(START + timedelta(seconds=tenths / 10))
    assert await seconds_of(stored) == 3


@pytest.mark.parametrize("status", ["Creating", "Failed"])
async def test_what_is_not_in_service_costs_nothing(
    stored: Resources, status: ProvisionedStatus
) -> None:
    await buy(stored, status)
    await Accrual(stored).accrue(START + timedelta(hours=5))
    assert await lines_of(stored) == []


async def test_it_costs_from_when_it_comes_into_service(stored: Resources) -> None:
    await buy(stored, "Creating")
    await Accrual(stored).accrue(START + timedelta(hours=1))
    await change(stored, "InService", START + timedelta(hours=2))
    await Accrual(stored).accrue(START + timedelta(hours=2, seconds=30))
    assert await seconds_of(stored) == 30


async def test_a_failure_ends_it_and_a_return_to_service_begins_it_anew(stored: Resources) -> None:
    await buy(stored)
    await change(stored, "Updating", START + timedelta(minutes=1))
    await change(stored, "Failed", START + timedelta(minutes=2))
    await Accrual(stored).accrue(START + timedelta(minutes=50))
    await change(stored, "InService", START + timedelta(minutes=100))
    await Accrual(stored).accrue(START + timedelta(minutes=103))
    assert await seconds_of(stored) == (2 + 3) * 60


async def test_deletion_counts_the_last_part_and_keeps_what_was_counted(stored: Resources) -> None:
    item = await buy(stored)
    now = START + timedelta(minutes=7)
    async with stored.writing() as transaction:
        await accrue_in(transaction, item, now)
        await transaction.remove(ProvisionedModel, PLACE)
    await Accrual(stored).accrue(now + timedelta(days=3))
    assert await seconds_of(stored) == 7 * 60
    async with stored.reading() as view:
        assert (await view.connection.execute(sa.select(accruals))).all() == []
        assert await read_tags(view, [ARN]) == {ARN: {"team": "one"}}


async def test_a_deletion_that_is_rolled_back_counts_nothing(stored: Resources) -> None:
    item = await buy(stored)

    async def delete() -> None:
        async with stored.writing() as transaction:
            await accrue_in(transaction, item, START + timedelta(minutes=7))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await delete()
    assert await lines_of(stored) == []


async def test_two_processes_that_count_at_once_count_once(
    stored: Resources, tmp_path: Path
) -> None:
    await buy(stored)
    other = await Database.open(tmp_path / "outcrop.db")
    both = [Accrual(stored), Accrual(Resources(other, MasterKey(bytes(32))))]
    for minutes in range(1, 11):
        now = START + timedelta(minutes=minutes)
        await asyncio.gather(*(each.accrue(now) for each in both))
    await other.close()
    assert await seconds_of(stored) == 600


async def test_what_is_not_counted_yet_can_be_shown(stored: Resources) -> None:
    await buy(stored)
    await Accrual(stored).accrue(START + timedelta(minutes=10))
    async with stored.reading() as view:
        shown = await pending(view, START + timedelta(minutes=25))
    assert sum(line.seconds for line in shown) == 15 * 60
    assert await seconds_of(stored) == 600


async def test_it_counts_by_itself_at_the_start_and_when_it_is_closed(stored: Resources) -> None:
    await buy(stored)
    times = iter([START + timedelta(minutes=1), START + timedelta(minutes=2)])
    counted = asyncio.Event()

    def clock() -> datetime:
        counted.set()
        return next(times)

    accrual = Accrual(stored, clock, interval_s=3600)
    accrual.start()
    await counted.wait()
    await accrual.close()
    assert await seconds_of(stored) == 120


@given(
    units=st.integers(1, 1000),
    price=st.decimals(0, 1000, places=4).map(float),
    parts=st.lists(st.integers(0, 3600), min_size=1, max_size=50),
)
def test_an_hour_in_parts_costs_what_it_costs_at_once(
    units: int, price: float, parts: list[int]
) -> None:
    hourly = hourly_price(ModelUnit(input_tokens=1, output_tokens=1, hourly_price=price), units)
    cost = reserved_cost(hourly, sum(parts))
    assert abs(cost - sum(reserved_cost(hourly, part) for part in parts)) <= len(parts)
    assert reserved_cost(hourly, 3600) == int(hourly * 10**9)
