"""Rows that were written before their kind was sealed: sealed when the data directory is opened."""

import logging
from collections.abc import Sequence

import sqlalchemy as sa

from outcrop.identity import KeySource
from outcrop.stores.database import Database
from outcrop.stores.failures import StoreError
from outcrop.stores.records import Record
from outcrop.stores.rows import SEALED_PREFIX, Rows
from outcrop.stores.tables import resources, to_ms

log = logging.getLogger(__name__)


async def seal_plain_rows(
    database: Database, keys: KeySource, types: Sequence[type[Record]]
) -> None:
    """Nothing is told to anybody, since nothing but the form of the rows changes."""
    kinds = {type.KIND: type for type in types}
    plain = sa.and_(
        resources.c.kind.in_(kinds), sa.not_(resources.c.name.startswith(SEALED_PREFIX))
    )
    async with database.read() as connection:
        if await connection.scalar(sa.select(resources.c.kind).where(plain).limit(1)) is None:
            return
    rows = Rows(keys)
    async with database.write() as connection:
        for row in (await connection.execute(sa.select(resources).where(plain))).mappings().all():
            item = rows.item(kinds[row["kind"]], row)
            this = sa.and_(
                *(resources.c[name] == row[name] for name in ("kind", "account", "region", "name"))
            )
            named = rows.named(item, to_ms(item.changed_at))
            await connection.execute(sa.update(resources).where(this).values(named))
    try:
        await database.scrub()
    except StoreError as error:
        log.warning(
            "names of custom models that were stored in plain may still be in the database file: "
            "%s `VACUUM` of SQLite clears them.",
            error,
        )
