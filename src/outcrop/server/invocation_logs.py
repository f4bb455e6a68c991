"""What collects and delivers invocation logs, put together for one deployment."""

import time
from collections.abc import Mapping
from typing import Final

from outcrop.config import Config
from outcrop.invocations.delivery import Deliveries
from outcrop.invocations.spool import InvocationSpool
from outcrop.jobs.queue import JobKind
from outcrop.metrics.bedrock import delivery_sample
from outcrop.metrics.names import NAMESPACE
from outcrop.metrics.store import add
from outcrop.metrics.totals import Key, Totals
from outcrop.services.background import Background
from outcrop.services.bedrock.invocation_destinations import InvocationDestinations
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Transaction

_FOLDER: Final = "invocations"


def invocation_spool(config: Config, stores: Stores) -> InvocationSpool:
    return InvocationSpool(config.data_dir / _FOLDER, stores.models)


def invocation_deliveries(
    config: Config, stores: Stores, background: Background, totals: Totals
) -> Mapping[str, JobKind]:
    async def count(
        transaction: Transaction, owner: tuple[str, str], name: str, number: int
    ) -> None:
        sample = delivery_sample(name, int(time.time()), number)
        await add(transaction.connection, *owner, NAMESPACE, [sample])
        totals.add(name, Key(*owner, ""), number)

    destinations = InvocationDestinations(stores, background)
    folder = config.data_dir / _FOLDER
    return Deliveries(folder, stores.resources, destinations, count).job_kinds()
