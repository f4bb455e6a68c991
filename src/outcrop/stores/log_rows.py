"""The rows of log streams and events of an account that is removed."""

import sqlalchemy as sa

from outcrop.stores.log_records import LogGroup, RemovedEvents
from outcrop.stores.resources import Transaction
from outcrop.stores.tables import log_events, log_streams


async def remove_log_rows(transaction: Transaction, account: str) -> None:
    """Before the records that say which groups they are of."""
    connection = transaction.connection
    groups = {item.record.id for item in await transaction.list(LogGroup, account=account)}
    streams: set[int] = set()
    for item in await transaction.list(RemovedEvents, account=account):
        if item.record.group is not None:
            groups.add(item.record.group)
        if item.record.stream is not None:
            streams.add(item.record.stream)
    for group in groups:
        await connection.execute(sa.delete(log_events).where(log_events.c.log_group == group))
    for stream in streams:
        await connection.execute(sa.delete(log_events).where(log_events.c.stream == stream))
    await connection.execute(sa.delete(log_streams).where(log_streams.c.account == account))
