"""Engine bindings made at run time: a shell-style pattern of model IDs, and the engine it gets.

As in the configuration file, the later binding wins; putting a pattern again makes it the latest.
"""

import sqlalchemy as sa

from outcrop.config import Binding
from outcrop.stores.database import Database
from outcrop.stores.failures import NoSuchItem
from outcrop.stores.tables import bindings, mark_changed, now_ms

TOPIC = "bindings"


class BindingStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_bindings(self) -> list[Binding]:
        """Earliest first."""
        query = sa.select(bindings).order_by(bindings.c.position)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [
                Binding(pattern=row["pattern"], engine=row["engine"], model=row["model"])
                for row in rows
            ]

    async def put(self, binding: Binding) -> None:
        async with self._database.write() as connection:
            last = await connection.scalar(sa.select(sa.func.max(bindings.c.position)))
            await connection.execute(
                sa.delete(bindings).where(bindings.c.pattern == binding.pattern)
            )
            await connection.execute(
                sa.insert(bindings).values(
                    pattern=binding.pattern,
                    engine=binding.engine,
                    model=binding.model,
                    position=(last or 0) + 1,
                    created_at_ms=now_ms(),
                )
            )
            await mark_changed(connection, TOPIC)

    async def delete(self, pattern: str) -> None:
        async with self._database.write() as connection:
            deleted = await connection.execute(
                sa.delete(bindings).where(bindings.c.pattern == pattern)
            )
            if not deleted.rowcount:
                raise NoSuchItem(f"There is no binding for {pattern!r}.")
            await mark_changed(connection, TOPIC)
