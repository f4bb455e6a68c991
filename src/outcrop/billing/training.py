"""What training costs: every token that a job has trained, once, whatever came of the job.

How many tokens of a job were counted stands in the job's own record, and moves in the transaction
that counts: ``progress.tokens``.
"""

from datetime import datetime

from outcrop.billing.ledger import Line, add_up
from outcrop.billing.prices import Prices
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.resources import Item, Transaction

_HOUR_S = 3600


async def count_tokens(
    transaction: Transaction,
    item: Item[CustomizationJob],
    tokens: int,
    prices: Prices,
    now: datetime,
) -> int:
    """Counts what ``tokens`` is more than the record says, which is read in this transaction. The
    result is what the record is to say then: never less than before, since a job that goes on from
    its checkpoint trains some tokens again."""
    counted = item.record.progress.tokens
    if tokens <= counted:
        return counted
    line = Line(
        account=item.place.account,
        hour=int(now.timestamp()) // _HOUR_S,
        region=item.place.region,
        kind="training",
        model_id=item.record.base_model,
        resource=item.arn or item.name,
        principal=item.record.by,
        prices=prices.render(),
        input_tokens=tokens - counted,
    )
    await add_up(transaction, [line])
    return tokens
