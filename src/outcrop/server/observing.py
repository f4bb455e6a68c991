"""Opens what records, counts, delivers and tells what happens."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from outcrop.catalog.catalog import Catalog
from outcrop.config import Config
from outcrop.events.bus import EventBuses
from outcrop.jobs.queue import JobKind
from outcrop.jobs.runner import JobRunner
from outcrop.journal.consumer import Consumer, Sink
from outcrop.journal.files import Journal
from outcrop.journal.records import Invocation
from outcrop.logs.hub import LogsHub
from outcrop.metrics.alarms import AlarmWatch
from outcrop.metrics.bedrock import RuntimeMetrics
from outcrop.metrics.retention import Retention
from outcrop.metrics.totals import Totals
from outcrop.queues.hub import QueueHub
from outcrop.server.invocation_logs import invocation_deliveries, invocation_spool
from outcrop.server.management_events import ManagementEvents
from outcrop.server.public_url import find_public_url
from outcrop.server.recorder import Follower, Recorder
from outcrop.server.request_log import RequestLog
from outcrop.server.tracing import open_tracer
from outcrop.server.trails import Trails
from outcrop.services.background import Background
from outcrop.services.bedrock_runtime.invocations import find_invocation
from outcrop.services.cloudtrail.deliveries import job_kinds as trail_deliveries
from outcrop.services.cloudwatch.telling import job_kinds as alarm_deliveries, telling
from outcrop.services.events.deliveries import job_kinds as event_deliveries
from outcrop.services.logs.subscriptions import job_kinds as log_deliveries
from outcrop.services.observing import Observing
from outcrop.services.sns.deliveries import job_kinds as topic_deliveries
from outcrop.stores.model_records import LoggingConfiguration
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Place
from outcrop.topics.mail_password import password_of
from outcrop.trail.index import TrailIndex


@dataclass(frozen=True, slots=True)
class Records:
    """What ``open_records`` opened. ``start`` is called when the deployment is there."""

    journal: Journal
    observing: Observing
    consumer: Consumer
    deliveries: JobRunner
    totals: Totals
    retention: Retention
    alarms: AlarmWatch
    queues: QueueHub
    followers: Sequence[Follower]
    keeps_prompts: bool
    logs: LogsHub
    trails: Trails

    def start(self) -> None:
        self.consumer.start()
        self.deliveries.start()
        self.retention.start()
        self.alarms.start()
        self.queues.start()
        self.logs.start()
        self.trails.start()

    def stop_waiting(self) -> None:
        """Answers the requests that wait for something to happen: the server is about to stop."""
        self.queues.stop_waiting()
        self.logs.stop_waiting()

    async def close(self) -> None:
        """What was answered is in the database then."""
        await self.trails.close()
        await self.logs.close()
        await self.queues.close()
        await self.alarms.close()
        await self.retention.close()
        await self.deliveries.close()
        await self.consumer.close()


@asynccontextmanager
async def open_records(
    config: Config, stores: Stores, background: Background
) -> AsyncGenerator[Records]:
    if config.mail is not None:
        # What is missing shows now, not when the first message waits.
        password_of(config.mail)
    async with AsyncExitStack() as stack:
        journal = await asyncio.to_thread(Journal, config.data_dir / "journal")
        stack.callback(journal.close)
        totals = Totals()
        buses = EventBuses(stores.resources, config.services.targets)
        await buses.load()
        consumer = Consumer(journal, stores.resources, _sinks(config, stores, totals, buses))
        logs = LogsHub(stores.resources, config.services.targets)
        kinds = {
            **_delivery_kinds(config, stores, background, totals),
            **log_deliveries(stores, background, logs),
            **event_deliveries(stores, background, buses, config.services),
        }
        deliveries = JobRunner(stores.database, kinds, node=socket.gethostname())
        deliveries.listen_to(stores.resources)
        queues = QueueHub(stores.resources)
        trails = Trails(config, stores, consumer.catch_up)
        await trails.load()
        yield Records(
            journal=journal,
            followers=await _open_followers(config, totals, stack),
            keeps_prompts=config.records.requests and config.records.prompts,
            observing=Observing(
                background=background,
                catch_up=consumer.catch_up,
                sends_mail=config.mail is not None,
                queues=queues,
                logs=logs,
                events=buses,
            ),
            consumer=consumer,
            trails=trails,
            deliveries=deliveries,
            totals=totals,
            queues=queues,
            logs=logs,
            retention=Retention(stores.database, config.records.metric_days),
            alarms=AlarmWatch(stores.resources, consumer.catch_up, telling(buses)),
        )


def open_recorder(records: Records, stores: Stores, catalog: Callable[[], Catalog]) -> Recorder:
    """``catalog`` gives the one of the moment."""

    def find(account: str, region: str, model_id: str) -> Invocation | None:
        return find_invocation(catalog(), stores.models, Place(account, region, ""), model_id)

    def keeps_content(account: str, region: str) -> bool:
        if records.keeps_prompts:
            return True
        place = Place(account, region, "default")
        return stores.models.find(LoggingConfiguration, place) is not None

    recorder = Recorder(records.journal, records.trails.render, find, keeps_content)
    recorder.followers.extend(records.followers)
    return recorder


async def _open_followers(
    config: Config, totals: Totals, stack: AsyncExitStack
) -> Sequence[Follower]:
    followers: list[Follower] = []
    if config.records.requests:
        requests = await asyncio.to_thread(RequestLog, config.data_dir, config.records)
        stack.callback(requests.close)
        followers.append(requests)
    tracer = await asyncio.to_thread(open_tracer, config.telemetry, totals)
    if tracer is not None:
        tracer.start()
        stack.push_async_callback(tracer.close)
        followers.append(tracer)
    return followers


def _sinks(config: Config, stores: Stores, totals: Totals, buses: EventBuses) -> Sequence[Sink]:
    return [
        RuntimeMetrics(totals),
        TrailIndex(),
        ManagementEvents(buses),
        invocation_spool(config, stores),
    ]


def _delivery_kinds(
    config: Config, stores: Stores, background: Background, totals: Totals
) -> Mapping[str, JobKind]:
    return {
        **invocation_deliveries(config, stores, background, totals),
        **alarm_deliveries(stores, background),
        **trail_deliveries(stores, background),
        **topic_deliveries(stores, background, config.mail, lambda: find_public_url(config)),
    }
