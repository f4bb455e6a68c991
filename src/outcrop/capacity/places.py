"""Finds a place for an engine that is bought: CPUs that nothing else uses, or a replica whole.

What is taken on this machine is left by engines on demand before anybody else runs there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from outcrop.capacity.capacity import CapacityShort
from outcrop.capacity.cpus import CpuLedger
from outcrop.capacity.rates import Rates, machine_id
from outcrop.capacity.seats import Held, Purchase, Seat
from outcrop.capacity.sizing import cpus_needed, require_cpu, shortage
from outcrop.config import Llama, Onnx, Scripted
from outcrop.engines.pool import EnginePool
from outcrop.stores.model_records import EngineRate, EngineReservation
from outcrop.stores.resources import Place, Resources


class Places:
    """Its changes are made one at a time. ``replicas`` are names of engines by engine."""

    def __init__(
        self,
        engines: EnginePool,
        resources: Resources,
        ledger: CpuLedger,
        replicas: Mapping[str, Sequence[str]],
    ) -> None:
        self.rates = Rates(engines, resources)
        self._engines = engines
        self._resources = resources
        self._ledger = ledger
        self._replicas = replicas
        self._taken: dict[str, str] = {}

    async def take(self, purchase: Purchase, engine: str) -> Held:
        """Raises ``CapacityShort``, or ``EngineError`` where the engine is not there."""
        if isinstance(self._engines.config(engine), Scripted):
            return Held()
        if not self._runs_on_cpus(engine):
            return await self._take_replica(purchase.arn, engine)
        before = await self._find_reservation(purchase.arn, engine)
        if before is None:
            return await self._take_cpus(purchase.arn, await self._size(purchase, engine))
        count, free = len(before.cpus), len(self._ledger.free)
        if count > free:
            raise CapacityShort(f"It had {count} CPUs of this machine; {free} can be reserved now.")
        return await self._take_cpus(purchase.arn, count)

    async def give_back(self, arn: str, held: Held) -> None:
        if held.replica is not None:
            self._taken.pop(held.replica, None)
            self._engines.give_back(held.replica)
        if held.cpus:
            self._ledger.give_back(arn)
            await self._engines.keep_off(self._ledger.reserved)

    async def require_room(self, seat: Seat, engine: str) -> None:
        """A model is swapped in its place: raises ``CapacityShort`` where it does not fit there."""
        if engine == seat.served.engine:
            return
        on_cpus = self._runs_on_cpus(engine)
        scripted = isinstance(self._engines.config(engine), Scripted)
        if seat.held.replica or bool(seat.held.cpus) != on_cpus or not (on_cpus or scripted):
            raise CapacityShort(
                f"What is held for the engine {seat.served.engine!r} cannot serve the engine "
                f"{engine!r}."
            )
        if on_cpus:
            purchase, has = seat.purchase, len(seat.held.cpus)
            rate = await self._rate(purchase.arn, engine)
            if cpus_needed(purchase.units, purchase.unit, rate) > has:
                raise CapacityShort(shortage(purchase.units, purchase.unit, engine, rate, has))

    async def remember(self, arn: str, engine: str, cpus: tuple[int, ...]) -> None:
        record = EngineReservation(machine=machine_id(), engine=engine, cpus=cpus)
        async with self._resources.writing() as transaction:
            before = await transaction.find(EngineReservation, _place(arn))
            if before is None:
                await transaction.add(record, _place(arn))
            else:
                await transaction.put(replace(before, record=record))

    async def forget(self, arn: str) -> None:
        async with self._resources.writing() as transaction:
            if await transaction.find(EngineReservation, _place(arn)) is not None:
                await transaction.remove(EngineReservation, _place(arn))

    async def remembered(self) -> list[str]:
        async with self._resources.reading() as view:
            return [item.name for item in await view.list(EngineReservation)]

    def _runs_on_cpus(self, engine: str) -> bool:
        config = self._engines.config(engine)
        if engine in self._replicas:
            return False
        return isinstance(config, Onnx) or (isinstance(config, Llama) and not config.gpu_layers)

    async def _find_reservation(self, arn: str, engine: str) -> EngineReservation | None:
        async with self._resources.reading() as view:
            item = await view.find(EngineReservation, _place(arn))
        if item is None or (item.record.machine, item.record.engine) != (machine_id(), engine):
            return None
        return item.record

    async def _size(self, purchase: Purchase, engine: str) -> int:
        rate = await self._rate(purchase.arn, engine)
        count, free = cpus_needed(purchase.units, purchase.unit, rate), len(self._ledger.free)
        if count > free:
            raise CapacityShort(shortage(purchase.units, purchase.unit, engine, rate, free))
        return count

    async def _rate(self, arn: str, engine: str) -> EngineRate:
        rate = await self.rates.find(engine)
        if rate is not None:
            return rate
        require_cpu(engine, len(self._ledger.free), len(self._ledger.reservable))
        holder = f"{arn} (measuring)"
        held = await self._take_cpus(holder, 1)
        try:
            return await self.rates.measure(engine, held.cpus[0])
        finally:
            await self.give_back(holder, held)

    async def _take_cpus(self, holder: str, count: int) -> Held:
        held = Held(self._ledger.take(holder, count))
        try:
            await self._engines.keep_off(self._ledger.reserved)
        except BaseException:
            await self.give_back(holder, held)
            raise
        return held

    async def _take_replica(self, arn: str, engine: str) -> Held:
        replicas = self._replicas.get(engine, ())
        if not replicas:
            raise CapacityShort(
                f"The engine {engine!r} does not run on CPUs of this machine, so nothing of it can "
                "be set aside here. Name engines that a throughput may take whole in the "
                f"configuration: [capacity] replicas = {{ {engine} = [...] }}."
            )
        free = [name for name in replicas if name not in self._taken]
        if not free:
            raise CapacityShort(
                f"Each replica of the engine {engine!r} ({', '.join(replicas)}) is taken by "
                "another throughput."
            )
        self._taken[free[0]] = arn
        held = Held(replica=free[0])
        try:
            await self._engines.take(free[0])
        except BaseException:
            await self.give_back(arn, held)
            raise
        return held


def _place(arn: str) -> Place:
    return Place("", "", arn)
