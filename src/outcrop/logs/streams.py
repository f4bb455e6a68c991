"""Log streams in their table: made, found, listed, deleted."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.stores.failures import NameTaken
from outcrop.stores.log_records import RemovedEvents
from outcrop.stores.resources import Place, Transaction
from outcrop.stores.tables import log_streams


class Stream(msgspec.Struct, frozen=True):
    """``group`` is the place of its log group."""

    id: int
    group: Place
    name: str
    created_at_ms: int
    first_event_ms: int | None
    last_event_ms: int | None
    last_ingested_ms: int | None
    stored_bytes: int


async def add_stream(transaction: Transaction, group: Place, name: str, now_ms: int) -> None:
    """Raises ``NameTaken``."""
    row = {
        "id": secrets.randbits(62),
        **_place(group),
        "name": name,
        "created_at_ms": now_ms,
        "stored_bytes": 0,
    }
    try:
        async with transaction.connection.begin_nested():
            await transaction.connection.execute(sa.insert(log_streams).values(row))
    except IntegrityError as error:
        raise NameTaken(f"There is a log stream {name!r} already.") from error


async def find_stream(connection: AsyncConnection, group: Place, name: str) -> Stream | None:
    query = sa.select(log_streams).where(_of(group), log_streams.c.name == name)
    row = (await connection.execute(query)).mappings().first()
    return _stream(row) if row else None


async def list_streams(
    connection: AsyncConnection,
    group: Place,
    *,
    prefix: str = "",
    by_time: bool = False,
    descending: bool = False,
    after: tuple[int, str] | None = None,
    limit: int | None = None,
) -> list[Stream]:
    """By name, or by their last event. ``after`` is the last event's time (-1 for none) and name
    of the last stream seen."""
    at = sa.func.coalesce(log_streams.c.last_event_ms, -1)
    order: tuple[Any, ...] = (at, log_streams.c.name) if by_time else (log_streams.c.name,)
    query = sa.select(log_streams).where(_of(group)).order_by(*_directed(order, descending))
    if prefix:
        query = query.where(sa.func.substr(log_streams.c.name, 1, len(prefix)) == prefix)
    if after is not None:
        seen = sa.tuple_(*map(sa.literal, after if by_time else after[1:]))
        place = sa.tuple_(*order)
        query = query.where(place < seen if descending else place > seen)
    rows = (await connection.execute(query.limit(limit))).mappings()
    return [_stream(row) for row in rows]


async def stored_bytes(connection: AsyncConnection, account: str, region: str) -> dict[str, int]:
    """By log group, of those that have any stream."""
    query = (
        sa.select(log_streams.c.log_group, sa.func.sum(log_streams.c.stored_bytes))
        .where(log_streams.c.account == account, log_streams.c.region == region)
        .group_by(log_streams.c.log_group)
    )
    return {name: int(total) for name, total in (await connection.execute(query)).all()}


async def remove_stream(transaction: Transaction, stream: Stream) -> None:
    """Its events can be read no more; ``Retention`` removes them."""
    await transaction.connection.execute(
        sa.delete(log_streams).where(log_streams.c.id == stream.id)
    )
    place = Place(stream.group.account, stream.group.region, f"stream:{stream.id}")
    await transaction.add(RemovedEvents(stream=stream.id), place)


async def remove_streams(transaction: Transaction, group: Place, group_id: int) -> None:
    """All of a group, in the same way."""
    await transaction.connection.execute(sa.delete(log_streams).where(_of(group)))
    place = Place(group.account, group.region, f"group:{group_id}")
    await transaction.add(RemovedEvents(group=group_id), place)


def _place(group: Place) -> dict[str, str]:
    return {"account": group.account, "region": group.region, "log_group": group.name}


def _of(group: Place) -> sa.ColumnElement[bool]:
    return sa.and_(*(log_streams.c[column] == value for column, value in _place(group).items()))


def _directed(order: Sequence[Any], descending: bool) -> list[Any]:
    return [column.desc() if descending else column.asc() for column in order]


def _stream(row: Any) -> Stream:
    return Stream(
        id=row["id"],
        group=Place(row["account"], row["region"], row["log_group"]),
        name=row["name"],
        created_at_ms=row["created_at_ms"],
        first_event_ms=row["first_event_ms"],
        last_event_ms=row["last_event_ms"],
        last_ingested_ms=row["last_ingested_ms"],
        stored_bytes=row["stored_bytes"],
    )
