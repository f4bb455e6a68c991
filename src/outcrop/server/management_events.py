"""Tells EventBridge of each request that changed something, as its account's trail has it.

Only what a rule takes becomes an event: thousands of calls that no rule asks for cost no job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outcrop.events.bus import EventBuses, is_taken
from outcrop.journal.records import CallRecord
from outcrop.services.offload import read_beside
from outcrop.stores.event_records import DEFAULT_BUS, EventRule
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.trail.bus_events import entry_of, event_of
from outcrop.trail.index import bodies_of

Rules = Mapping[Place, Sequence[Item[EventRule]]]


@dataclass(frozen=True, slots=True)
class _Wanted:
    account: str
    region: str
    entry: dict[str, Any]


class ManagementEvents:
    """A sink of the journal: each event is published with the cursor, so once."""

    def __init__(self, buses: EventBuses) -> None:
        self._buses = buses

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        rules = self._buses.rules()
        if not rules:
            return
        size = sum(len(record.trail) for record in records)
        for wanted in await read_beside(size, _wanted, rules, records):
            await self._buses.publish(transaction, wanted.account, wanted.region, wanted.entry)

    def taken(self) -> None:
        pass


def _wanted(rules: Rules, records: Sequence[CallRecord]) -> list[_Wanted]:
    accounts = {bus.account for bus in rules if bus.name == DEFAULT_BUS}
    found: list[_Wanted] = []
    for record in records:
        for body in bodies_of(record, accounts):
            event = event_of(body)
            if event is None:
                continue
            bus = Place(event["account"], event["region"], DEFAULT_BUS)
            if is_taken(rules.get(bus, ()), event):
                found.append(_Wanted(bus.account, bus.region, entry_of(event, body)))
    return found
