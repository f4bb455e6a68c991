"""Opens what decides whether, where and how much models answer: quotas, capacity, jobs, the ledger.

It starts after the stores and stops before the engines.
"""

import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from outcrop.billing.accrual import Accrual
from outcrop.billing.meter import LedgerMeter
from outcrop.billing.prices import Prices
from outcrop.capacity.provisioning import job_kinds
from outcrop.capacity.reserved import ReservedCapacity
from outcrop.catalog.catalog import Catalog
from outcrop.config import Config
from outcrop.engines.pool import EnginePool
from outcrop.jobs.queue import JobKind
from outcrop.jobs.runner import JobRunner
from outcrop.quotas.book import QuotaBook
from outcrop.quotas.opening import open_limiter
from outcrop.services.serving import Serving
from outcrop.stores.opened import Stores


@asynccontextmanager
async def open_serving(
    config: Config,
    stores: Stores,
    engines: EnginePool,
    first: Catalog,
    catalog: Callable[[], Catalog],
    kinds: Mapping[str, JobKind],
) -> AsyncGenerator[Serving]:
    """``catalog`` gives the one of the moment, once the event loop goes on; ``first`` is now's.
    ``kinds`` are jobs that are done here besides those of capacity."""
    async with AsyncExitStack() as stack:
        book = QuotaBook(stores.resources, first.all())
        await book.load()
        limiter = await open_limiter(config.quotas)
        stack.push_async_callback(limiter.close)
        prices = {model.id: Prices.of(model) for model in first.all()}
        meter = LedgerMeter(stores.resources, prices.get)
        meter.start()
        stack.push_async_callback(meter.close)
        accrual = Accrual(stores.resources)
        accrual.start()
        stack.push_async_callback(accrual.close)
        capacity = ReservedCapacity(
            engines, stores.resources, stores.models, catalog, config.capacity
        )
        stack.push_async_callback(capacity.close)
        runner = JobRunner(
            stores.database,
            {**job_kinds(stores, capacity, catalog), **kinds},
            node=socket.gethostname(),
        )
        runner.listen_to(stores.resources)
        # The data directory, with the database, has one server at a time: this one.
        await runner.take_over()
        await capacity.restore()
        runner.start()
        stack.push_async_callback(runner.close)
        yield Serving(
            book=book,
            limiter=limiter,
            usage=meter,
            capacity=capacity,
            capacity_config=config.capacity,
            regions=config.regions,
            access_default=config.access.default,
            limits_rates=config.quotas.profile == "aws",
            training=config.training,
        )
