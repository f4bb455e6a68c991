"""What provisioned throughput costs by the hour: every second in service, once.

It was bought, so it costs while this server is down, too. How far each has been counted stands in
the database and moves in the transaction that counts; a clock that goes back counts nothing twice.
"""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from outcrop.billing.ledger import Line, add_up
from outcrop.billing.prices import hourly_price, render
from outcrop.stores.failures import StoreError
from outcrop.stores.model_records import ProvisionedModel
from outcrop.stores.periodic import Periodic
from outcrop.stores.resources import Item, Resources, Transaction, View
from outcrop.stores.tables import accruals

Throughput = Item[ProvisionedModel]

_HOUR_S: Final = 3600
_IN_SERVICE: Final = ("InService", "Updating")


async def accrue_in(transaction: Transaction, item: Throughput, now: datetime) -> None:
    """Counts ``item`` up to now, in the transaction that changes or removes it: call it with what
    was there before, and again with what is there when it has come into service."""
    begun = await _find_cursor(transaction, item)
    if not _is_in_service(item):
        await _forget(transaction, [_arn(item)])
        return
    lines, until = _counted(item, begun, now)
    await add_up(transaction, lines)
    if begun is None:
        row = sa.insert(accruals).values(resource=_arn(item), until_s=until)
        await transaction.connection.execute(row)
    elif until != begun:
        move = sa.update(accruals).where(accruals.c.resource == _arn(item))
        await transaction.connection.execute(move.values(until_s=until))


async def pending(view: View, now: datetime) -> list[Line]:
    """What has not been counted yet, up to now."""
    items = await view.list(ProvisionedModel)
    return [
        line
        for item in items
        if _is_in_service(item)
        for line in _counted(item, await _find_cursor(view, item), now)[0]
    ]


class Accrual:
    """Counts all provisioned throughput every ``interval_s``, at the start and when closed."""

    def __init__(
        self,
        resources: Resources,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        interval_s: float = 60.0,
    ) -> None:
        self._resources = resources
        self._clock = clock
        self._periodic = Periodic("Counting provisioned throughput", self._accrue_now, interval_s)

    async def accrue(self, now: datetime) -> None:
        async with self._resources.reading() as view:
            if not await _any(view):
                return
        async with self._resources.writing() as transaction:
            items = await transaction.list(ProvisionedModel)
            for item in items:
                await accrue_in(transaction, item, now)
            await _forget_others(transaction, items)

    def start(self) -> None:
        self._periodic.start()

    async def close(self) -> None:
        await self._periodic.close()
        await self._periodic.attempt()

    async def _accrue_now(self) -> None:
        await self.accrue(self._clock())


def _counted(item: Throughput, begun: int | None, now: datetime) -> tuple[list[Line], int]:
    """The lines of the seconds since it was counted, and until when they are. What has never been
    counted begins when it came into service, which was its last change."""
    first = math.ceil(item.changed_at.timestamp()) if begun is None else begun
    end = max(first, math.floor(now.timestamp()))
    lines = [
        _line(item, hour, min(end, (hour + 1) * _HOUR_S) - max(first, hour * _HOUR_S))
        for hour in range(first // _HOUR_S, -(-end // _HOUR_S))
        if first < end
    ]
    return lines, end


def _line(item: Throughput, hour: int, seconds: int) -> Line:
    record = item.record
    return Line(
        account=item.place.account,
        hour=hour,
        region=item.place.region,
        kind="provisioned",
        model_id=record.foundation_model,
        resource=_arn(item),
        principal=record.by,
        prices=render(hourly_price(record.unit, record.units)),
        seconds=seconds,
    )


def _is_in_service(item: Throughput) -> bool:
    return item.record.status in _IN_SERVICE


def _arn(item: Throughput) -> str:
    if item.arn is None:
        raise StoreError(f"The provisioned throughput {item.name!r} has no ARN.")
    return item.arn


async def _find_cursor(view: View, item: Throughput) -> int | None:
    query = sa.select(accruals.c.until_s).where(accruals.c.resource == _arn(item))
    return await view.connection.scalar(query)


async def _any(view: View) -> bool:
    """Whether there is something to count or to forget, so that an idle server does not write."""
    kept = await view.connection.scalar(sa.select(accruals.c.resource).limit(1))
    return kept is not None or bool(await view.list(ProvisionedModel))


async def _forget_others(transaction: Transaction, items: Iterable[Throughput]) -> None:
    known = {_arn(item) for item in items}
    kept = (await transaction.connection.scalars(sa.select(accruals.c.resource))).all()
    await _forget(transaction, [arn for arn in kept if arn not in known])


async def _forget(transaction: Transaction, arns: Iterable[str]) -> None:
    for arn in arns:
        row = accruals.c.resource == arn
        await transaction.connection.execute(sa.delete(accruals).where(row))
