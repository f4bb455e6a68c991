"""Points of metrics in the database: merged, read in parts, made coarser with age, removed."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from hypothesis import given, settings, strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.metrics.points import Point, Sample, merge, ordered
from outcrop.metrics.retention import DAY_S, Retention
from outcrop.metrics.statistics import UnknownStatistic, parse_statistic
from outcrop.metrics.store import Span, add, find_series, list_series, read_points
from outcrop.stores.database import Database
from outcrop.stores.failures import StoreError
from outcrop.stores.tables import metric_points, metric_series

ACCOUNT, REGION, NAMESPACE = "123456789012", "us-east-1", "Shop"
T0 = 1_800_000_000 // 3600 * 3600
PLACE = ordered({"Shelf": "1", "Floor": "2"})


def sample(value: float, at_s: int, unit: str = "Count", resolution_s: int = 60) -> Sample:
    return Sample("Visits", PLACE, at_s, unit, Point.of({value: 1}), resolution_s)


async def put(database: Database, samples: Sequence[Sample]) -> None:
    async with database.write() as connection:
        await add(connection, ACCOUNT, REGION, NAMESPACE, samples)


async def read(
    connection: AsyncConnection, span: Span, unit: str | None = None
) -> dict[tuple[int, str], Point]:
    series = await find_series(connection, ACCOUNT, REGION, NAMESPACE, "Visits", PLACE)
    return {} if series is None else await read_points(connection, series, span, unit)


async def sums(database: Database, span: Span) -> dict[int, float]:
    async with database.read() as connection:
        points = await read(connection, span)
    return {at_s - T0: point.sum for (at_s, _), point in points.items()}


async def test_samples_of_one_minute_merge_however_they_came(database: Database) -> None:
    await put(database, [sample(3, T0 + 59), sample(1, T0)])
    await put(database, [sample(8, T0 + 30), sample(5, T0 + 60)])
    async with database.read() as connection:
        points = await read(connection, Span(T0, T0 + 120, 60))
    first, second = points[T0, "Count"], points[T0 + 60, "Count"]
    assert first == Point(3, 12, 1, 8, {1: 1, 3: 1, 8: 1})
    assert second == Point(1, 5, 5, 5, {5: 1})


async def test_parts_are_counted_from_the_start_of_the_span(database: Database) -> None:
    await put(database, [sample(1, T0 + 60 * minute) for minute in range(10)])
    assert await sums(database, Span(T0 + 60, T0 + 600, 300)) == {60: 5, 360: 4}
    assert await sums(database, Span(T0, T0 + 300, 60)) == dict.fromkeys(range(0, 300, 60), 1)


async def test_seconds_are_there_for_short_periods_and_minutes_for_the_rest(
    database: Database,
) -> None:
    await put(database, [sample(1, T0 + second, resolution_s=1) for second in range(90)])
    await put(database, [sample(100, T0)])
    assert await sums(database, Span(T0, T0 + 60, 30)) == {0: 30, 30: 30}
    assert await sums(database, Span(T0, T0 + 120, 60)) == {0: 160, 60: 30}


async def test_units_are_kept_apart(database: Database) -> None:
    await put(database, [sample(1, T0), sample(2, T0, "Seconds")])
    async with database.read() as connection:
        both = await read(connection, Span(T0, T0 + 60, 60))
        one = await read(connection, Span(T0, T0 + 60, 60), "Seconds")
    assert {unit: point.sum for (_, unit), point in both.items()} == {"Count": 1, "Seconds": 2}
    assert list(one) == [(T0, "Seconds")]


async def test_a_metric_is_its_dimensions_all_of_them(database: Database) -> None:
    await put(database, [sample(1, T0)])
    async with database.read() as connection:
        fewer = ordered({"Shelf": "1"})
        assert await find_series(connection, ACCOUNT, REGION, NAMESPACE, "Visits", fewer) is None
        other = await find_series(connection, "210987654321", REGION, NAMESPACE, "Visits", PLACE)
        assert other is None
        (listed,) = await list_series(connection, ACCOUNT, REGION, since_s=T0)
        assert (listed.name, listed.dimensions, listed.last_at_s) == ("Visits", PLACE, T0)
        assert await list_series(connection, ACCOUNT, REGION, since_s=T0 + 1) == []


async def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await add(connection, ACCOUNT, REGION, NAMESPACE, [sample(1, T0)])
            raise StoreError("The disk is full.")

    with pytest.raises(StoreError):
        await fail()
    assert await sums(database, Span(T0, T0 + 60, 60)) == {}


async def test_more_series_than_a_statement_has_parameters_for(database: Database) -> None:
    many = [
        Sample("Visits", ordered({"Shelf": str(number)}), T0, "Count", Point.of({1: 1}))
        for number in range(1000)
    ]
    await put(database, many)
    await put(database, many)
    async with database.read() as connection:
        assert len(await list_series(connection, ACCOUNT, REGION)) == 1000
        total = await connection.scalar(sa.select(sa.func.sum(metric_points.c.samples)))
    assert total == 2000


async def test_old_points_become_coarser_and_then_go(database: Database) -> None:
    samples = [sample(1, T0 + 60 * minute) for minute in range(120)]
    samples += [sample(1, T0 + second, resolution_s=1) for second in range(60)]
    await put(database, samples)
    ages: list[tuple[float, dict[int, int]]] = [
        (0.0, {1: 60, 60: 120}),
        (0.5, {60: 120}),
        (15.5, {300: 24}),
        (64.0, {3600: 2}),
        (456.0, {}),
    ]
    for age_days, kept in ages:
        now_ms = round((T0 + age_days * DAY_S) * 1000)
        await Retention(database, 455, lambda now=now_ms: now).prune()
        async with database.read() as connection:
            counted = await connection.execute(
                sa.select(metric_points.c.resolution_s, sa.func.count()).group_by(
                    metric_points.c.resolution_s
                )
            )
            assert {row[0]: row[1] for row in counted} == kept
            total = await connection.scalar(
                sa.select(sa.func.sum(metric_points.c.sum)).where(
                    metric_points.c.resolution_s >= 60
                )
            )
        assert total == (180 if kept else None)
    async with database.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(metric_series)) == 0


async def test_coarse_points_answer_coarse_periods_only(database: Database) -> None:
    await put(database, [sample(1, T0 + 60 * minute) for minute in range(10)])
    await Retention(database, 455, lambda: (T0 + 16 * DAY_S) * 1000).prune()
    assert await sums(database, Span(T0, T0 + 600, 60)) == {}
    assert await sums(database, Span(T0, T0 + 600, 300)) == {0: 5, 300: 5}


def test_a_summary_has_no_percentiles() -> None:
    summary = Point(samples=3, sum=9, minimum=1, maximum=5, histogram={})
    both = merge([summary, Point.of({2: 1})])
    assert parse_statistic("Average").of(both) == pytest.approx(11 / 4)
    assert parse_statistic("p50").of(both) is None
    assert parse_statistic("tm90").of(both) is None


@pytest.mark.parametrize("name", ["p101", "p", "P50", "sum", "p5e1", "tm", "p1.", "p\u0665", ""])
def test_a_name_of_no_statistic_is_refused(name: str) -> None:
    with pytest.raises(UnknownStatistic):
        parse_statistic(name)


@settings(max_examples=50)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=60))
def test_statistics_are_those_of_the_values(values: list[int]) -> None:
    point = merge(Point.of({value: 1}) for value in values)
    assert parse_statistic("SampleCount").of(point) == len(values)
    assert parse_statistic("Sum").of(point) == sum(values)
    assert parse_statistic("Minimum").of(point) == parse_statistic("p0").of(point) == min(values)
    assert parse_statistic("Maximum").of(point) == parse_statistic("p100").of(point) == max(values)
    assert parse_statistic("tm100").of(point) == pytest.approx(sum(values) / len(values))
