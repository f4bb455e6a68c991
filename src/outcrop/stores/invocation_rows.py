"""What lies in tables of its own of an account's invocation logs, at the account's end."""

import sqlalchemy as sa

from outcrop.stores.resources import Transaction
from outcrop.stores.tables import invocation_batches


async def remove_invocation_rows(transaction: Transaction, account: str) -> None:
    """Batches that were not delivered. Their jobs find none any more, and remove the files."""
    theirs = invocation_batches.c.account == account
    await transaction.connection.execute(sa.delete(invocation_batches).where(theirs))
