"""Events on their way: published in a transaction as a job, which finds the rules that take them.

Whoever publishes in a transaction that is committed has the event delivered at least once.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import msgspec

from outcrop.events.json_text import write_json
from outcrop.events.patterns import compile_pattern
from outcrop.jobs.queue import submit
from outcrop.stores.event_records import (
    DEFAULT_BUS,
    MIRRORED,
    TOPIC,
    EventApiDestination,
    EventBus,
    EventConnection,
    EventRule,
    bus_arn,
)
from outcrop.stores.mirror import Mirror
from outcrop.stores.resources import Item, Place, Resources, Transaction

EVENT: Final = "events:event"
DELIVERY: Final = "events:delivery"

_NONE: Final[Sequence[Item[EventRule]]] = ()


def service_event(
    source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]
) -> dict[str, Any]:
    """An event of a service (``aws.bedrock``), to publish."""
    return {
        "source": source,
        "detail-type": detail_type,
        "resources": list(resources),
        "detail": write_json(detail),
    }


@dataclass(frozen=True, slots=True)
class Envelope:
    """``text`` is the event as its targets get it."""

    id: str
    text: str


def render_event(account: str, region: str, entry: Mapping[str, Any]) -> Envelope:
    """``entry`` is one of ``service_event``; it may have ``time`` and ``id`` besides. ``detail`` is
    JSON as text, kept to the letter."""
    event_id = entry.get("id") or str(uuid4())
    at: datetime = entry.get("time") or datetime.now(UTC)
    event = {
        "version": "0",
        "id": event_id,
        "detail-type": entry["detail-type"],
        "source": entry["source"],
        "account": account,
        "time": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": region,
        "resources": list(entry.get("resources", ())),
        "detail": msgspec.Raw(entry["detail"].encode()),
    }
    return Envelope(event_id, msgspec.json.encode(event).decode())


def is_taken(rules: Sequence[Item[EventRule]], event: Mapping[str, Any]) -> bool:
    """Whether any of the rules takes the event, which is whole and parsed."""
    return any(compile_pattern(rule.record.pattern or "").matches(event) for rule in rules)


class EventBuses:
    """The rules of all buses, in memory. ``targets`` are the services elsewhere that rules may send
    events to."""

    def __init__(self, resources: Resources, targets: Collection[str] = ()) -> None:
        self.targets = frozenset(targets)
        self._mirror = Mirror(resources, TOPIC, MIRRORED)
        self._rules: dict[Place, list[Item[EventRule]]] = {}
        self._indexed = -1

    async def load(self) -> None:
        await self._mirror.load()

    def has_rules(self, account: str, region: str, bus: str = DEFAULT_BUS) -> bool:
        """Whether any rule is there that could take an event."""
        return bool(self.rules_of(Place(account, region, bus)))

    def rules(self) -> Mapping[Place, Sequence[Item[EventRule]]]:
        """By bus, as they are now: never changed, so threads may read it."""
        self._index()
        return self._rules

    def rules_of(self, bus: Place) -> Sequence[Item[EventRule]]:
        """Those that are enabled and have a pattern and targets."""
        self._index()
        return self._rules.get(bus, _NONE)

    def find_rule(self, arn: str) -> Item[EventRule] | None:
        found = self._mirror.find_arn(arn)
        return found if found is not None and isinstance(found.record, EventRule) else None

    def find_bus(self, place: Place) -> Item[EventBus] | None:
        return self._mirror.find(EventBus, place)

    def find_api_destination(self, arn: str) -> Item[EventApiDestination] | None:
        found = self._mirror.find_arn(arn)
        return found if found and isinstance(found.record, EventApiDestination) else None

    def find_connection(self, arn: str) -> Item[EventConnection] | None:
        found = self._mirror.find_arn(arn)
        return found if found and isinstance(found.record, EventConnection) else None

    async def publish(
        self,
        transaction: Transaction,
        account: str,
        region: str,
        entry: Mapping[str, Any],
        *,
        bus: str = DEFAULT_BUS,
    ) -> str:
        """The event's ID. Without a rule that could take it there is nothing to do."""
        envelope = render_event(account, region, entry)
        await self.pass_on(transaction, Place(account, region, bus), envelope)
        return envelope.id

    async def pass_on(
        self, transaction: Transaction, bus: Place, envelope: Envelope, *, hops: int = 0
    ) -> None:
        """An event that may have come through ``hops`` other buses."""
        if not self.rules_of(bus):
            return
        await submit(
            transaction,
            EVENT,
            f"{bus_arn(bus.region, bus.account, bus.name)}#{envelope.id}",
            {
                "account": bus.account,
                "region": bus.region,
                "bus": bus.name,
                "id": envelope.id,
                "event": envelope.text,
                "hops": hops,
                "ingested_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            },
        )

    def _index(self) -> None:
        version = self._mirror.version
        if self._indexed == version:
            return
        rules: dict[Place, list[Item[EventRule]]] = {}
        for item in self._mirror.list(EventRule):
            rule, place = item.record, item.place
            if rule.enabled and rule.pattern is not None and rule.targets:
                bus = Place(place.account, place.region, rule.bus)
                rules.setdefault(bus, []).append(item)
        self._rules, self._indexed = rules, version
