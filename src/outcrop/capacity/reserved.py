"""The capacity behind provisioned throughput: engines of their own, on CPUs of their own.

Changes come one after another; requests look up their engine without waiting for any.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Final, cast

from sqlalchemy.exc import SQLAlchemyError

from outcrop.capacity.capacity import CapacityShort, Pool
from outcrop.capacity.cpus import CpuLedger
from outcrop.capacity.places import Places
from outcrop.capacity.rates import START_WAIT_S, Rates
from outcrop.capacity.seats import Held, Purchase, Seat, Served, Turn
from outcrop.capacity.served_models import model_of_arn
from outcrop.catalog.catalog import Catalog, NoSuchModel
from outcrop.catalog.model import Model
from outcrop.config import Capacity as CapacityConfig
from outcrop.engines.fitting import AdapterUnavailable
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import Engine, EngineError, EngineNotReady
from outcrop.engines.reserved import ReservedEngine
from outcrop.stores.failures import StoreError
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import ModelUnit, ProvisionedModel
from outcrop.stores.resources import Item, Resources

log = logging.getLogger(__name__)

_RETRY_S: Final = 30.0
_LOOK_S: Final = 1.0
_SERVING: Final = ("InService", "Updating")


class ReservedCapacity:
    """``cpus`` are the machine's, where they are not to be asked for."""

    def __init__(
        self,
        pool: EnginePool,
        resources: Resources,
        models: Mirror,
        get_catalog: Callable[[], Catalog],
        config: CapacityConfig,
        cpus: Sequence[int] | None = None,
    ) -> None:
        self._engines = pool
        self._models = models
        self._get_catalog = get_catalog
        self._ledger = CpuLedger(config.cpus, cpus)
        self._places = Places(pool, resources, self._ledger, config.replicas)
        self._seats: dict[str, Seat] = {}
        self._missing: dict[str, str] = {}
        self._changing = asyncio.Lock()
        self._built = 0
        self._tasks = set[asyncio.Task[None]]()
        self._restarting = set[ReservedEngine]()
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False
        models.on_change = self._release_orphans

    def engine(self, arn: str) -> Engine:
        return Turn(self.seat(arn))

    def seat(self, arn: str) -> Seat:
        """Raises EngineNotReady where there is none."""
        seat = self._seats.get(arn)
        if seat is None:
            raise EngineNotReady(f"{arn} has no engine now. {self._missing.get(arn, '')}".rstrip())
        return seat

    def pool(self) -> Pool:
        return Pool(
            self._ledger.cpus,
            self._ledger.reservable,
            self._ledger.by_holder(),
            {
                name: (rate.input_per_s, rate.output_per_s)
                for name, rate in self.rates.known.items()
            },
        )

    @property
    def rates(self) -> Rates:
        return self._places.rates

    def problems(self) -> list[str]:
        """The throughputs in service that have no engine, and why."""
        failures = {arn: seat.reserved.failure for arn, seat in self._seats.items()}
        missing = {**failures, **self._missing}
        return [f"{arn} is not served: {why}" for arn, why in missing.items() if why]

    async def reserve(self, arn: str, model: Model, units: int, unit: ModelUnit) -> None:
        purchase, served = Purchase(arn, units, unit), _served(model)
        async with self._changing:
            if arn in self._seats:
                return
            self._require_open()
            held = await self._places.take(purchase, served.engine)
            try:
                engine = await self._start(arn, served, held)
            except BaseException:
                await self._places.give_back(arn, held)
                raise
            self._seats[arn] = Seat(purchase, held, engine, served)
            self._missing.pop(arn, None)
            if self._keeping is None:
                self._keeping = self._spawn(self._keep())
            if held.cpus:
                await self._places.remember(arn, served.engine, held.cpus)

    async def swap(self, arn: str, model: Model) -> None:
        served = _served(model)
        if arn in self._missing:
            # After a restart it may be the last of many that are started again.
            await self._restore_one(arn)
        async with self._changing:
            self._require_open()
            seat = self.seat(arn)
            if seat.served == served:
                return
            await self._places.require_room(seat, served.engine)
            new = await self._start(arn, served, seat.held)
            if self._seats.get(arn) is not seat:
                await new.close()
                raise EngineNotReady(f"{arn} was given back before its new engine was ready.")
            replacing = self._spawn(seat.replace(new, served))
            if seat.held.cpus:
                await self._places.remember(arn, served.engine, seat.held.cpus)
        # Who stops waiting does not undo it.
        await asyncio.shield(replacing)

    async def release(self, arn: str) -> None:
        """Returns at once: the CPUs go back when the engine has ended what it has begun."""
        self._missing.pop(arn, None)
        seat = self._seats.pop(arn, None)
        if seat is not None:
            self._spawn(self._retire(seat))
        await self._places.forget(arn)

    async def restore(self) -> None:
        """Begins to give every throughput in service its engine again, with what it had."""
        for item in self._models.list(ProvisionedModel):
            if item.arn is not None and item.record.status in _SERVING:
                self._missing.setdefault(item.arn, "")
        for arn in await self._places.remembered():
            if self._models.find_arn(arn) is None:
                await self._places.forget(arn)
        if self._missing:
            self._spawn(self._restore())

    async def close(self) -> None:
        """Ends every engine, as a deployment does that stops."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        async with self._changing:
            seats, self._seats = list(self._seats.values()), {}
        await asyncio.gather(*(seat.reserved.close() for seat in seats))

    def _release_orphans(self) -> None:
        """Of throughputs that went without being deleted one by one, as with their account."""
        for arn in [arn for arn in self._seats if self._models.find_arn(arn) is None]:
            self._spawn(self.release(arn))

    def _require_open(self) -> None:
        if self._closed:
            raise EngineNotReady("The engines are shutting down.")

    async def _start(self, arn: str, served: Served, held: Held) -> ReservedEngine:
        self._built += 1
        engine = await self._engines.build_reserved(
            held.replica or served.engine,
            f"{arn.rpartition(':')[2]} ({self._built})",
            held.cpus,
            served.model,
            served.adapter,
        )
        try:
            await engine.start(START_WAIT_S)
        except BaseException:
            await engine.close()
            raise
        return engine

    async def _keep(self) -> None:
        """Starts what crashed again before anybody asks for it; its supervisor says how soon."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for engine in [seat.reserved for seat in self._seats.values()]:
                if engine.failure and engine not in self._restarting:
                    self._restarting.add(engine)
                    self._spawn(self._restart(engine))

    async def _restart(self, engine: ReservedEngine) -> None:
        """What fails is among the problems. An adapter that cannot be opened is not asked for each
        second: neither is the key that it is under."""
        try:
            with suppress(EngineError):
                try:
                    await engine.start(START_WAIT_S)
                except AdapterUnavailable:
                    await asyncio.sleep(_RETRY_S)
        finally:
            self._restarting.discard(engine)

    async def _retire(self, seat: Seat) -> None:
        try:
            await seat.end()
        finally:
            async with self._changing:
                if not self._closed:
                    await self._places.give_back(seat.purchase.arn, seat.held)

    async def _restore(self) -> None:
        while self._missing:
            for arn in list(self._missing):
                try:
                    await self._restore_one(arn)
                except (StoreError, SQLAlchemyError) as error:
                    log.warning("%s was not looked at; trying again: %s", arn, error)
            if self._missing:
                await asyncio.sleep(_RETRY_S)

    async def _restore_one(self, arn: str) -> None:
        item = self._find_serving(arn)
        if item is None:
            self._missing.pop(arn, None)
            return
        record = item.record
        try:
            model = model_of_arn(self._models, self._get_catalog(), record.model, item.place.region)
            await self.reserve(arn, model, record.units, record.unit)
        except (CapacityShort, EngineError, NoSuchModel) as error:
            if self._missing.get(arn) != str(error):
                log.warning("%s has no engine: %s", arn, error)
            self._missing[arn] = str(error)
        if self._find_serving(arn) is None:
            # It was released before there was anything to release.
            await self.release(arn)

    def _find_serving(self, arn: str) -> Item[ProvisionedModel] | None:
        item = self._models.find_arn(arn)
        if item is None or item.record.status not in _SERVING:
            return None
        return cast("Item[ProvisionedModel]", item)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _served(model: Model) -> Served:
    if model.engine is None:
        raise CapacityShort(f"No engine serves {model.id!r} in this deployment.")
    return Served(model.engine, model.engine_model, model.adapter)
