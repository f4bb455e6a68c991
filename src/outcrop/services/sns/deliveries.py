"""Messages as jobs: one for each message and subscription, done one after the other of each.

What delivers them (clients of HTTP and SMTP) is imported with the first one: a server starts
without.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any, Final, Protocol

from outcrop.config import Mail
from outcrop.jobs.delivery import Clock, delivery, now
from outcrop.jobs.queue import Job, JobKind, submit
from outcrop.services.background import Background
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Transaction
from outcrop.topics.messages import Delivery, to_payload

KIND: Final = "sns:delivery"

FindUrl = Callable[[], Awaitable[str | None]]
"""The URL by which subscribers reach this server; None while it does not listen yet."""


class Deliverer(Protocol):
    async def run(self, job: Job) -> None: ...

    async def lost(self, job: Job, why: str) -> None: ...


async def submit_delivery(
    transaction: Transaction, subscription_arn: str, delivery: Delivery
) -> None:
    await submit(transaction, KIND, subscription_arn, to_payload(delivery))


def job_kinds(
    stores: Stores,
    background: Background,
    mail: Mail | None,
    find_url: FindUrl,
    *,
    clock: Clock = now,
) -> Mapping[str, JobKind]:
    made: list[Deliverer] = []

    async def deliverer() -> Deliverer:
        if not made:
            module: Any = await asyncio.to_thread(import_module, "outcrop.services.sns.delivering")
            made.append(module.Deliveries(stores, background, mail, find_url, clock))
        return made[0]

    async def run(job: Job) -> None:
        await (await deliverer()).run(job)

    async def lost(job: Job, why: str) -> None:
        await (await deliverer()).lost(job, why)

    return {KIND: delivery(run, lost, clock=clock)}
