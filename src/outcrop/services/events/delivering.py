"""Delivers events to targets.

A delivery is tried for as long as its target's retry policy says, a day at most, and then goes to
the target's dead-letter queue, if it has one.
"""

import logging
import ssl
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from outcrop.config import Services
from outcrop.errors import AWSError
from outcrop.events.bus import EventBuses
from outcrop.events.inputs import Received
from outcrop.jobs.delivery import KEPT, Clock, NotDelivered
from outcrop.jobs.queue import Job, RetryLater, revise
from outcrop.services.background import Background
from outcrop.services.events.failures import Refused
from outcrop.services.events.senders import Senders, Sending
from outcrop.services.offload import read_beside
from outcrop.stores.opened import Stores

log = logging.getLogger(__name__)

_LONGEST_ERROR: Final = 1024
_BY_ATTEMPTS: Final = "MaximumRetryAttempts"
_BY_AGE: Final = "MaximumEventAgeInSeconds"


class Deliveries:
    """``tls`` is whom the server trusts of the APIs that it asks; None is the system's list."""

    def __init__(
        self,
        stores: Stores,
        background: Background,
        buses: EventBuses,
        services: Services,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._stores = stores
        self._buses = buses
        self._clock = clock
        self._senders = Senders(stores, background, buses, services, clock, tls)

    async def run(self, job: Job) -> None:
        sending = await self._sending(job)
        if sending is None:
            log.info("%s is not delivered: its rule or target is gone", job.subject)
            return
        try:
            await self._senders.send(sending)
        except Refused as error:
            await self._dead_letter(job, sending, error.code, str(error), None)
        except RetryLater:
            # Whose turn does not come in time is as old as what was tried all the time.
            if not self._is_too_old(job, sending):
                raise
            said = "Its destination had others to take for all of this time."
            await self._dead_letter(job, sending, "NOT_DELIVERED", said, _BY_AGE)
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
        # Without a policy of its own it is a day, as for every delivery, which counts it itself.
        return _BY_AGE if _BY_AGE in policy and self._is_too_old(job, sending) else None

    def _is_too_old(self, job: Job, sending: Sending) -> bool:
        policy = cast("Mapping[str, int]", sending.target.get("RetryPolicy", {}))
        age_s = (self._clock() - job.created_at).total_seconds()
        return age_s >= policy.get(_BY_AGE, KEPT.total_seconds())

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
