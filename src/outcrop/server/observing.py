"""Opens what records, counts, delivers and tells what happens."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from outcrop.config import Config
from outcrop.jobs.queue import JobKind
from outcrop.jobs.runner import JobRunner
from outcrop.journal.consumer import Consumer, Sink
from outcrop.journal.files import Journal
from outcrop.services.background import Background
from outcrop.services.observing import Observing
from outcrop.stores.opened import Stores


@dataclass(frozen=True, slots=True)
class Records:
    """What ``open_records`` opened. ``start`` is called when the deployment is there."""

    journal: Journal
    observing: Observing
    consumer: Consumer
    deliveries: JobRunner

    def start(self) -> None:
        self.consumer.start()
        self.deliveries.start()


@asynccontextmanager
async def open_records(
    config: Config, stores: Stores, background: Background
) -> AsyncGenerator[Records]:
    async with AsyncExitStack() as stack:
        journal = await asyncio.to_thread(Journal, config.data_dir / "journal")
        stack.callback(journal.close)
        consumer = Consumer(journal, stores.resources, _sinks(config, stores))
        stack.push_async_callback(consumer.close)
        deliveries = JobRunner(
            stores.database, _delivery_kinds(config, stores, background), node=socket.gethostname()
        )
        deliveries.listen_to(stores.resources)
        stack.push_async_callback(deliveries.close)
        yield Records(
            journal=journal,
            observing=Observing(background=background, catch_up=consumer.catch_up),
            consumer=consumer,
            deliveries=deliveries,
        )


def _sinks(config: Config, stores: Stores) -> Sequence[Sink]:
    return []


def _delivery_kinds(
    config: Config, stores: Stores, background: Background
) -> Mapping[str, JobKind]:
    return {}
