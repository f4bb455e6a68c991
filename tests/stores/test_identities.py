"""Accounts, users and keys, and the directory that answers from memory."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from opened_stores import AWS_MANAGED, Opened, open_stores

from outcrop.identity import Principal, SealedSecretError, parse_api_key
from outcrop.security.masterkey import MasterKey
from outcrop.stores.database import DatabaseUnusable
from outcrop.stores.failures import NameTaken, NoSuchItem
from outcrop.stores.iam_records import TOPIC
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.key_uses import KeyUse
from outcrop.stores.keys import KeyStore
from outcrop.stores.resources import Resources
from outcrop.stores.watch import ChangeWatcher


async def admin_of(stores: Opened, account: str | None = None) -> Principal:
    account = await stores.identities.create_account("a", account)
    return await stores.identities.create_user(account, "admin")


async def test_an_account_has_twelve_digits_and_a_root_user(stores: Opened) -> None:
    account = await stores.identities.create_account("a")
    assert len(account) == 12
    assert account.isdigit()
    root = await stores.identities.get_user(account, "root")
    assert (root.kind, root.arn) == ("root", f"arn:aws:iam::{account}:root")


async def test_names_are_taken_once(stores: Opened) -> None:
    admin = await admin_of(stores)
    with pytest.raises(NameTaken):
        await stores.identities.create_user(admin.account, "admin")
    with pytest.raises(NameTaken):
        await stores.identities.create_account("b", admin.account)
    key = await stores.keys.create_access_key(admin)
    with pytest.raises(NameTaken):
        await stores.keys.create_access_key(admin, key_id=key.id, secret="x" * 40)


async def test_a_new_key_is_in_the_directory_at_once(stores: Opened) -> None:
    admin = await admin_of(stores)
    key = await stores.keys.create_access_key(admin)
    assert stores.directory.find_access_key(key.id) == key
    assert (len(key.id), key.id[:4], len(key.secret)) == (20, "AKIA", 40)
    assert (key.principal, key.status) == (admin, "Active")


async def test_a_switched_or_deleted_key_is_so_at_once(stores: Opened) -> None:
    admin = await admin_of(stores)
    key = await stores.keys.create_access_key(admin)
    api_key, _ = await stores.keys.create_api_key(admin, name="ci")
    for key_id in (key.id, api_key.id):
        await stores.keys.set_status(admin.account, key_id, "Inactive")
    assert stores.keys.get_access_key(admin.account, key.id).status == "Inactive"
    found = stores.directory.find_api_key(api_key.id)
    assert found is not None
    assert found.status == "Inactive"
    for key_id in (key.id, api_key.id):
        await stores.keys.delete(admin.account, key_id)
    assert stores.directory.find_access_key(key.id) is None
    assert stores.directory.find_api_key(api_key.id) is None


async def test_a_bearer_keys_token_names_it(stores: Opened) -> None:
    admin = await admin_of(stores)
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    key, token = await stores.keys.create_api_key(admin, name="ci", expires_at=expires_at)
    parsed = parse_api_key(token)
    assert parsed is not None
    assert parsed[0] == key.id
    assert key.id.endswith(f"-at-{admin.account}")
    assert key.expires_at == expires_at


async def test_one_account_never_sees_anothers_keys(stores: Opened) -> None:
    one, two = await admin_of(stores), await admin_of(stores)
    mine, theirs = [await stores.keys.create_access_key(user) for user in (one, two)]
    api_key, _ = await stores.keys.create_api_key(two, name="ci")
    assert stores.directory.list_access_keys(one.account) == [mine]
    assert stores.directory.list_api_keys(one.account) == []
    for key_id in (theirs.id, api_key.id):
        with pytest.raises(NoSuchItem):
            await stores.keys.set_status(one.account, key_id, "Inactive")
        with pytest.raises(NoSuchItem):
            await stores.keys.delete(one.account, key_id)
    with pytest.raises(NoSuchItem):
        await stores.keys.set_secret(one.account, theirs.id, "x" * 40)
    assert stores.directory.list_access_keys(two.account) == [theirs]
    assert [user.name for user in await stores.identities.list_users(one.account)] == [
        "admin",
        "root",
    ]


async def test_a_repr_shows_no_secret(stores: Opened) -> None:
    admin = await admin_of(stores)
    key = await stores.keys.create_access_key(admin)
    api_key, _ = await stores.keys.create_api_key(admin, name="ci")
    assert key.secret not in repr(key)
    assert "hash" not in repr(api_key)


async def test_a_watcher_notices_what_another_process_writes(stores: Opened) -> None:
    admin = await admin_of(stores)
    other = await open_stores(stores.file)
    seen = asyncio.Event()

    async def reload() -> None:
        await stores.directory.load()
        seen.set()

    watcher = ChangeWatcher(
        stores.database, {TOPIC: reload}, stores.directory.flush, interval_s=0.01
    )
    watcher.start()
    await seen.wait()
    seen.clear()
    key = await other.keys.create_access_key(admin)
    async with asyncio.timeout(30):
        await seen.wait()
    assert stores.directory.find_access_key(key.id) == key
    await watcher.close()
    await other.database.close()


async def test_a_watcher_reads_only_what_changed(stores: Opened) -> None:
    reloads: list[str] = []

    async def reload() -> None:
        reloads.append(TOPIC)

    admin = await admin_of(stores)
    watcher = ChangeWatcher(stores.database, {TOPIC: reload}, stores.directory.flush)
    await watcher.poll()
    await watcher.poll()
    assert len(reloads) == 1
    await stores.keys.create_access_key(admin)
    await watcher.poll()
    assert len(reloads) == 2


async def test_own_writes_are_taken_in_without_reading_all_anew(stores: Opened) -> None:
    reloads: list[str] = []

    async def reload() -> None:
        reloads.append(TOPIC)
        await stores.directory.load()

    watcher = ChangeWatcher(
        stores.database,
        {TOPIC: reload},
        stores.directory.flush,
        versions=stores.resources.versions,
    )
    admin = await admin_of(stores)
    await watcher.poll()
    await stores.keys.create_access_key(admin)
    await stores.keys.create_access_key(admin)
    await watcher.poll()
    assert len(reloads) == 1
    other = await open_stores(stores.file)
    theirs = await other.keys.create_access_key(admin)
    ours = await stores.keys.create_access_key(admin)
    assert stores.directory.find_access_key(theirs.id) is None
    await watcher.poll()
    await watcher.poll()
    assert len(reloads) == 2
    assert stores.directory.find_access_key(theirs.id) == theirs
    assert stores.directory.find_access_key(ours.id) == ours
    await other.database.close()


async def test_the_time_of_last_use_is_written_when_the_watcher_closes(stores: Opened) -> None:
    admin = await admin_of(stores)
    key = await stores.keys.create_access_key(admin)
    used = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    stores.directory.touch(key.id, used, "bedrock", "us-east-1")
    stores.directory.touch("AKIAUNKNOWN", used)
    watcher = ChangeWatcher(stores.database, {}, stores.directory.flush)
    watcher.start()
    await watcher.close()
    await stores.directory.load()
    other = await open_stores(stores.file)
    assert other.directory.last_use(key.id) == KeyUse(used, "bedrock", "us-east-1")
    assert other.directory.last_use("AKIAUNKNOWN") is None
    await other.database.close()


async def test_the_wrong_master_key_is_refused(stores: Opened) -> None:
    await stores.keys.create_access_key(await admin_of(stores))
    with pytest.raises(SealedSecretError, match="does not open the secrets"):
        await IdentityDirectory(
            Resources(stores.database), stores.database, MasterKey(bytes(32)), AWS_MANAGED.get
        ).load()


async def test_a_secret_that_cannot_be_opened_leaves_the_directory_as_it_was(
    stores: Opened,
) -> None:
    admin = await admin_of(stores)
    key = await stores.keys.create_access_key(admin)
    stranger = KeyStore(Resources(stores.database), MasterKey(bytes(32)), stores.directory)
    async with Resources(stores.database).writing() as transaction:
        await stranger.add_access_key(transaction, admin.account, admin.name)
    with pytest.raises(SealedSecretError):
        await stores.directory.load()
    assert stores.directory.find_access_key(key.id) == key


async def test_a_time_of_use_that_could_not_be_written_is_written_later(stores: Opened) -> None:
    admin = await admin_of(stores)
    key = await stores.keys.create_access_key(admin)
    async with stores.database.write() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout = 1")
    used = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    stores.directory.touch(key.id, used)
    other = sqlite3.connect(stores.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnusable):
        await stores.directory.flush()
    other.close()
    await stores.directory.flush()
    again = await open_stores(stores.file)
    assert again.directory.last_use(key.id) == KeyUse(used, "", "")
    await again.database.close()


async def test_a_watcher_outlives_a_busy_database_and_tells_of_its_own_death(
    stores: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[Exception] = [DatabaseUnusable("busy"), ZeroDivisionError()]

    async def reload() -> None:
        raise failures.pop(0)

    watcher = ChangeWatcher(
        stores.database, {TOPIC: reload}, stores.directory.flush, interval_s=0.001
    )
    watcher.start()
    async with asyncio.timeout(30):
        # Records come without telling.
        while len(caplog.records) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    with pytest.raises(ZeroDivisionError):
        await watcher.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "CRITICAL"]
