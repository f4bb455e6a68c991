"""Accounts with their root users, and the users that the command line and the first start make.

What IAM's own operations do with users is in the service; both write the same records.
"""

import secrets
from collections.abc import Sequence

from outcrop.identity import Principal, root_arn
from outcrop.stores.failures import NameTaken, NoSuchItem
from outcrop.stores.iam_names import FULL_ACCESS, ROOT_NAME, iam_arn, new_unique_id
from outcrop.stores.iam_records import AccountRecord, ClosedAccount, UserRecord
from outcrop.stores.identities import principal_of
from outcrop.stores.resources import Item, Place, Resources, Transaction, View


class IdentityStore:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def create_account(self, title: str, account: str | None = None) -> str:
        """The account's ID; its root user comes with it."""
        chosen = account or str(secrets.randbelow(9 * 10**11) + 10**11)
        record = AccountRecord(title=title, service_control=(FULL_ACCESS,))
        root = UserRecord(id=chosen, kind="root")
        async with self._resources.writing() as transaction:
            place = Place(chosen, "", chosen)
            if await transaction.find(ClosedAccount, place) is not None:
                raise NameTaken(f"There was an account {chosen}. Its ID is not given again.")
            try:
                await transaction.add(record, place)
            except NameTaken as error:
                raise NameTaken(f"There is an account {chosen} already.") from error
            await transaction.add(root, Place(chosen, "", ROOT_NAME), arn=root_arn(chosen))
        return chosen

    async def list_accounts(self) -> list[Item[AccountRecord]]:
        """The oldest first."""
        async with self._resources.reading() as view:
            accounts = await view.list(AccountRecord)
        return sorted(accounts, key=lambda account: (account.created_at, account.name))

    async def get_account(self, account: str) -> Item[AccountRecord]:
        async with self._resources.reading() as view:
            return await get_account_in(view, account)

    async def create_user(
        self, account: str, name: str, *, attached: Sequence[str] = ()
    ) -> Principal:
        async with self._resources.writing() as transaction:
            return principal_of(await add_user(transaction, account, name, attached=attached))

    async def find_user(self, account: str, name: str) -> Principal | None:
        async with self._resources.reading() as view:
            user = await view.find(UserRecord, Place(account, "", name))
        return principal_of(user) if user else None

    async def get_user(self, account: str, name: str) -> Principal:
        user = await self.find_user(account, name)
        if user is None:
            raise NoSuchItem(f"Account {account} has no user {name!r}.")
        return user

    async def list_users(self, account: str) -> list[Principal]:
        """With the root user."""
        async with self._resources.reading() as view:
            return [principal_of(user) for user in await view.list(UserRecord, account=account)]


async def get_account_in(view: View, account: str) -> Item[AccountRecord]:
    found = await view.find(AccountRecord, Place(account, "", account))
    if found is None:
        raise NoSuchItem(f"There is no account {account}. `outcrop accounts list` shows all.")
    return found


async def add_user(
    transaction: Transaction, account: str, name: str, *, attached: Sequence[str] = ()
) -> Item[UserRecord]:
    await get_account_in(transaction, account)
    record = UserRecord(id=new_unique_id("user"), attached=tuple(attached))
    try:
        return await transaction.add(
            record, Place(account, "", name), arn=iam_arn(account, "user", name)
        )
    except NameTaken as error:
        raise NameTaken(f"Account {account} has a user {name!r} already.") from error
