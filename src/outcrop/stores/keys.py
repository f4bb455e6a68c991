"""Access keys and long-term bearer keys: created, switched on and off, deleted.

A change is in the database and in the directory when the call returns.
"""

import base64
import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import msgspec

from outcrop.identity import (
    AccessKey,
    ApiKey,
    KeyStatus,
    Principal,
    Sealer,
    hash_api_secret,
    render_api_key,
)
from outcrop.stores.accounts import add_user
from outcrop.stores.failures import NameTaken, NoSuchItem
from outcrop.stores.iam_names import new_access_key_id, new_credential_id
from outcrop.stores.iam_records import AccessKeyRecord, ServiceCredentialRecord, UserRecord
from outcrop.stores.identities import IdentityDirectory, secret_context
from outcrop.stores.resources import Item, Place, Record, Resources, Transaction

BEDROCK = "bedrock.amazonaws.com"


class KeyStore:
    def __init__(self, resources: Resources, sealer: Sealer, directory: IdentityDirectory) -> None:
        self._resources = resources
        self._sealer = sealer
        self._directory = directory

    async def add_access_key(
        self,
        transaction: Transaction,
        account: str,
        user: str,
        *,
        key_id: str | None = None,
        secret: str | None = None,
    ) -> tuple[Item[AccessKeyRecord], str]:
        """The key and its secret: the given ones, else new random ones."""
        key_id = key_id or new_access_key_id()
        secret = secret or base64.b64encode(secrets.token_bytes(30)).decode()
        await _check_owner(transaction, account, user)
        record = AccessKeyRecord(sealed_secret=self._seal(key_id, secret))
        try:
            # The ID takes the place of the ARN, which an access key does not have and which is
            # unique in the deployment.
            item = await transaction.add(
                record, Place(account, "", key_id), parent=user, arn=key_id
            )
        except NameTaken as error:
            raise NameTaken(f"The key {key_id!r} exists already.") from error
        return item, secret

    async def add_api_key(
        self,
        transaction: Transaction,
        owner: tuple[str, str],
        *,
        title: str = "",
        expires_at: datetime | None = None,
        service: str = BEDROCK,
    ) -> tuple[Item[ServiceCredentialRecord], str]:
        """The credential of ``owner`` (account and user) and its token, which is not kept."""
        account, user = owner
        await _check_owner(transaction, account, user)
        username = f"BedrockAPIKey-{secrets.token_hex(4)}-at-{account}"
        secret = new_api_secret()
        record = ServiceCredentialRecord(
            service=service,
            username=username,
            secret_hash=hash_api_secret(secret),
            title=title,
            expires_at=expires_at,
        )
        place = Place(account, "", new_credential_id())
        item = await transaction.add(record, place, parent=user, arn=username)
        return item, render_api_key(username, secret)

    async def create_access_key(
        self, owner: Principal, *, key_id: str | None = None, secret: str | None = None
    ) -> AccessKey:
        async with self._resources.writing() as transaction:
            item, _ = await self.add_access_key(
                transaction, owner.account, owner.name, key_id=key_id, secret=secret
            )
        return self.get_access_key(owner.account, item.name)

    async def create_user_with_access_key(
        self, account: str, name: str, *, attached: tuple[str, ...] = ()
    ) -> AccessKey:
        """Both or neither: a process that dies in between leaves no user without a key."""
        async with self._resources.writing() as transaction:
            await add_user(transaction, account, name, attached=attached)
            item, _ = await self.add_access_key(transaction, account, name)
        return self.get_access_key(account, item.name)

    async def create_api_key(
        self, owner: Principal, *, name: str, expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """The key and its token. The token is not kept: this is the only time it is seen."""
        async with self._resources.writing() as transaction:
            item, token = await self.add_api_key(
                transaction, (owner.account, owner.name), title=name, expires_at=expires_at
            )
        key = self._directory.find_api_key(item.record.username)
        if key is None:
            raise _no_such_key(owner.account, item.record.username)
        return key, token

    def get_access_key(self, account: str, key_id: str) -> AccessKey:
        key = self._directory.find_access_key(key_id)
        if key is None or key.principal.account != account:
            raise _no_such_key(account, key_id)
        return key

    async def set_status(self, account: str, key_id: str, status: KeyStatus) -> None:
        async with self._resources.writing() as transaction:
            item = await _get_key(transaction, account, key_id)
            record = msgspec.structs.replace(item.record, status=status)
            await transaction.put(replace(item, record=record))

    async def set_secret(self, account: str, key_id: str, secret: str) -> None:
        async with self._resources.writing() as transaction:
            item = await transaction.find(AccessKeyRecord, Place(account, "", key_id))
            if item is None:
                raise _no_such_key(account, key_id)
            record = msgspec.structs.replace(item.record, sealed_secret=self._seal(key_id, secret))
            await transaction.put(replace(item, record=record))

    async def delete(self, account: str, key_id: str) -> None:
        async with self._resources.writing() as transaction:
            item = await _get_key(transaction, account, key_id)
            kind = cast("type[Record]", type(item.record))
            await transaction.remove(kind, item.place)

    def _seal(self, key_id: str, secret: str) -> bytes:
        return self._sealer.seal(secret.encode(), secret_context(key_id))


def new_api_secret() -> str:
    return base64.b64encode(secrets.token_bytes(33)).decode()


async def _check_owner(transaction: Transaction, account: str, user: str) -> None:
    if await transaction.find(UserRecord, Place(account, "", user)) is None:
        raise NoSuchItem(f"Account {account} has no user {user!r}.")


async def _get_key(transaction: Transaction, account: str, key_id: str) -> Item[Any]:
    """By the ID that ``outcrop keys list`` shows: a bearer key's is its user name."""
    key = await transaction.find(AccessKeyRecord, Place(account, "", key_id))
    if key is not None:
        return key
    credential = await transaction.find_arn(ServiceCredentialRecord, key_id)
    if credential is None or credential.place.account != account:
        raise _no_such_key(account, key_id)
    return credential


def _no_such_key(account: str, key_id: str) -> NoSuchItem:
    return NoSuchItem(f"Account {account} has no key {key_id!r}. `outcrop keys list` shows all.")
