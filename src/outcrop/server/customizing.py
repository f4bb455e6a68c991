"""Opens what does customization jobs. It starts when all that they ask for is there, and ends what
they run before any of that stops."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from outcrop.config import Config
from outcrop.engines.pool import EnginePool
from outcrop.jobs.runner import JobRunner
from outcrop.services.bedrock.customization.ending import Ending
from outcrop.services.bedrock.customization.orphans import retire_orphans
from outcrop.services.bedrock.customization.running import job_kinds
from outcrop.services.bedrock.customization.specs import Specs
from outcrop.services.serving import Serving
from outcrop.stores.opened import Stores


@asynccontextmanager
async def open_customizing(
    config: Config,
    stores: Stores,
    engines: EnginePool,
    serving: Serving,
    ending: Ending,
) -> AsyncGenerator[None]:
    """The leases of an earlier process are free by now: ``open_serving`` took them over."""
    await ending.sweep()
    await retire_orphans(stores, ending.background)
    specs = Specs(config, engines, serving.book)
    kinds = job_kinds(ending, specs, serving.capacity)
    runner = JobRunner(stores.database, kinds, node=socket.gethostname())
    runner.listen_to(stores.resources)
    runner.start()
    try:
        yield
    finally:
        await runner.close()
