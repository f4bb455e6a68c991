"""Client tokens that are too old to mean anything."""

from datetime import datetime

import sqlalchemy as sa

from outcrop.stores.model_records import RequestToken
from outcrop.stores.resources import Transaction
from outcrop.stores.tables import resources, to_ms


async def forget_tokens(
    transaction: Transaction, account: str, region: str, before: datetime
) -> None:
    """Those of one account and region made before then. Nobody is told: nobody mirrors tokens."""
    await transaction.connection.execute(
        sa.delete(resources).where(
            resources.c.kind == RequestToken.KIND,
            resources.c.account == account,
            resources.c.region == region,
            resources.c.created_at_ms < to_ms(before),
        )
    )
