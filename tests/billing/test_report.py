"""Bills: however a month is grouped, its parts are the whole."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, strategies as st

from outcrop.billing.ledger import Line, add_up
from outcrop.billing.prices import Prices, cents, dollars
from outcrop.billing.report import (
    NO_TAG,
    UNKNOWN_TAG,
    Month,
    grouped,
    grouped_by_tag,
    read_month,
    total,
)
from outcrop.security.masterkey import MasterKey
from outcrop.stores.database import Database
from outcrop.stores.model_records import InferenceProfile
from outcrop.stores.resources import Place, Resources

ACCOUNT, OTHER = "123456789012", "210987654321"
MARCH = Month.find("2026-03")
NOW = datetime(2026, 4, 2, tzinfo=UTC)
MODELS = ("anthropic.claude-v2", "amazon.titan-text-lite-v1")


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Resources]:
    database = await Database.open(tmp_path / "outcrop.db")
    yield Resources(database, MasterKey(bytes(32)))
    await database.close()


def profile_arn(name: str) -> str:
    return f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/{name}"


def line(
    resource: str = "",
    *,
    hour: int = 0,
    account: str = ACCOUNT,
    principal: str = "ada",
    model_id: str = MODELS[0],
    tokens: int = 1000,
) -> Line:
    """``hour`` is one of March."""
    assert MARCH is not None
    return Line(
        account=account,
        hour=MARCH.first_hour + hour,
        region="us-east-1",
        kind="on-demand",
        model_id=model_id,
        resource=resource or f"arn:aws:bedrock:us-east-1::foundation-model/{model_id}",
        principal=f"arn:aws:iam::{account}:user/{principal}",
        prices="0.008/0.024",
        requests=1,
        input_tokens=tokens,
    )


async def write(stored: Resources, *lines: Line) -> None:
    async with stored.writing() as transaction:
        await add_up(transaction, lines)


async def march(stored: Resources, account: str | None = None) -> list[Line]:
    assert MARCH is not None
    async with stored.reading() as view:
        return await read_month(view, MARCH, account, NOW)


async def add_profile(stored: Resources, name: str, tags: dict[str, str]) -> None:
    profile = InferenceProfile(id=name, source="x", models=("x",))
    async with stored.writing() as transaction:
        place = Place(ACCOUNT, "us-east-1", name)
        await transaction.add(profile, place, arn=profile_arn(name), tags=tags)


async def by_team(stored: Resources) -> dict[str, int]:
    lines = await march(stored)
    async with stored.reading() as view:
        sums = await grouped_by_tag(view, lines, "team")
    return {name: each.requests for name, each in sums.items()}


async def test_a_month_begins_and_ends_with_its_hours(stored: Resources) -> None:
    await write(stored, *(line(hour=hour) for hour in (-1, 0, 31 * 24 - 1, 31 * 24)))
    assert len(await march(stored)) == 2


async def test_accounts_are_billed_apart(stored: Resources) -> None:
    await write(stored, line(), line(account=OTHER))
    assert [each.account for each in await march(stored, OTHER)] == [OTHER]
    assert len(await march(stored)) == 2


async def test_costs_by_tag_are_those_of_the_resources_that_carry_it(stored: Resources) -> None:
    await add_profile(stored, "one", {"team": "red"})
    await add_profile(stored, "two", {"team": "blue"})
    await add_profile(stored, "three", {"stage": "test"})
    arns = [profile_arn(name) for name in ("one", "one", "two", "three", "never-there")]
    lines = [line(arn, hour=number) for number, arn in enumerate(arns)]
    await write(stored, *lines, line())
    assert await by_team(stored) == {"red": 2, "blue": 1, NO_TAG: 2, UNKNOWN_TAG: 1}


async def test_profiles_of_the_system_carry_no_tags(stored: Resources) -> None:
    await write(
        stored, line(f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.{MODELS[0]}")
    )
    assert await by_team(stored) == {NO_TAG: 1}


async def test_tags_are_those_of_now_and_of_what_is_deleted_the_last_ones(
    stored: Resources,
) -> None:
    await add_profile(stored, "one", {"team": "red"})
    await write(stored, line(profile_arn("one")))
    place = Place(ACCOUNT, "us-east-1", "one")
    async with stored.writing() as transaction:
        await transaction.remove(InferenceProfile, place)
    assert await by_team(stored) == {"red": 1}
    await add_profile(stored, "one", {"team": "blue"})
    assert await by_team(stored) == {"blue": 1}


async def test_a_bill_by_principal_names_who_called(stored: Resources) -> None:
    await write(stored, line(), line(principal="bob", tokens=2000))
    sums = grouped(await march(stored), "principal")
    assert [(name.rpartition("/")[2], each.cost) for name, each in sums.items()] == [
        ("bob", 16_000_000),
        ("ada", 8_000_000),
    ]


@pytest.mark.parametrize(
    "name", ["2026-13", "2026-0", "26-01", "2026-01-01", "0000-01", "\uff12026-01"]
)
def test_what_is_no_month_is_none(name: str) -> None:
    assert Month.find(name) is None


def test_the_last_month_of_a_year_ends_with_it() -> None:
    december, january = Month.find("2025-12"), Month.find("2026-01")
    assert december is not None
    assert january is not None
    assert december.end_hour == january.first_hour


PRICE = st.decimals(0, 100, places=9)
GROUPINGS: tuple[Literal["model", "principal", "resource", "day"], ...] = (
    "model",
    "principal",
    "resource",
    "day",
)


@given(input=PRICE, output=PRICE, tokens=st.lists(st.integers(0, 10**9), min_size=2, max_size=2))
def test_a_price_survives_its_text_and_costs_what_decimals_say(
    input: Decimal, output: Decimal, tokens: list[int]
) -> None:
    prices = Prices.parse(Prices(input, output).render())
    assert prices == Prices(input, output)
    exact = (input * tokens[0] + output * tokens[1]) / 1000
    assert abs(dollars(prices.cost(*tokens)) - exact) <= Decimal("0.0000000005")


@given(
    st.lists(
        st.builds(
            line,
            hour=st.integers(0, 700),
            principal=st.sampled_from(["ada", "bob"]),
            model_id=st.sampled_from(MODELS),
            tokens=st.integers(0, 10**7),
        )
    )
)
def test_the_parts_of_every_grouping_are_the_same_whole(lines: list[Line]) -> None:
    cost = sum(each.input_tokens for each in lines) * 8_000
    for grouping in GROUPINGS:
        whole = total(grouped(lines, grouping))
        assert (whole.cost, whole.requests) == (cost, len(lines))
    assert cents(cost) == dollars(cost).quantize(Decimal("0.01"))
