"""The jobs behind events: one finds the rules that take an event, one for each target delivers it.

What delivers them (clients of HTTP and of AWS) is imported with the first one: a server starts
without.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Protocol

import msgspec
import sqlalchemy as sa

from outcrop.config import Services
from outcrop.events.bus import DELIVERY, EVENT, EventBuses
from outcrop.events.patterns import compile_pattern
from outcrop.jobs.delivery import Clock, delivery, now
from outcrop.jobs.queue import Job, JobKind, submit
from outcrop.services.background import Background
from outcrop.services.offload import read_beside
from outcrop.stores.event_records import EventRule
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.stores.tables import jobs

log = logging.getLogger(__name__)


_AT_ONCE: Final = 64
"""Most of them wait for somebody to answer; ``turns`` sees to it that it is not all for one."""


class Deliverer(Protocol):
    async def run(self, job: Job) -> None: ...

    async def lost(self, job: Job, error: str) -> None: ...


def job_kinds(
    stores: Stores,
    background: Background,
    buses: EventBuses,
    services: Services,
    *,
    clock: Clock = now,
    tls: ssl.SSLContext | None = None,
) -> Mapping[str, JobKind]:
    matching = _Matching(stores, buses)
    made: list[Deliverer] = []

    async def deliverer() -> Deliverer:
        if not made:
            module: Any = await asyncio.to_thread(
                import_module, "outcrop.services.events.delivering"
            )
            # Another one may have been made meanwhile: what it knows of tokens and turns holds.
            if not made:
                made.append(module.Deliveries(stores, background, buses, services, clock, tls))
        return made[0]

    async def run(job: Job) -> None:
        await (await deliverer()).run(job)

    async def lost(job: Job, error: str) -> None:
        await (await deliverer()).lost(job, error)

    return {
        EVENT: JobKind(matching.run, matching.gave_up),
        DELIVERY: delivery(run, lost, clock=clock, at_once=_AT_ONCE),
    }


class _Matching:
    def __init__(self, stores: Stores, buses: EventBuses) -> None:
        self._stores = stores
        self._buses = buses

    async def run(self, job: Job) -> None:
        payload = job.payload
        bus = Place(payload["account"], payload["region"], payload["bus"])
        rules = self._buses.rules_of(bus)
        text: str = payload["event"]
        matched = await read_beside(len(text) if rules else 0, _matching_rules, rules, text)
        wanted = {
            f"{rule.arn}#{target['Id']}#{payload['id']}": (rule.arn, target["Id"])
            for rule in matched
            for target in rule.record.targets
        }
        if not wanted:
            return
        async with self._stores.resources.writing() as transaction:
            # An earlier attempt may have ended between its work and its word of it.
            done = await _submitted(transaction, wanted) if job.attempt > 1 else frozenset[str]()
            for subject, (rule_arn, target_id) in wanted.items():
                if subject not in done:
                    told = {"rule": rule_arn, "target": target_id, "tries": 0}
                    kept = {name: payload[name] for name in ("event", "ingested_at", "hops")}
                    await submit(transaction, DELIVERY, subject, {**kept, **told})

    async def gave_up(self, job: Job, error: str) -> None:
        log.error("the event %s was not matched with rules: %s", job.subject, error)


def _matching_rules(rules: Sequence[Item[EventRule]], text: str) -> list[Item[EventRule]]:
    event: dict[str, Any] = msgspec.json.decode(text)
    return [rule for rule in rules if compile_pattern(rule.record.pattern or "").matches(event)]


async def _submitted(transaction: Transaction, subjects: Mapping[str, Any]) -> frozenset[str]:
    query = sa.select(jobs.c.subject).where(
        jobs.c.kind == DELIVERY, jobs.c.subject.in_(list(subjects))
    )
    return frozenset((await transaction.connection.execute(query)).scalars())
