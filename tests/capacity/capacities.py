"""A reserved capacity over a store of its own, and short ways to ask what it gives."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from outcrop.capacity.reserved import ReservedCapacity
from outcrop.catalog.catalog import Catalog
from outcrop.catalog.model import Model
from outcrop.config import Capacity, EngineConfig, Scripted, load
from outcrop.engines.adapters import Adapters
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import Engine, EngineNotReady
from outcrop.generation import Finished, Generation, Sampling, Text, Turn
from outcrop.security.masterkey import MasterKey
from outcrop.stores.database import Database
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import MIRRORED, ModelUnit, ProvisionedModel
from outcrop.stores.resources import Place, Resources

ACCOUNT = "123456789012"
REGION = "us-east-1"
UNIT = ModelUnit(input_tokens=60, output_tokens=6)
"""Little enough for one CPU of any machine."""
HUGE = ModelUnit(input_tokens=60_000_000, output_tokens=6_000_000)
SCRIPTED: dict[str, EngineConfig] = {"script": Scripted(), "other": Scripted()}
# The end-of-text token of SmolLM2, which may never be drawn.
_ENDLESS = Sampling(temperature=0.0, logit_bias=((2, -100.0),))


def arn(name: str) -> str:
    return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:provisioned-model/{name}"


def model(engine: str | None, engine_model: str | None = None, adapter: str | None = None) -> Model:
    return Model(
        id="outcrop.test",
        name="Test",
        provider="Outcrop",
        dialect="openai_chat",
        input_modalities=("TEXT",),
        output_modalities=("TEXT",),
        engine=engine,
        engine_model=engine_model,
        adapter=adapter,
    )


@dataclass
class Opened:
    capacity: ReservedCapacity
    engines: EnginePool
    resources: Resources
    models: Mirror
    configs: dict[str, EngineConfig]
    config: Capacity
    cpus: Sequence[int] | None

    async def bought(self, name: str, status: Any = "InService") -> None:
        """As the record of a throughput stands in the store."""
        record = ProvisionedModel(
            units=1,
            desired_units=1,
            model=f"arn:aws:bedrock:{REGION}::foundation-model/outcrop.test",
            desired_model=f"arn:aws:bedrock:{REGION}::foundation-model/outcrop.test",
            foundation_model="outcrop.test",
            unit=UNIT,
            status=status,
        )
        async with self.resources.writing() as transaction:
            await transaction.add(record, Place(ACCOUNT, REGION, name), arn=arn(name))

    async def change(self, name: str, **fields: Any) -> None:
        place = Place(ACCOUNT, REGION, name)
        async with self.resources.writing() as transaction:
            item = await transaction.get(ProvisionedModel, place)
            record = msgspec.structs.replace(item.record, **fields)
            await transaction.put(_with(item, record))

    async def remove(self, name: str) -> None:
        async with self.resources.writing() as transaction:
            await transaction.remove(ProvisionedModel, Place(ACCOUNT, REGION, name))

    async def reopen(self, served_by: str, cpus: Sequence[int] | None = None) -> None:
        """As after a restart, on a machine with these CPUs; its model is bound to ``served_by``."""
        await self.capacity.close()
        catalog = Catalog([model(served_by)], engines=self.configs)
        self.capacity = ReservedCapacity(
            self.engines, self.resources, self.models, lambda: catalog, self.config, cpus
        )


def _with(item: Any, record: Any) -> Any:
    return type(item)(record, item.place, item.parent, item.arn, item.tags)


@asynccontextmanager
async def open_capacity(
    folder: Path,
    configs: dict[str, EngineConfig],
    config: Capacity | None = None,
    cpus: Sequence[int] | None = None,
    memory_mib: int = 1024,
    adapters: Adapters | None = None,
) -> AsyncGenerator[Opened]:
    database = await Database.open(folder / "outcrop.db")
    resources = Resources(database, MasterKey(bytes(32)))
    models = Mirror(resources, "bedrock", MIRRORED)
    engines = EnginePool(
        configs, cache_dir=load().cache_dir, memory_mib=memory_mib, adapters=adapters
    )
    config = config or Capacity()
    catalog = Catalog([model(next(iter(configs)))], engines=configs)
    capacity = ReservedCapacity(engines, resources, models, lambda: catalog, config, cpus)
    opened = Opened(capacity, engines, resources, models, configs, config, cpus)
    try:
        yield opened
    finally:
        await opened.capacity.close()
        await engines.close()
        await database.close()


def asking(text: str, tokens: int = 1, *, endless: bool = False) -> Generation:
    turns = (Turn("user", (Text(text),)),)
    sampling = _ENDLESS if endless else Sampling(temperature=0.0)
    return Generation(turns=turns, max_tokens=tokens, sampling=sampling)


async def answered(engine: Engine, generation: Generation) -> int:
    """The tokens of a whole answer."""
    events = [event async for event in engine.generate(generation)]
    last = events[-1]
    assert isinstance(last, Finished)
    return last.output_tokens


async def served(capacity: ReservedCapacity, name: str) -> bool:
    try:
        capacity.engine(arn(name))
    except EngineNotReady:
        return False
    return True


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(6000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")
