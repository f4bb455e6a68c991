"""Rows in bulk are what SQLAlchemy would have written."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from outcrop.stores.bulk import insert_rows
from outcrop.stores.database import Database
from outcrop.stores.tables import journal_cursor


async def test_rows_are_written_as_they_are(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "one.db")
    rows = [(f"reader {number}", number, 2 * number) for number in range(100)]
    async with database.write() as connection:
        await insert_rows(connection, journal_cursor, ("name", "segment", "offset"), rows)
        await insert_rows(connection, journal_cursor, ("name", "segment", "offset"), [])
    async with database.read() as connection:
        query = sa.select(journal_cursor).order_by(journal_cursor.c.segment)
        found = [tuple(row) for row in await connection.execute(query)]
    await database.close()
    assert found == rows


async def test_columns_in_an_order_that_the_table_has_not_are_refused(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "one.db")
    async with database.write() as connection:
        with pytest.raises(ValueError, match="another order"):
            await insert_rows(
                connection, journal_cursor, ("offset", "segment", "name"), [(1, 2, "x")]
            )
    await database.close()
