"""SQS queues as they are kept; their messages lie in the table ``queue_messages``."""

from typing import ClassVar

import msgspec
import sqlalchemy as sa

from outcrop.stores.resources import Record, Transaction
from outcrop.stores.tables import queue_messages


class Queue(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``attributes`` are those that somebody set, as texts; the others have their defaults."""

    KIND: ClassVar[str] = "sqs:queue"

    attributes: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    modified_at_s: int = 0
    purged_at_ms: int = 0


def queue_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:sqs:{region}:{account}:{name}"


async def remove_queue_rows(transaction: Transaction, account: str) -> None:
    """The messages in all queues of an account."""
    theirs = queue_messages.c.queue.like(queue_arn("%", account, "%"))
    await transaction.connection.execute(sa.delete(queue_messages).where(theirs))
