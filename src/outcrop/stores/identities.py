"""Accounts, users and the directory of their keys.

The directory answers from memory; every write and every other process's change refreshes it.
"""

import asyncio
import secrets
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from outcrop.identity import AccessKey, ApiKey, Principal, Sealer, root_arn, user_arn
from outcrop.stores.database import Database
from outcrop.stores.failures import NameTaken, NoSuchItem, StoreError
from outcrop.stores.tables import (
    access_keys,
    accounts,
    api_keys,
    from_ms,
    now_ms,
    to_ms,
    users,
)

TOPIC = "identities"
ROOT_NAME = "root"


class IdentityStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_account(self, name: str, account: str | None = None) -> str:
        """The account's ID; its root user comes with it."""
        chosen = account or str(secrets.randbelow(9 * 10**11) + 10**11)
        root = Principal(chosen, ROOT_NAME, root_arn(chosen), "root")
        try:
            async with self._database.write() as connection:
                await connection.execute(
                    sa.insert(accounts).values(id=chosen, name=name, created_at_ms=now_ms())
                )
                await connection.execute(sa.insert(users).values(user_row(root)))
        except IntegrityError as error:
            raise NameTaken(f"There is an account {chosen} already.") from error
        return chosen

    async def list_accounts(self) -> list[str]:
        async with self._database.read() as connection:
            rows = await connection.scalars(
                sa.select(accounts.c.id).order_by(accounts.c.created_at_ms, accounts.c.id)
            )
            return list(rows)

    async def create_user(self, account: str, name: str) -> Principal:
        principal = Principal(account, name, user_arn(account, name), "user")
        try:
            async with self._database.write() as connection:
                await connection.execute(sa.insert(users).values(user_row(principal)))
        except IntegrityError as error:
            raise NameTaken(
                f"Account {account} has a user {name!r} already, or there is no such account."
            ) from error
        return principal

    async def find_user(self, account: str, name: str) -> Principal | None:
        query = sa.select(users).where(users.c.account == account, users.c.name == name)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return _principal(row) if row else None

    async def get_user(self, account: str, name: str) -> Principal:
        user = await self.find_user(account, name)
        if user is None:
            raise NoSuchItem(f"Account {account} has no user {name!r}.")
        return user

    async def list_users(self, account: str) -> list[Principal]:
        query = sa.select(users).where(users.c.account == account).order_by(users.c.name)
        async with self._database.read() as connection:
            return [_principal(row) for row in (await connection.execute(query)).mappings()]


class IdentityDirectory:
    """Every key of the deployment, in memory; a ``CredentialLookup``."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._access_keys: dict[str, AccessKey] = {}
        self._api_keys: dict[str, ApiKey] = {}
        self._opened: dict[bytes, str] = {}
        self._used: dict[str, datetime] = {}
        self._loading = asyncio.Lock()

    def find_access_key(self, key_id: str) -> AccessKey | None:
        return self._access_keys.get(key_id)

    def find_api_key(self, key_id: str) -> ApiKey | None:
        return self._api_keys.get(key_id)

    def list_access_keys(self, account: str) -> list[AccessKey]:
        return [key for key in self._access_keys.values() if key.principal.account == account]

    def list_api_keys(self, account: str) -> list[ApiKey]:
        return [key for key in self._api_keys.values() if key.principal.account == account]

    def touch(self, key_id: str, when: datetime) -> None:
        """Remembers a use; ``flush`` writes what was remembered."""
        if key_id in self._access_keys:
            self._used[key_id] = when

    async def flush(self) -> None:
        """Writes the times of last use. A use that was not flushed is lost with the process."""
        if not self._used:
            return
        used, self._used = self._used, {}
        statement = (
            sa.update(access_keys)
            .where(access_keys.c.id == sa.bindparam("key_id"))
            .values(last_used_at_ms=sa.bindparam("used_at_ms"))
        )
        rows = [{"key_id": key_id, "used_at_ms": to_ms(when)} for key_id, when in used.items()]
        try:
            async with self._database.write() as connection:
                await connection.execute(statement, rows)
        except StoreError:
            self._used = used | self._used
            raise

    async def load(self) -> None:
        """Reads all keys anew; on return every committed change is seen."""
        async with self._loading:
            async with self._database.read() as connection:
                key_rows = (await connection.execute(_with_owner(access_keys))).mappings().all()
                api_rows = (await connection.execute(_with_owner(api_keys))).mappings().all()
            opened = {row["sealed_secret"]: self._open(row) for row in key_rows}
            self._opened = opened
            self._access_keys = {
                row["id"]: _access_key(row, opened[row["sealed_secret"]]) for row in key_rows
            }
            self._api_keys = {row["id"]: _api_key(row) for row in api_rows}

    def _open(self, row: Any) -> str:
        known = self._opened.get(row["sealed_secret"])
        if known is not None:
            return known
        return self._sealer.open(row["sealed_secret"], secret_context(row["id"])).decode()


def secret_context(key_id: str) -> bytes:
    """What an access key's sealed secret is bound to."""
    return f"access-key:{key_id}".encode()


def user_row(user: Principal) -> dict[str, Any]:
    return {
        "account": user.account,
        "name": user.name,
        "arn": user.arn,
        "kind": user.kind,
        "created_at_ms": now_ms(),
    }


def _with_owner(table: sa.Table) -> sa.Select[Any]:
    owner = sa.and_(users.c.account == table.c.account, users.c.name == table.c.user_name)
    return (
        sa.select(table, users.c.arn, users.c.kind, users.c.name.label("owner"))
        .join(users, owner)
        .order_by(table.c.created_at_ms, table.c.id)
    )


def _principal(row: Any) -> Principal:
    return Principal(row["account"], row["name"], row["arn"], row["kind"])


def _owner(row: Any) -> Principal:
    return Principal(row["account"], row["owner"], row["arn"], row["kind"])


def _access_key(row: Any, secret: str) -> AccessKey:
    return AccessKey(
        id=row["id"],
        secret=secret,
        principal=_owner(row),
        status=row["status"],
        created_at=from_ms(row["created_at_ms"]),
        last_used_at=_find_time(row["last_used_at_ms"]),
    )


def _api_key(row: Any) -> ApiKey:
    return ApiKey(
        id=row["id"],
        name=row["name"],
        secret_hash=row["secret_hash"],
        principal=_owner(row),
        status=row["status"],
        expires_at=_find_time(row["expires_at_ms"]),
        created_at=from_ms(row["created_at_ms"]),
    )


def _find_time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)
