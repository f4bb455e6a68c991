"""The jobs behind events: one finds the rules that take an event, one for each target delivers it.

A delivery is tried for as long as its target's retry policy says, a day at most, and then goes to
the target's dead-letter queue, if it has one.
"""

import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec
import sqlalchemy as sa

from outcrop.config import Services
from outcrop.errors import AWSError
from outcrop.events.bus import DELIVERY, EVENT, EventBuses
from outcrop.events.inputs import Received
from outcrop.events.patterns import compile_pattern
from outcrop.jobs.delivery import Clock, NotDelivered, delivery, now
from outcrop.jobs.queue import Job, JobKind, revise, submit
from outcrop.services.background import Background
from outcrop.services.events.failures import Refused
from outcrop.services.events.senders import Senders, Sending
from outcrop.services.offload import read_beside
from outcrop.stores.event_records import EventRule
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.stores.tables import jobs

log = logging.getLogger(__name__)

_LONGEST_ERROR: Final = 1024
_BY_ATTEMPTS: Final = "MaximumRetryAttempts"
_BY_AGE: Final = "MaximumEventAgeInSeconds"


def job_kinds(
    stores: Stores,
    background: Background,
    buses: EventBuses,
    services: Services,
    *,
    clock: Clock = now,
    tls: ssl.SSLContext | None = None,
) -> Mapping[str, JobKind]:
    senders = Senders(stores, background, buses, services, clock, tls)
    matching = _Matching(stores, buses)
    deliveries = _Deliveries(stores, buses, senders, clock)
    return {
        EVENT: JobKind(matching.run, matching.gave_up),
        DELIVERY: delivery(deliveries.run, deliveries.lost, clock=clock),
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


class _Deliveries:
    def __init__(self, stores: Stores, buses: EventBuses, senders: Senders, clock: Clock) -> None:
        self._stores = stores
        self._buses = buses
        self._senders = senders
        self._clock = clock

    async def run(self, job: Job) -> None:
        sending = await self._sending(job)
        if sending is None:
            log.info("%s is not delivered: its rule or target is gone", job.subject)
            return
        try:
            await self._senders.send(sending)
        except Refused as error:
            await self._dead_letter(job, sending, error.code, str(error), None)
        except NotDelivered as error:
            tries = job.payload["tries"] + 1
            exhausted = self._exhausted(job, sending, tries)
            if exhausted is not None:
                await self._dead_letter(job, sending, "NOT_DELIVERED", str(error), exhausted)
                return
            async with self._stores.resources.writing() as transaction:
                await revise(transaction, job, {**job.payload, "tries": tries})
            raise

    async def lost(self, job: Job, error: str) -> None:
        """After a day."""
        sending = await self._sending(job)
        if sending is not None:
            await self._dead_letter(job, sending, "NOT_DELIVERED", error, _BY_AGE)

    def _exhausted(self, job: Job, sending: Sending, tries: int) -> str | None:
        policy = cast("Mapping[str, int]", sending.target.get("RetryPolicy", {}))
        if tries > policy.get(_BY_ATTEMPTS, tries):
            return _BY_ATTEMPTS
        age_s = (self._clock() - job.created_at).total_seconds()
        # Without a policy of its own it is a day, as for every delivery.
        return _BY_AGE if _BY_AGE in policy and age_s >= policy[_BY_AGE] else None

    async def _sending(self, job: Job) -> Sending | None:
        payload = job.payload
        rule = self._buses.find_rule(payload["rule"])
        targets = rule.record.targets if rule is not None else ()
        target = next((each for each in targets if each["Id"] == payload["target"]), None)
        if target is None:
            return None
        text: str = payload["event"]
        event: dict[str, Any] = await read_beside(len(text), msgspec.json.decode, text)
        received = Received(text, event, payload["ingested_at"], payload["rule"])
        return Sending(target, received, payload["hops"])

    async def _dead_letter(
        self, job: Job, sending: Sending, code: str, error: str, exhausted: str | None
    ) -> None:
        queue = sending.target.get("DeadLetterConfig", {}).get("Arn")
        if queue is None:
            log.error("%s of %s is dropped: %s", job.kind, job.subject, error)
            return
        attributes = {
            "RULE_ARN": sending.rule_arn,
            "TARGET_ARN": sending.arn,
            "ERROR_CODE": code,
            "ERROR_MESSAGE": error[:_LONGEST_ERROR] or code,
            "RETRY_ATTEMPTS": str(job.payload["tries"]),
        }
        if exhausted is not None:
            attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
        try:
            await self._senders.send_dead_letter(sending, queue, attributes)
        except AWSError as refused:
            if refused.status >= 500:
                raise NotDelivered(str(refused)) from refused
            log.error(
                "%s of %s is dropped, its dead-letter queue refuses it: %s (%s)",
                *(job.kind, job.subject, refused.message, error),
            )
