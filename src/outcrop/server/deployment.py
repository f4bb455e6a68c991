"""Everything a running gateway holds: configuration, identities, catalog, engines, routes.

``open_deployment`` builds it from the bottom up and takes it down in reverse.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from outcrop.authorization.authorizer import Authorizer
from outcrop.authorization.table import FIND_FACTS
from outcrop.catalog.catalog import Catalog
from outcrop.catalog.load import load_catalog
from outcrop.config import Config, ConfigError
from outcrop.engines.pool import EnginePool
from outcrop.identity import Caller
from outcrop.objects.objects import Objects, open_objects
from outcrop.objects.protocol import ObjectsError
from outcrop.security.sessions import Credentials
from outcrop.server.adapters import SealedAdapters, sweep_artifacts
from outcrop.server.background import DeploymentBackground
from outcrop.server.custom_models import custom_model_jobs
from outcrop.server.customizing import open_customizing
from outcrop.server.endpoint_directory import EndpointDirectory
from outcrop.server.flow_delivery import FlowDelivery
from outcrop.server.flow_recorder import FlowRecorder
from outcrop.server.gateway import Gateway
from outcrop.server.health import HealthWatch, Issue, engine_issues
from outcrop.server.observing import Records, open_recorder, open_records
from outcrop.server.recorder import Recorder
from outcrop.server.serving import open_serving
from outcrop.server.state import State, open_state
from outcrop.services import handlers
from outcrop.services.bedrock.customization.ending import Ending
from outcrop.services.call import Call
from outcrop.services.serving import Serving
from outcrop.stores.artifacts import Artifacts
from outcrop.stores.bindings import TOPIC as BINDINGS
from outcrop.stores.bucket_records import Bucket
from outcrop.stores.directory import DataDirectory
from outcrop.stores.watch import ChangeWatcher
from outcrop.wire.http import Request
from outcrop.wire.routing import Router
from outcrop.wire.spec import Operation, load_service

log = logging.getLogger(__name__)

SERVICES = (
    *("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime"),
    *("iam", "sts", "kms", "secretsmanager", "ec2", "s3", "health"),
    *("service-quotas", "support", "cloudwatch", "logs", "events", "sns", "sqs", "cloudtrail"),
)

_ASKED_FIRST = ("bedrock-runtime",)
"""The services whose handlers are imported at the start."""


@dataclass
class Deployment:
    """``catalog`` is replaced whole when a binding changes."""

    config: Config
    state: State
    credentials: Credentials
    router: Router
    catalog: Catalog
    engines: EnginePool
    gateway: Gateway
    objects: Objects
    endpoints: EndpointDirectory
    serving: Serving
    records: Records
    recorder: Recorder

    def __post_init__(self) -> None:
        self._zones = self.config.zone_letters()
        self.flows = FlowRecorder(self.state.stores.resources, FlowDelivery(self).put)

    async def reload_bindings(self) -> None:
        """Another process changed a binding; one that cannot hold is logged, the old ones stay."""
        stored = await self.state.stores.bindings.list_bindings()
        try:
            self.catalog = self.catalog.with_bindings(stored)
        except ConfigError as error:
            log.error("the bindings were not changed: %s", error)

    def call(
        self,
        operation: Operation,
        caller: Caller,
        region: str,
        request: Request,
        request_id: str,
        now: datetime,
    ) -> Call:
        """One request on its way to its handler."""
        return Call(
            operation=operation,
            caller=caller,
            region=region,
            request_id=request_id,
            request=request,
            catalog=self.catalog,
            engines=self.engines,
            unsupported=self.config.unsupported,
            stores=self.state.stores,
            gateway=self.gateway,
            serving=self.serving,
            observing=self.records.observing,
            now=now,
            objects=self.objects,
            zones=self._zones,
        )

    def issues(self) -> Iterable[Issue]:
        """What does not work now."""
        yield from engine_issues(self.engines.status(), self.config, self.catalog)
        for problem in self.serving.capacity.problems():
            yield Issue(service="BEDROCK", source=problem.partition(" ")[0], description=problem)
        if self.objects.store.failure is not None:
            description = f"The object store does not run: it {self.objects.store.failure}"
            yield Issue(service="S3", source="objects", description=description)


@asynccontextmanager
async def open_deployment(config: Config) -> AsyncGenerator[Deployment]:
    async with AsyncExitStack() as stack:
        directory = DataDirectory(config.data_dir)
        directory.prepare()
        stack.enter_context(directory.serving())
        state = await stack.enter_async_context(
            open_state(config.data_dir, os.environ, config.master_key)
        )
        stores = state.stores
        artifacts = Artifacts(config.data_dir / "artifacts")
        await sweep_artifacts(stores.resources, artifacts)
        background = DeploymentBackground(lambda: deployment)
        engines = EnginePool(
            config.engine_configs(),
            cache_dir=config.cache_dir,
            memory_mib=config.engine_memory_mib,
            adapters=SealedAdapters(stores.models, artifacts, background),
        )
        stack.push_async_callback(engines.close)
        catalog = load_catalog(config).with_bindings(await state.stores.bindings.list_bindings())
        credentials = Credentials(stores.directory, stores.sealer, stores.directory.is_current)
        endpoints = EndpointDirectory(stores.resources)
        await endpoints.load()
        records = await stack.enter_async_context(open_records(config, stores, background))
        recorder = open_recorder(records, stores, lambda: deployment.catalog)
        gateway = Gateway(Authorizer(state.stores, FIND_FACTS, endpoints.find), recorder)
        objects = open_objects(config, stores.sealer)
        stack.push_async_callback(objects.close)
        async with stores.resources.reading() as view:
            if await view.list(Bucket):
                starting = asyncio.create_task(_start(objects), name="outcrop-objects")
                stack.push_async_callback(_end, starting)
        serving = await stack.enter_async_context(
            open_serving(
                config,
                stores,
                engines,
                catalog,
                lambda: deployment.catalog,
                custom_model_jobs(
                    stores, engines, artifacts, background, lambda: deployment.catalog
                ),
            )
        )
        # Nothing is awaited in between: what was started there finds the deployment.
        deployment = Deployment(
            config=config,
            state=state,
            credentials=credentials,
            router=_router(),
            catalog=catalog,
            engines=engines,
            gateway=gateway,
            objects=objects,
            endpoints=endpoints,
            serving=serving,
            records=records,
            recorder=recorder,
        )
        records.start()
        stack.push_async_callback(records.close)
        watcher = ChangeWatcher(
            state.stores.database,
            {BINDINGS: deployment.reload_bindings, **state.stores.resources.reloads},
            state.stores.directory.flush,
            versions=state.stores.resources.versions,
        )
        watcher.start()
        stack.push_async_callback(watcher.close)
        health = HealthWatch(stores.resources, config.server.region, deployment.issues)
        health.start()
        stack.push_async_callback(health.close)
        ending = Ending(
            stores,
            background,
            records.observing.events,
            artifacts,
            config.data_dir,
            lambda: deployment.catalog,
        )
        await stack.enter_async_context(open_customizing(config, stores, engines, serving, ending))
        yield deployment


async def _start(objects: Objects) -> None:
    """Beside the rest: a server is ready before its store is, and requests wait for it."""
    try:
        await objects.store.start()
    except ObjectsError as error:
        log.warning("%s", error)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _router() -> Router:
    services = [load_service(name) for name in SERVICES]
    for name in _ASKED_FIRST:
        handlers.load(name)
    return Router(services)
