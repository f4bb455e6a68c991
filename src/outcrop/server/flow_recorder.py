"""Follows the connections of private endpoints and writes their flow records where flow logs say.

Counted in memory and written each interval, and when the server stops: a server that is killed
loses what it has not written yet.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from outcrop.errors import AWSError
from outcrop.server.flow_records import Batch, Carried, Way, file_key, render_file
from outcrop.server.relay import Connection, Traffic
from outcrop.services.ec2.flow_logs import bucket_and_prefix
from outcrop.stores.failures import StoreError
from outcrop.stores.network_records import FlowLog, NetworkInterface
from outcrop.stores.resources import Item, Resources

log = logging.getLogger(__name__)

TICK_S: Final = 60.0
_DELIVERY_S: Final = 60.0
_MAX_CONNECTIONS: Final = 50_000
"""Ended ones that wait for the next look; those beyond are not recorded, which is logged."""

Deliver = Callable[[Item[FlowLog], str, str, bytes], Awaitable[None]]
"""Flow log, bucket, key, content. Raises AWS's errors."""


@dataclass(slots=True)
class _Followed:
    """``seen`` and ``seen_at`` are what of it was recorded."""

    connection: Connection
    target_port: int
    seen: Traffic
    seen_at: datetime


class FlowRecorder:
    def __init__(self, resources: Resources, deliver: Deliver) -> None:
        self._resources = resources
        self._deliver = deliver
        self._followed: list[_Followed] = []
        self._batches: dict[str, Batch] = {}
        self._looking = asyncio.Lock()
        self._lost = 0

    def follow(self, connection: Connection, target_port: int) -> None:
        if connection.interface is None:
            return
        if len(self._followed) >= _MAX_CONNECTIONS:
            self._lost += 1
            return
        began = connection.began_at
        self._followed.append(_Followed(connection, target_port, Traffic(), began))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.look()
            except (StoreError, SQLAlchemyError) as error:
                log.warning("flow logs were not written; trying again: %s", error)

    async def look(self, *, everything: bool = False) -> None:
        """Records what passed since the last look; writes what is due, or ``everything``."""
        async with self._looking:
            if self._lost:
                log.warning("%d connections are in no flow log: too many at once", self._lost)
                self._lost = 0
            async with self._resources.reading() as view:
                logs = await view.list(FlowLog)
            now = datetime.now(UTC)
            for followed in self._followed:
                self._record(followed, logs, now)
            self._followed = [one for one in self._followed if one.connection.ended_at is None]
            await self._write_due(logs, now, everything=everything)

    def _record(
        self,
        followed: _Followed,
        logs: Iterable[Item[FlowLog]],
        now: datetime,
    ) -> None:
        connection = followed.connection
        connection.count_packets()
        until = connection.ended_at or now
        passed, interface = replace(connection.traffic), connection.interface
        if interface is not None:
            ways = _ways(followed, interface, passed, until)
            for flow_log in logs:
                if _is_about(flow_log, interface, connection):
                    batch = self._batches.setdefault(flow_log.name, Batch(followed.seen_at))
                    for way, carried in ways:
                        batch.add(way, carried)
        followed.seen, followed.seen_at = passed, until

    async def _write_due(
        self, logs: Iterable[Item[FlowLog]], now: datetime, *, everything: bool
    ) -> None:
        known = {each.name: each for each in logs}
        for name in list(self._batches):
            flow_log = known.get(name)
            if flow_log is None:
                # Deleted: what it had not written goes with it.
                del self._batches[name]
                continue
            age_s = (now - self._batches[name].began_at).total_seconds()
            if everything or age_s >= flow_log.record.interval_s:
                await self._write(flow_log, self._batches[name], now)

    async def _write(self, flow_log: Item[FlowLog], batch: Batch, now: datetime) -> None:
        """A batch that could not be delivered is tried again at the next look."""
        bucket, prefix = bucket_and_prefix(flow_log.record.destination)
        content = render_file(flow_log, batch)
        failure: str | None = None
        key = file_key(flow_log, prefix, now, content)
        try:
            async with asyncio.timeout(_DELIVERY_S):
                await self._deliver(flow_log, bucket, key, content)
        except (AWSError, TimeoutError) as error:
            # As DescribeFlowLogs tells it.
            is_denied = isinstance(error, AWSError) and "AccessDenied" in error.code
            failure = "Access error" if is_denied else "Unknown error"
            log.warning("flow log %s was not delivered: %r", flow_log.name, error)
        else:
            del self._batches[flow_log.name]
        if failure != flow_log.record.failure:
            await self._tell(flow_log, failure)

    async def _tell(self, flow_log: Item[FlowLog], failure: str | None) -> None:
        async with self._resources.writing() as transaction:
            current = await transaction.find(FlowLog, flow_log.place)
            if current is not None:
                record = msgspec.structs.replace(current.record, failure=failure)
                await transaction.put(replace(current, record=record))


def _is_about(
    flow_log: Item[FlowLog], interface: Item[NetworkInterface], connection: Connection
) -> bool:
    if flow_log.place.account != interface.place.account:
        return False
    if flow_log.parent not in (interface.name, interface.parent, interface.record.vpc):
        return False
    wanted = flow_log.record.traffic
    return wanted == "ALL" or (wanted == "ACCEPT") == connection.is_accepted


def _ways(
    followed: _Followed, interface: Item[NetworkInterface], passed: Traffic, until: datetime
) -> list[tuple[Way, Carried]]:
    connection, seen = followed.connection, followed.seen
    start_s, end_s = int(followed.seen_at.timestamp()), int(until.timestamp())
    inward = Way(
        interface.name,
        connection.address,
        interface.record.address,
        connection.port,
        followed.target_port,
        connection.is_accepted,
    )
    received = Carried(
        start_s,
        end_s,
        passed.bytes_in - seen.bytes_in,
        _more(passed.packets_in, seen.packets_in),
    )
    if not connection.is_accepted:
        return [(inward, received)]
    outward = replace(
        inward,
        source=inward.target,
        target=inward.source,
        source_port=inward.target_port,
        target_port=inward.source_port,
    )
    sent = Carried(
        start_s,
        end_s,
        passed.bytes_out - seen.bytes_out,
        _more(passed.packets_out, seen.packets_out),
    )
    return [(inward, received), (outward, sent)]


def _more(now: int | None, before: int | None) -> int | None:
    return None if now is None else now - (before or 0)
