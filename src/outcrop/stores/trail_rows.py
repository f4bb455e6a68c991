"""The event history of an account that goes."""

import sqlalchemy as sa

from outcrop.stores.resources import Transaction
from outcrop.stores.tables import trail_events


async def remove_trail_rows(transaction: Transaction, account: str) -> None:
    await transaction.connection.execute(
        sa.delete(trail_events).where(trail_events.c.account == account)
    )
