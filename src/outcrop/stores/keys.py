"""Access keys and long-term bearer keys: created, switched on and off, deleted.

A change is in the database and in the directory when the call returns.
"""

import base64
import secrets
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from outcrop.identity import (
    AccessKey,
    ApiKey,
    KeyStatus,
    Principal,
    Sealer,
    hash_api_secret,
    render_api_key,
)
from outcrop.stores.database import Database
from outcrop.stores.failures import NameTaken, NoSuchItem
from outcrop.stores.identities import TOPIC, IdentityDirectory, secret_context, user_row
from outcrop.stores.tables import access_keys, api_keys, mark_changed, now_ms, to_ms, users

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class KeyStore:
    def __init__(self, database: Database, sealer: Sealer, directory: IdentityDirectory) -> None:
        self._database = database
        self._sealer = sealer
        self._directory = directory

    async def create_access_key(
        self, owner: Principal, *, key_id: str | None = None, secret: str | None = None
    ) -> AccessKey:
        """With ``key_id`` and ``secret`` the given ones, else new random ones."""
        row = self._access_key_row(owner, key_id, secret)
        await self._insert(access_keys, row)
        return self.get_access_key(owner.account, row["id"])

    async def create_user_with_access_key(self, user: Principal) -> AccessKey:
        """Both or neither: a process that dies in between leaves no user without a key."""
        row = self._access_key_row(user, None, None)
        await self._insert(access_keys, row, owner=user)
        return self.get_access_key(user.account, row["id"])

    async def create_api_key(
        self, owner: Principal, *, name: str, expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """The key and its token. The token is not kept: this is the only time it is seen."""
        key_id = f"BedrockAPIKey-{secrets.token_hex(4)}-at-{owner.account}"
        secret = base64.b64encode(secrets.token_bytes(33)).decode()
        await self._insert(
            api_keys,
            {
                "id": key_id,
                "account": owner.account,
                "user_name": owner.name,
                "name": name,
                "secret_hash": hash_api_secret(secret),
                "status": "Active",
                "expires_at_ms": None if expires_at is None else to_ms(expires_at),
                "created_at_ms": now_ms(),
            },
        )
        key = self._directory.find_api_key(key_id)
        if key is None:
            raise NoSuchItem(f"Another process has deleted {key_id} already.")
        return key, render_api_key(key_id, secret)

    def get_access_key(self, account: str, key_id: str) -> AccessKey:
        key = self._directory.find_access_key(key_id)
        if key is None or key.principal.account != account:
            raise _no_such_key(account, key_id)
        return key

    async def set_status(self, account: str, key_id: str, status: KeyStatus) -> None:
        for table in (access_keys, api_keys):
            statement = sa.update(table).where(table.c.id == key_id, table.c.account == account)
            if await self._change(statement.values(status=status)):
                return
        raise _no_such_key(account, key_id)

    async def set_secret(self, account: str, key_id: str, secret: str) -> None:
        sealed = self._sealer.seal(secret.encode(), secret_context(key_id))
        statement = sa.update(access_keys).where(
            access_keys.c.id == key_id, access_keys.c.account == account
        )
        if not await self._change(statement.values(sealed_secret=sealed)):
            raise _no_such_key(account, key_id)

    async def delete(self, account: str, key_id: str) -> None:
        for table in (access_keys, api_keys):
            statement = sa.delete(table).where(table.c.id == key_id, table.c.account == account)
            if await self._change(statement):
                return
        raise _no_such_key(account, key_id)

    def _access_key_row(
        self, owner: Principal, key_id: str | None, secret: str | None
    ) -> dict[str, Any]:
        key_id = key_id or "AKIA" + "".join(secrets.choice(_BASE32) for _ in range(16))
        secret = secret or base64.b64encode(secrets.token_bytes(30)).decode()
        return {
            "id": key_id,
            "account": owner.account,
            "user_name": owner.name,
            "sealed_secret": self._sealer.seal(secret.encode(), secret_context(key_id)),
            "status": "Active",
            "created_at_ms": now_ms(),
        }

    async def _insert(
        self, table: sa.Table, row: dict[str, Any], owner: Principal | None = None
    ) -> None:
        """With ``owner`` that user is made first."""
        statements = [sa.insert(table).values(row)]
        if owner is not None:
            statements.insert(0, sa.insert(users).values(user_row(owner)))
        try:
            await self._change(*statements)
        except IntegrityError as error:
            raise NameTaken(
                f"The key {row['id']!r} exists already, or {row['user_name']!r} is no user of "
                f"account {row['account']}."
            ) from error

    async def _change(self, *statements: sa.Insert | sa.Update | sa.Delete) -> bool:
        """Whether any row was changed."""
        changed = False
        async with self._database.write() as connection:
            for statement in statements:
                result = await connection.execute(statement)
                changed = changed or result.rowcount > 0
            if changed:
                await mark_changed(connection, TOPIC)
        if changed:
            await self._directory.load()
        return changed


def _no_such_key(account: str, key_id: str) -> NoSuchItem:
    return NoSuchItem(f"Account {account} has no key {key_id!r}. `outcrop keys list` shows all.")
