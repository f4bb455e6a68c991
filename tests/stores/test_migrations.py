"""Databases of earlier versions, as their own code wrote them, opened by this one."""

import base64
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from opened_stores import SEALER, open_stores

from outcrop.identity import hash_api_secret
from outcrop.stores import migrations
from outcrop.stores.database import Database
from outcrop.stores.iam_names import ADMINISTRATOR_ACCESS
from outcrop.stores.identities import secret_context
from outcrop.stores.key_uses import KeyUse
from outcrop.stores.migrations.upgrade import upgrade
from outcrop.stores.principal_policies import FULL_ACCESS_TEXT, NamedText
from outcrop.stores.resources import Place
from outcrop.stores.secret_records import Secret
from outcrop.stores.secret_store import list_versions
from outcrop.stores.tables import to_ms

FIRST = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
CREATE TABLE accounts (id VARCHAR(12) NOT NULL PRIMARY KEY, name VARCHAR(128) NOT NULL,
    created_at_ms BIGINT NOT NULL);
CREATE TABLE users (account VARCHAR(12) NOT NULL REFERENCES accounts (id),
    name VARCHAR(64) NOT NULL, arn VARCHAR(256) NOT NULL UNIQUE, kind VARCHAR(8) NOT NULL,
    created_at_ms BIGINT NOT NULL, PRIMARY KEY (account, name),
    CONSTRAINT users_kind CHECK (kind IN ('root', 'user')));
CREATE TABLE access_keys (id VARCHAR(128) NOT NULL PRIMARY KEY, account VARCHAR(12) NOT NULL,
    user_name VARCHAR(64) NOT NULL, sealed_secret BLOB NOT NULL, status VARCHAR(8) NOT NULL,
    created_at_ms BIGINT NOT NULL, last_used_at_ms BIGINT,
    FOREIGN KEY (account, user_name) REFERENCES users (account, name));
CREATE INDEX access_keys_of_a_user ON access_keys (account, user_name);
CREATE TABLE api_keys (id VARCHAR(128) NOT NULL PRIMARY KEY, account VARCHAR(12) NOT NULL,
    user_name VARCHAR(64) NOT NULL, name VARCHAR(128) NOT NULL, secret_hash BLOB NOT NULL,
    status VARCHAR(8) NOT NULL, created_at_ms BIGINT NOT NULL, expires_at_ms BIGINT,
    FOREIGN KEY (account, user_name) REFERENCES users (account, name));
CREATE INDEX api_keys_of_a_user ON api_keys (account, user_name);
CREATE TABLE bindings (pattern VARCHAR(256) NOT NULL PRIMARY KEY, engine VARCHAR(128) NOT NULL,
    model VARCHAR(512), position BIGINT NOT NULL, created_at_ms BIGINT NOT NULL);
CREATE TABLE changes (topic VARCHAR(32) NOT NULL PRIMARY KEY, version BIGINT NOT NULL);
INSERT INTO changes VALUES ('identities', 7), ('bindings', 0);
"""

ACCOUNT = "123456789012"
KEY = "AKIAOLDOLDOLDOLDOLD1"
API_KEY = f"BedrockAPIKey-00112233-at-{ACCOUNT}"
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USED = MADE + timedelta(days=1)
ENDS = MADE + timedelta(days=365)


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    file = tmp_path / "outcrop.db"
    connection = sqlite3.connect(file)
    made = to_ms(MADE)
    with connection:
        connection.executescript(FIRST)
        connection.execute("INSERT INTO accounts VALUES (?, 'default', ?)", (ACCOUNT, made))
        root, admin = f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:user/admin"
        users = [(ACCOUNT, "root", root, "root", made), (ACCOUNT, "admin", admin, "user", made)]
        connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?)", users)
        sealed = SEALER.seal(b"old-secret", secret_context(KEY))
        key = (KEY, ACCOUNT, "admin", sealed, "Inactive", made, to_ms(USED))
        connection.execute("INSERT INTO access_keys VALUES (?, ?, ?, ?, ?, ?, ?)", key)
        secret = hash_api_secret(base64.b64encode(bytes(33)).decode())
        api_key = (API_KEY, ACCOUNT, "admin", "ci", secret, "Active", made, to_ms(ENDS))
        connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)", api_key)
    connection.close()
    return file


async def test_a_new_database_is_what_the_migrations_make(tmp_path: Path) -> None:
    made, migrated = tmp_path / "made.db", tmp_path / "migrated.db"
    for _ in range(2):
        await (await Database.open(made)).close()
    engine = sa.create_engine(f"sqlite:///{migrated}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    assert contents(made) == contents(migrated)


def contents(file: Path) -> tuple[Any, ...]:
    """Tables and indexes as they were declared, and the rows that are there from the start."""
    connection = sqlite3.connect(file)
    try:
        declared = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        tables = sorted(declared.fetchall(), key=str)
        rows = {
            # The names are the database's own.
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall())  # noqa: S608
            for kind, name, *_ in tables
            if kind == "table"
        }
    finally:
        connection.close()
    return tables, rows


async def test_identities_and_keys_of_the_first_version_are_kept(old_file: Path) -> None:
    stores = await open_stores(old_file)
    admin = await stores.identities.get_user(ACCOUNT, "admin")
    key = stores.directory.find_access_key(KEY)
    assert key is not None
    assert (key.secret, key.status, key.created_at) == ("old-secret", "Inactive", MADE)
    assert key.principal == admin
    assert stores.directory.last_use(KEY) == KeyUse(USED, "", "")
    api_key = stores.directory.find_api_key(API_KEY)
    assert api_key is not None
    assert (api_key.name, api_key.expires_at, api_key.principal) == ("ci", ENDS, admin)
    assert [item.record.title for item in stores.directory.accounts()] == ["default"]
    await stores.database.close()


async def test_users_of_the_first_version_may_do_what_they_could(old_file: Path) -> None:
    stores = await open_stores(old_file)
    admin, root = [await stores.identities.get_user(ACCOUNT, name) for name in ("admin", "root")]
    policies = stores.directory.policies_of(admin)
    assert policies is not None
    assert policies.identity == (NamedText(ADMINISTRATOR_ACCESS, FULL_ACCESS_TEXT),)
    assert policies.service_control == ()
    assert admin.id.startswith("AIDA")
    assert len(admin.id) == 21
    assert (root.id, root.kind) == (ACCOUNT, "root")
    await stores.database.close()


async def test_an_upgraded_database_keeps_its_identities_when_opened_again(old_file: Path) -> None:
    first = await open_stores(old_file)
    admin = await first.identities.get_user(ACCOUNT, "admin")
    await first.database.close()
    second = await open_stores(old_file)
    assert await second.identities.get_user(ACCOUNT, "admin") == admin
    await second.database.close()


SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:db-AbCdEf"
LABELS = {"old": ["AWSPREVIOUS", "kept"], "new": ["AWSCURRENT"], "bare": []}


@pytest.fixture
def third_file(tmp_path: Path) -> Path:
    """With a secret as the third migration left it: labels are on the versions."""
    file = tmp_path / "outcrop.db"
    connection = sqlite3.connect(file)
    with connection:
        connection.executescript(FIRST)
    connection.close()
    _upgrade(file, "0003")
    connection = sqlite3.connect(file)
    secret: dict[str, Any] = {"description": "d"}
    rows: list[tuple[str, str, str, str | None, dict[str, Any]]] = [
        ("secretsmanager:secret", "db", "", SECRET, secret)
    ]
    for version, labels in LABELS.items():
        value = {"sealed": "", "data_key": "", "key_arn": "k"}
        body = {"id": version, "value": value, "digest": ""} | (
            {"stages": labels} if labels else {}
        )
        rows.append(("secretsmanager:version", f"{SECRET}|{version}", SECRET, None, body))
    insert = "INSERT INTO resources VALUES (?, ?, 'us-east-1', ?, ?, ?, x'7B7D', ?, 1, 1)"
    with connection:
        for kind, name, parent, arn, body in rows:
            text = json.dumps(body).encode()
            connection.execute(insert, (kind, ACCOUNT, name, parent, arn, text))
    connection.close()
    return file


async def test_staging_labels_move_to_their_secret(third_file: Path) -> None:
    stores = await open_stores(third_file)
    async with stores.resources.reading() as view:
        secret = await view.get(Secret, Place(ACCOUNT, "us-east-1", "db"))
        versions = await list_versions(view, secret)
    assert secret.record.stages == {"AWSPREVIOUS": "old", "kept": "old", "AWSCURRENT": "new"}
    assert secret.record.description == "d"
    assert {version.record.id for version in versions} == set(LABELS)
    assert b"stages" not in b"".join(_bodies(third_file, "secretsmanager:version"))
    await stores.database.close()


def _upgrade(file: Path, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def _bodies(file: Path, kind: str) -> list[bytes]:
    connection = sqlite3.connect(file)
    rows = connection.execute("SELECT body FROM resources WHERE kind = ?", (kind,)).fetchall()
    connection.close()
    return [row[0] for row in rows]
