"""Service control policies: named in the deployment, attached to accounts, which they bound.

An account begins with FullAWSAccess and is unrestricted until another one is attached beside it
or instead of it; as in AWS it never has none.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from msgspec import structs

from outcrop.stores.accounts import get_account_in
from outcrop.stores.failures import NameTaken, NoSuchItem, StoreError
from outcrop.stores.iam_names import FULL_ACCESS
from outcrop.stores.iam_records import AccountRecord, ServiceControlPolicyRecord
from outcrop.stores.principal_policies import FULL_ACCESS_TEXT
from outcrop.stores.resources import Item, Place, Resources, Transaction

MAX_ATTACHED: Final = 5


class PolicyInUse(StoreError):
    """It is attached, or the last one of an account."""


class ServiceControlStore:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def create(self, name: str, document: str) -> None:
        """``document`` is checked by the caller."""
        if name == FULL_ACCESS:
            raise _taken(name)
        async with self._resources.writing() as transaction:
            try:
                await transaction.add(
                    ServiceControlPolicyRecord(document=document), Place("", "", name)
                )
            except NameTaken as error:
                raise _taken(name) from error

    async def get(self, name: str) -> str:
        """The document."""
        async with self._resources.reading() as view:
            found = await view.find(ServiceControlPolicyRecord, Place("", "", name))
        if found is None and name != FULL_ACCESS:
            raise _no_such_policy(name)
        return found.record.document if found else FULL_ACCESS_TEXT

    async def list(self) -> dict[str, list[str]]:
        """The accounts that each policy is attached to, by its name."""
        async with self._resources.reading() as view:
            policies = await view.list(ServiceControlPolicyRecord)
            accounts = await view.list(AccountRecord)
        names = [FULL_ACCESS, *(policy.name for policy in policies)]
        return {
            name: [account.name for account in accounts if name in attached_to(account)]
            for name in names
        }

    async def delete(self, name: str) -> None:
        async with self._resources.writing() as transaction:
            accounts = await transaction.list(AccountRecord)
            users = [account.name for account in accounts if name in attached_to(account)]
            if name == FULL_ACCESS or users:
                raise PolicyInUse(
                    f"The policy {name!r} is attached to {', '.join(users) or 'new accounts'}. "
                    "`outcrop accounts scp detach` detaches it."
                )
            try:
                await transaction.remove(ServiceControlPolicyRecord, Place("", "", name))
            except NoSuchItem as error:
                raise _no_such_policy(name) from error

    async def attach(self, name: str, account: str) -> None:
        async with self._resources.writing() as transaction:
            item = await get_account_in(transaction, account)
            if name != FULL_ACCESS:
                place = Place("", "", name)
                if await transaction.find(ServiceControlPolicyRecord, place) is None:
                    raise _no_such_policy(name)
            attached = attached_to(item)
            if name in attached:
                return
            if len(attached) >= MAX_ATTACHED:
                raise StoreError(f"An account has at most {MAX_ATTACHED} service control policies.")
            await _put(transaction, item, (*attached, name))

    async def detach(self, name: str, account: str) -> None:
        async with self._resources.writing() as transaction:
            item = await get_account_in(transaction, account)
            attached = attached_to(item)
            if name not in attached:
                raise NoSuchItem(f"The policy {name!r} is not attached to account {account}.")
            if len(attached) == 1:
                raise PolicyInUse(
                    f"The policy {name!r} is the last one of account {account}. "
                    f"Attach another one first, such as {FULL_ACCESS}."
                )
            await _put(transaction, item, [each for each in attached if each != name])


def attached_to(account: Item[AccountRecord]) -> tuple[str, ...]:
    return account.record.service_control or (FULL_ACCESS,)


async def _put(
    transaction: Transaction, account: Item[AccountRecord], names: Sequence[str]
) -> None:
    record = structs.replace(account.record, service_control=tuple(names))
    await transaction.put(replace(account, record=record))


def _taken(name: str) -> NameTaken:
    return NameTaken(f"There is a service control policy {name!r} already.")


def _no_such_policy(name: str) -> NoSuchItem:
    return NoSuchItem(
        f"There is no service control policy {name!r}. `outcrop accounts scp list` shows all."
    )
