"""Metrics in the database: series, and their points by the minute or the second.

``add`` merges with what is there, inside the caller's transaction: it happens with the rest of it
or not at all.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.metrics.histogram import decode, encode
from outcrop.metrics.points import Dimensions, Point, Sample, merge
from outcrop.stores.tables import metric_points, metric_series

MINUTE_S: Final = 60

# Databases take no more than some thousand parameters at once.
_AT_ONCE: Final = 150

_FEW: Final = 500
"""Rows that are merged without a thread."""

T = TypeVar("T")
_SeriesKey = tuple[str, Dimensions]
_PointKey = tuple[int, int, int, str]
"""Series, resolution, time, unit: the key of the table."""


@dataclass(frozen=True, slots=True)
class Series:
    """``last_at_s`` is the newest time of any of its points."""

    id: int
    namespace: str
    name: str
    dimensions: Dimensions
    last_at_s: int


@dataclass(frozen=True, slots=True)
class Span:
    """The time from ``start_s`` to before ``end_s``, in parts of ``period_s`` that are counted from
    its start."""

    start_s: int
    end_s: int
    period_s: int


async def add(
    connection: AsyncConnection,
    account: str,
    region: str,
    namespace: str,
    samples: Iterable[Sample],
) -> None:
    by_place: dict[tuple[_SeriesKey, int, int, str], list[Point]] = {}
    for sample in samples:
        series = (sample.name, sample.dimensions)
        for resolution in sorted({sample.resolution_s, MINUTE_S}):
            place = (series, resolution, sample.at_s // resolution * resolution, sample.unit)
            by_place.setdefault(place, []).append(sample.point)
    if not by_place:
        return
    newest: dict[_SeriesKey, int] = {}
    for series, _, at_s, _ in by_place:
        newest[series] = max(at_s, newest.get(series, at_s))
    ids = await _series_ids(connection, (account, region, namespace), newest)
    await merge_points(
        connection,
        {
            (ids[series], resolution, at_s, unit): merge(points)
            for (series, resolution, at_s, unit), points in by_place.items()
        },
    )


async def merge_points(connection: AsyncConnection, points: dict[_PointKey, Point]) -> None:
    """Adds them to those that are there."""
    key = sa.tuple_(*(metric_points.c[name] for name in _POINT_KEY))
    for some in _parts(list(points)):
        found = await connection.execute(sa.select(metric_points).where(key.in_(some)))
        known = {_key(row): _point(row) for row in found.mappings()}
        rows = [
            _point_row(place, merge([points[place], *([known[place]] if place in known else [])]))
            for place in some
        ]
        statement = _insert(connection, metric_points)
        changed = {name: statement.excluded[name] for name in rows[0] if name not in _POINT_KEY}
        await connection.execute(
            statement.on_conflict_do_update(index_elements=list(_POINT_KEY), set_=changed), rows
        )


async def find_series(
    connection: AsyncConnection,
    account: str,
    region: str,
    namespace: str,
    name: str,
    dimensions: Dimensions,
) -> int | None:
    """Its ID. A metric with other dimensions, more or fewer, is another metric."""
    c = metric_series.c
    query = sa.select(c.id).where(
        c.account == account,
        c.region == region,
        c.namespace == namespace,
        c.name == name,
        c.dimensions == _render(dimensions),
    )
    return await connection.scalar(query)


async def list_series(
    connection: AsyncConnection,
    account: str,
    region: str,
    *,
    namespace: str | None = None,
    name: str | None = None,
    since_s: int = 0,
) -> list[Series]:
    """Those with points since then, by namespace, name and dimensions."""
    c = metric_series.c
    query = sa.select(metric_series).where(
        c.account == account, c.region == region, c.last_at_s >= since_s
    )
    if namespace is not None:
        query = query.where(c.namespace == namespace)
    if name is not None:
        query = query.where(c.name == name)
    query = query.order_by(c.namespace, c.name, c.dimensions)
    return [
        Series(row.id, row.namespace, row.name, _parse(row.dimensions), row.last_at_s)
        for row in await connection.execute(query)
    ]


async def read_points(
    connection: AsyncConnection, series: int, span: Span, unit: str | None = None
) -> dict[tuple[int, str], Point]:
    """By the start of the part of the span and by unit. Points that are kept more coarsely than
    the span's period are not among them."""
    query = sa.select(metric_points).where(_is_within(series, span))
    if unit is not None:
        query = query.where(metric_points.c.unit == unit)
    rows = (await connection.execute(query)).mappings().all()
    if len(rows) < _FEW:
        return _merged(rows, span)
    return await asyncio.to_thread(_merged, rows, span)


async def count_points(connection: AsyncConnection, series: int, span: Span) -> int:
    """How many rows ``read_points`` reads, of all units."""
    query = sa.select(sa.func.count()).select_from(metric_points).where(_is_within(series, span))
    return int((await connection.execute(query)).scalar_one())


def _is_within(series: int, span: Span) -> sa.ColumnElement[bool]:
    c = metric_points.c
    if span.period_s < MINUTE_S:
        is_fine_enough = c.resolution_s == 1
    else:
        is_fine_enough = c.resolution_s.between(MINUTE_S, span.period_s)
    return sa.and_(c.series == series, is_fine_enough, c.at_s >= span.start_s, c.at_s < span.end_s)


def _merged(rows: Sequence[sa.RowMapping], span: Span) -> dict[tuple[int, str], Point]:
    parts: dict[tuple[int, str], list[Point]] = {}
    for row in rows:
        at_s = row["at_s"] - (row["at_s"] - span.start_s) % span.period_s
        parts.setdefault((at_s, row["unit"]), []).append(_point(row))
    return {part: merge(points) for part, points in sorted(parts.items())}


async def read_finer(
    connection: AsyncConnection, resolution_s: int, before_s: int, most: int
) -> dict[_PointKey, Point]:
    """The oldest points of a resolution, as many as ``most``."""
    c = metric_points.c
    query = sa.select(metric_points).where(c.at_s < before_s, c.resolution_s == resolution_s)
    rows = (await connection.execute(query.order_by(c.at_s).limit(most))).mappings()
    return {_key(row): _point(row) for row in rows}


async def remove_points(connection: AsyncConnection, places: Sequence[_PointKey]) -> None:
    key = sa.tuple_(*(metric_points.c[name] for name in _POINT_KEY))
    for some in _parts(places):
        await connection.execute(sa.delete(metric_points).where(key.in_(some)))


async def _series_ids(
    connection: AsyncConnection, owner: tuple[str, str, str], newest: dict[_SeriesKey, int]
) -> dict[_SeriesKey, int]:
    account, region, namespace = owner
    c = metric_series.c
    rows = [
        {
            "account": account,
            "region": region,
            "namespace": namespace,
            "name": name,
            "dimensions": _render(dimensions),
            "last_at_s": at_s,
        }
        for (name, dimensions), at_s in newest.items()
    ]
    statement = _insert(connection, metric_series)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["account", "region", "namespace", "name", "dimensions"],
            set_={"last_at_s": statement.excluded.last_at_s},
            where=c.last_at_s < statement.excluded.last_at_s,
        ),
        rows,
    )
    of_owner = sa.and_(c.account == account, c.region == region, c.namespace == namespace)
    ids: dict[_SeriesKey, int] = {}
    for some in _parts([(row["name"], row["dimensions"]) for row in rows]):
        query = sa.select(c.id, c.name, c.dimensions).where(
            of_owner, sa.tuple_(c.name, c.dimensions).in_(some)
        )
        for row in await connection.execute(query):
            ids[row.name, _parse(row.dimensions)] = row.id
    return ids


_POINT_KEY: Final = ("series", "resolution_s", "at_s", "unit")


def _key(row: Any) -> _PointKey:
    return cast(_PointKey, tuple(row[name] for name in _POINT_KEY))


def _point(row: Any) -> Point:
    return Point(
        row["samples"], row["sum"], row["minimum"], row["maximum"], decode(row["histogram"])
    )


def _point_row(place: _PointKey, point: Point) -> dict[str, Any]:
    return {
        **dict(zip(_POINT_KEY, place, strict=True)),
        "samples": point.samples,
        "sum": point.sum,
        "minimum": point.minimum,
        "maximum": point.maximum,
        "histogram": encode(point.histogram),
    }


def _render(dimensions: Dimensions) -> str:
    return msgspec.json.encode(dimensions).decode()


def _parse(text: str) -> Dimensions:
    return msgspec.json.decode(text, type=Dimensions)


def _parts(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _insert(connection: AsyncConnection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
