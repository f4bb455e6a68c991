"""The database file: durable, private, upgraded, and never opened by code that is too old."""

import asyncio
import signal
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from opened_stores import Opened, open_stores
from sqlalchemy import inspect

from outcrop.identity import user_arn
from outcrop.stores.database import Database, DatabaseTooNew, DatabaseUnusable
from outcrop.stores.failures import StoreError
from outcrop.stores.tables import metadata

WRITER = """
import asyncio, sys
from pathlib import Path
from opened_stores import open_stores

async def write():
    stores = await open_stores(Path(sys.argv[1]))
    account = await stores.identities.create_account("a", "123456789012")
    admin = await stores.identities.create_user(account, "admin")
    while True:
        key = await stores.keys.create_access_key(admin)
        api_key, token = await stores.keys.create_api_key(admin, name="ci")
        print(key.id, key.secret, api_key.id, flush=True)

asyncio.run(write())
"""


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "outcrop.db"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(file), stdout=PIPE, cwd=Path(__file__).parent
    )
    assert writer.stdout is not None
    lines = [await writer.stdout.readline() for _ in range(10)]
    writer.kill()
    lines += (await writer.stdout.read()).splitlines(keepends=True)
    assert await writer.wait() == -signal.SIGKILL
    acknowledged = [line.decode().split() for line in lines if line.endswith(b"\n")]
    assert len(acknowledged) >= 10
    stores = await open_stores(file)
    for key_id, secret, api_key_id in acknowledged:
        key = stores.directory.find_access_key(key_id)
        assert key is not None
        assert key.secret == secret
        assert key.principal.arn == user_arn("123456789012", "admin")
        assert stores.directory.find_api_key(api_key_id) is not None
    await stores.database.close()


async def test_only_the_owner_may_read_the_files(stores: Opened) -> None:
    await stores.identities.create_account("a")
    files = [file for file in stores.file.parent.iterdir() if file.name.startswith("outcrop.db")]
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_no_secret_is_in_the_files_in_clear(stores: Opened) -> None:
    account = await stores.identities.create_account("a")
    admin = await stores.identities.create_user(account, "admin")
    key = await stores.keys.create_access_key(admin)
    _, token = await stores.keys.create_api_key(admin, name="ci")
    written = b"".join(file.read_bytes() for file in stores.file.parent.iterdir())
    assert key.id.encode() in written
    assert key.secret.encode() not in written
    assert token.encode() not in written
    assert token.removeprefix("ABSK").encode() not in written


async def test_the_migrations_make_the_tables_the_code_uses(stores: Opened) -> None:
    async with stores.database.read() as connection:
        made = await connection.run_sync(
            lambda sync: {
                name: {column["name"] for column in inspect(sync).get_columns(name)}
                for name in inspect(sync).get_table_names()
            }
        )
    used = {
        table.name: {column.name for column in table.columns} for table in metadata.sorted_tables
    }
    assert {name: made[name] for name in used} == used
    assert set(made) - set(used) == {"alembic_version"}


async def test_foreign_keys_are_enforced(stores: Opened) -> None:
    with pytest.raises(StoreError):
        await stores.identities.create_user("000000000000", "nobody")


async def test_an_upgraded_database_is_opened_without_alembic(stores: Opened) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from outcrop.stores.database import Database\n"
        "asyncio.run(Database.open(Path(sys.argv[1])))\n"
        "assert 'alembic' not in sys.modules"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(stores.file))
    assert await process.wait() == 0


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "outcrop.db"
    await (await Database.open(file)).close()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseTooNew, match="newer Outcrop"):
        await Database.open(file)


async def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "outcrop.db"
    file.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match=r"cannot be used.*Restore it"):
        await Database.open(file)


async def test_writers_queue_and_none_is_lost(stores: Opened) -> None:
    account = await stores.identities.create_account("a")
    other = await open_stores(stores.file)
    writes = [
        store.identities.create_user(account, f"{name}-{index}")
        for index in range(10)
        for name, store in (("one", stores), ("two", other))
    ]
    await asyncio.gather(*writes)
    await other.database.close()
    assert len(await stores.identities.list_users(account)) == 21


async def test_a_full_disk_and_a_held_lock_are_told_in_a_sentence(stores: Opened) -> None:
    async with stores.database.write() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count = 1")
        await connection.exec_driver_sql("PRAGMA busy_timeout = 1")
    with pytest.raises(DatabaseUnusable, match="Free some disk space"):
        await stores.identities.create_account("a" * 1_000_000)
    other = sqlite3.connect(stores.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnusable, match="Another process holds it"):
        await stores.identities.create_account("a")
    other.close()
    await stores.identities.create_account("a")
