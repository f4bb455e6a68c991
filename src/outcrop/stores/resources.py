"""What an account holds, as typed records in one table: users, roles, keys, buckets, networks.

A write is one transaction. When it has been committed, and before ``writing`` returns, those who
listen to its topic are told; so what is cached from here is never older than an answered request.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.identity import KeySource
from outcrop.stores.database import Database
from outcrop.stores.failures import NameTaken, NoSuchItem
from outcrop.stores.records import Item, Place, R, Record
from outcrop.stores.rows import Rows
from outcrop.stores.tables import from_ms, mark_changed, now_ms, resources

__all__ = ["Change", "Item", "Place", "R", "Record", "Resources", "Transaction", "View"]


_OPENED_INLINE: Final = 100
"""Sealed rows that are opened on the event loop, in some milliseconds; more of them beside it."""


@dataclass(frozen=True, slots=True)
class Change:
    """``item`` is None where the record was removed."""

    type: type[Record]
    place: Place
    item: Item[Any] | None


Listener = Callable[[Sequence[Change]], None]
Reload = Callable[[], Awaitable[None]]


class View:
    """Reads within one transaction."""

    def __init__(self, connection: AsyncConnection, rows: Rows) -> None:
        self._connection = connection
        self._rows = rows

    @property
    def connection(self) -> AsyncConnection:
        """For tables of their own that are read or written in the same transaction."""
        return self._connection

    async def find(self, type: type[R], place: Place) -> Item[R] | None:
        query = sa.select(resources).where(self._rows.at(type, place))
        row = (await self._connection.execute(query)).mappings().first()
        return self._rows.item(type, row) if row else None

    async def get(self, type: type[R], place: Place) -> Item[R]:
        item = await self.find(type, place)
        if item is None:
            raise NoSuchItem(f"There is no {type.KIND} {place.name!r}.")
        return item

    async def find_arn(self, type: type[R], arn: str) -> Item[R] | None:
        query = sa.select(resources).where(
            resources.c.kind == type.KIND, resources.c.arn == self._rows.arn(type, arn)
        )
        row = (await self._connection.execute(query)).mappings().first()
        return self._rows.item(type, row) if row else None

    async def find_arns(self, type: type[R], arns: Sequence[str]) -> Mapping[str, Item[R]]:
        """Those that there are, by ARN; of no more than some hundred at once."""
        kept = [self._rows.arn(type, arn) for arn in arns]
        query = sa.select(resources).where(resources.c.kind == type.KIND, resources.c.arn.in_(kept))
        rows = (await self._connection.execute(query)).mappings()
        items = [self._rows.item(type, row) for row in rows]
        return {item.arn: item for item in items if item.arn is not None}

    def _items(self, type: type[R], rows: Sequence[Any]) -> list[Item[R]]:
        items = [self._rows.item(type, row) for row in rows]
        if type.SEALED:
            items.sort(key=lambda item: (item.place.account, item.place.region, item.name))
        return items

    async def list(
        self,
        type: type[R],
        *,
        account: str | None = None,
        region: str | None = None,
        parent: str | None = None,
    ) -> list[Item[R]]:
        """By account, region and name."""
        query = sa.select(resources).where(resources.c.kind == type.KIND)
        wanted = {"account": account, "region": region}
        if parent is not None:
            wanted["parent"] = self._rows.parent(type, parent)
        for column, value in wanted.items():
            if value is not None:
                query = query.where(resources.c[column] == value)
        query = query.order_by(resources.c.account, resources.c.region, resources.c.name)
        rows = (await self._connection.execute(query)).mappings().all()
        if type.SEALED and len(rows) > _OPENED_INLINE:
            return await asyncio.to_thread(self._items, type, rows)
        return self._items(type, rows)

    async def count(self, type: type[Record], *, account: str, region: str) -> int:
        """How many there are, without a look into any."""
        query = sa.select(sa.func.count()).where(
            resources.c.kind == type.KIND,
            resources.c.account == account,
            resources.c.region == region,
        )
        return await self._connection.scalar(query) or 0


class Transaction(View):
    def __init__(self, connection: AsyncConnection, rows: Rows) -> None:
        super().__init__(connection, rows)
        self.changes: list[Change] = []
        self.touched: set[str] = set()
        """Topics whose listeners are told as well, for what is in tables of its own."""

    async def add(
        self,
        record: R,
        place: Place,
        *,
        parent: str = "",
        arn: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Item[R]:
        """Raises ``NameTaken`` where there is one of this kind and place, or of this ARN."""
        now = now_ms()
        item = Item(record, place, parent, arn, dict(tags or {}), from_ms(now), from_ms(now))
        try:
            await self._connection.execute(sa.insert(resources).values(self._rows.row(item, now)))
        except IntegrityError as error:
            raise NameTaken(f"There is a {record.KIND} {place.name!r} already.") from error
        self._changed(item)
        return item

    async def put(self, item: Item[R]) -> Item[R]:
        """Replaces record, parent, ARN and tags of what is there (``dataclasses.replace`` makes
        the new item)."""
        now = now_ms()
        result = await self._connection.execute(
            sa.update(resources)
            .where(self._rows.at(type(item.record), item.place))
            .values(self._rows.content(item, now))
        )
        if result.rowcount == 0:
            raise NoSuchItem(f"There is no {item.record.KIND} {item.name!r}.")
        item = replace(item, changed_at=from_ms(now))
        self._changed(item)
        return item

    async def add_all(self, record: Record, places: Sequence[Place]) -> None:
        """The same record in many places, without parent, ARN and tags. Raises ``NameTaken`` where
        there is one in any of them."""
        if not places:
            return
        now = now_ms()
        made_at = from_ms(now)
        items = [Item(record, place, created_at=made_at, changed_at=made_at) for place in places]
        rows = [self._rows.row(item, now) for item in items]
        try:
            await self._connection.execute(sa.insert(resources), rows)
        except IntegrityError as error:
            raise NameTaken(f"One of these {record.KIND} is there already.") from error
        for item in items:
            self._changed(item)

    async def rename(self, item: Item[R], name: str, *, arn: str | None) -> Item[R]:
        """Its content becomes that of ``item``."""
        moved = replace(item, place=replace(item.place, name=name), arn=arn)
        try:
            await self._connection.execute(
                sa.update(resources)
                .where(self._rows.at(type(item.record), item.place))
                .values(self._rows.named(moved, now_ms()))
            )
        except IntegrityError as error:
            raise NameTaken(f"There is a {item.record.KIND} {name!r} already.") from error
        self.changes.append(Change(type(item.record), item.place, None))
        self._changed(moved)
        return moved

    async def remove(self, type: type[Record], place: Place) -> None:
        query = sa.delete(resources).where(self._rows.at(type, place))
        result = await self._connection.execute(query)
        if result.rowcount == 0:
            raise NoSuchItem(f"There is no {type.KIND} {place.name!r}.")
        self.changes.append(Change(type, place, None))

    def _changed(self, item: Item[Any]) -> None:
        kind = cast("type[Record]", type(item.record))
        self.changes.append(Change(kind, item.place, item))


class Resources:
    """``keys`` seals the records of sealed kinds. ``commits`` counts the writes of this process.
    ``versions`` is how far each topic has been
    taken in here: a watcher counts on with it, so that own writes are not read anew."""

    def __init__(self, database: Database, keys: KeySource | None = None) -> None:
        self._database = database
        self._rows = Rows(keys)
        self._writing = asyncio.Lock()
        self._listeners: dict[str, list[Listener]] = {}
        self.reloads: dict[str, Reload] = {}
        self.versions: dict[str, int] = {}
        self.commits = 0

    def listen(self, topic: str, changed: Listener, reload: Reload) -> None:
        """``changed`` is called with the changes of this process; ``reload`` when another process
        (the command line) has changed something, and once at the start."""
        self._listeners.setdefault(topic, []).append(changed)
        self.reloads[topic] = reload

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[View]:
        """One consistent view for as long as it is open."""
        async with self._database.read() as connection:
            yield View(connection, self._rows)

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[Transaction]:
        """Committed when the block ends, rolled back when it raises. Writers queue: a block does
        not open another one, and waits for nothing but the database."""
        async with self._writing:
            async with self._database.write() as connection:
                transaction = Transaction(connection, self._rows)
                yield transaction
                written = {
                    topic: await mark_changed(connection, topic) for topic in _topics(transaction)
                }
            self.commits += 1
            for topic, changes in _topics(transaction).items():
                for listener in self._listeners.get(topic, ()):
                    listener(changes)
                # Only where nobody else wrote in between; what they wrote is still to be read.
                if self.versions.get(topic) == written[topic] - 1:
                    self.versions[topic] = written[topic]

    async def snapshot(self, *types: type[Record]) -> list[Item[Any]]:
        """All records of these kinds. No write of this process ends while it is read, so whoever
        takes it over without awaiting misses none."""
        while True:
            before = self.commits
            async with self.reading() as view:
                items = [item for type in types for item in await view.list(type)]
            if self.commits == before:
                return items


def _topics(transaction: Transaction) -> dict[str, list[Change]]:
    topics: dict[str, list[Change]] = {topic: [] for topic in sorted(transaction.touched)}
    for change in transaction.changes:
        topics.setdefault(change.type.KIND.partition(":")[0], []).append(change)
    return topics
