"""The database: SQLite in WAL mode, one file. What is committed survives the process's death.

A transaction says whether it writes when it begins, so that writers queue and never deadlock.
"""

import importlib
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from outcrop.stores.failures import StoreError
from outcrop.stores.tables import create_tables

_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_BUSY_TIMEOUT_MS = 10_000
_SCRUB_TIMEOUT_MS = 1000


_DAMAGED = "Restore it from a backup, or move it away to start anew."
_MENDS = {
    "SQLITE_BUSY": "Another process holds it. Try again.",
    "SQLITE_FULL": "Free some disk space.",
    "SQLITE_IOERR": "Look whether its disk is full or broken.",
    "SQLITE_READONLY": "Make it and its directory writable.",
    "SQLITE_CANTOPEN": "Make it and its directory writable.",
}


class DatabaseTooNew(StoreError):
    pass


class DatabaseUnusable(StoreError):
    """Busy, on a full disk, unreadable: whatever SQLite says, and what to do about it."""


class Database:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._engine = engine = _engine(file)
        self._writing = engine.execution_options(outcrop_writes=True)

    @classmethod
    async def open(cls, file: Path) -> "Database":
        """Opened, made where missing, and upgraded to this code's tables."""
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(
                f"The database {file} cannot be opened: {error.strerror}. Is it yours to write?"
            ) from error
        database = cls(file)
        try:
            await database._upgrade()
        except DatabaseError as error:
            await database.close()
            raise database._unusable(error) from error
        except StoreError:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """One consistent view for as long as it is open."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise self._unusable(error) from error

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """Committed when the block ends, rolled back when it raises."""
        try:
            async with self._writing.begin() as connection:
                yield connection
        except OperationalError as error:
            raise self._unusable(error) from error

    async def scrub(self) -> None:
        """What was deleted or replaced is gone from the files as well, at the cost of writing all
        of them anew. Raises ``StoreError`` where another process reads or writes all the while."""
        async with self._engine.connect() as connection:
            # Neither runs in a transaction, which SQLAlchemy would begin.
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.execute_fetchall(f"PRAGMA busy_timeout = {_SCRUB_TIMEOUT_MS}")
            try:
                await driver.execute_fetchall("VACUUM")
                [[is_busy, *_]] = await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError as error:
                raise StoreError(f"The database was not cleared: {error}.") from error
            finally:
                await driver.execute_fetchall(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        if is_busy:
            raise StoreError("The database was not cleared: another process uses it.")

    async def close(self) -> None:
        await self._engine.dispose()

    def _unusable(self, error: DatabaseError) -> DatabaseUnusable:
        code = str(getattr(error.orig, "sqlite_errorname", ""))
        mend = next((mend for name, mend in _MENDS.items() if code.startswith(name)), _DAMAGED)
        return DatabaseUnusable(f"The database {self._file} cannot be used: {error.orig}. {mend}")

    async def _upgrade(self) -> None:
        head = max(file.name[:4] for file in _VERSIONS.glob("[0-9]*.py"))
        async with self.read() as connection:
            tables = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
            revision = await _find_revision(connection, tables)
        if revision == head:
            return
        if not tables:
            async with self.write() as connection:
                await connection.run_sync(create_tables, head)
            return
        if revision is not None and revision > head:
            raise DatabaseTooNew(
                f"The database is of a newer Outcrop (migration {revision}, this one knows "
                f"{head}). Upgrade Outcrop, or use another data directory."
            )
        # Alembic takes longer to import than a start may take when there is nothing to migrate.
        migration: Any = importlib.import_module("outcrop.stores.migrations.upgrade")
        async with self.write() as connection:
            await connection.run_sync(migration.upgrade)


async def _find_revision(connection: AsyncConnection, tables: list[str]) -> str | None:
    if "alembic_version" not in tables:
        return None
    return await connection.scalar(sa.text("SELECT version_num FROM alembic_version"))


def _engine(file: Path) -> AsyncEngine:
    engine = create_async_engine(
        sa.URL.create("sqlite+aiosqlite", database=str(file)),
        connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000},
        # Errors quote statements; the parameters, which hold secrets, stay out of them.
        hide_parameters=True,
        pool_size=4,
        max_overflow=0,
    )
    event.listen(engine.sync_engine, "connect", _configure)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: it does so too late, and never for reads.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # NORMAL loses nothing when the process dies; only a power failure may take the last commits.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("outcrop_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
