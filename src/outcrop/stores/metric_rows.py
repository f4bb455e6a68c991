"""Rows of metrics and of the history of alarms, as they go with their account."""

import sqlalchemy as sa

from outcrop.stores.resources import Transaction
from outcrop.stores.tables import alarm_history, metric_points, metric_series


async def remove_metric_rows(transaction: Transaction, account: str) -> None:
    own = sa.select(metric_series.c.id).where(metric_series.c.account == account)
    for statement in (
        sa.delete(metric_points).where(metric_points.c.series.in_(own)),
        sa.delete(metric_series).where(metric_series.c.account == account),
        sa.delete(alarm_history).where(alarm_history.c.account == account),
    ):
        await transaction.connection.execute(statement)
