"""The engines of this deployment by name: built when first asked for, held within a memory budget.

An engine stays the same object as long as the pool lives; only its process comes and goes. Of those
with an adapter, the ones asked last stay. Engines that are reserved belong to whoever had them
built: the pool neither gives nor closes them.
"""

import asyncio
import functools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from outcrop.config import EngineConfig, Llama, Upstream
from outcrop.engines.adapters import Adapters
from outcrop.engines.budget import MemoryBudget
from outcrop.engines.building import Builder, kind_of
from outcrop.engines.modelfiles import ModelStore
from outcrop.engines.placement import OnDemand, Reserved
from outcrop.engines.protocol import Engine, EngineBusy, EngineNotReady
from outcrop.engines.reserved import Gated, Process, ReservedEngine

if TYPE_CHECKING:
    from outcrop.engines.llama.engine import LlamaEngine

_MIB = 2**20
_MOST_FITTED = 64
"""Engines with an adapter, on demand. Each has at least a queue of its own."""

RETRY_AFTER_S = 10.0
"""How long an engine that failed is asked after the others; then one request tries it first."""


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    not_before: float


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """``ready`` is false while something must be done first; ``problem`` then says what.
    ``failure`` is why the engine's last request found it gone, until one is answered again."""

    name: str
    kind: str
    model: str
    ready: bool
    loaded: bool
    running: int
    waiting: int
    memory_bytes: int
    problem: str = ""
    failure: str = ""


class EnginePool:
    def __init__(
        self,
        configs: Mapping[str, EngineConfig],
        *,
        cache_dir: Path,
        memory_mib: int,
        adapters: Adapters | None = None,
    ) -> None:
        self._configs = configs
        self._budget = MemoryBudget(memory_mib * _MIB)
        self._builder = Builder(configs, ModelStore(cache_dir), self._budget, adapters)
        self._engines: dict[_Key, Engine] = {}
        self._building = asyncio.Lock()
        self._closed = False
        self._failures: dict[str, _Failure] = {}
        self._placement = OnDemand()
        self._taken: set[str] = set()

    def failed(self, name: str, reason: str) -> None:
        """A request found the engine gone or not ready."""
        self._failures[name] = _Failure(reason, time.monotonic() + RETRY_AFTER_S)

    def answered(self, name: str) -> None:
        self._failures.pop(name, None)

    def by_health(self, names: Sequence[str]) -> list[str]:
        """In their order, but those that failed a moment ago last."""
        now = time.monotonic()
        return sorted(
            names,
            key=lambda name: name in self._failures and now < self._failures[name].not_before,
        )

    async def get(
        self,
        name: str,
        model: str | None = None,
        model_id: str | None = None,
        adapter: str | None = None,
    ) -> Engine:
        """The engine ``name``; ``model`` is its name for one of several models it serves,
        ``adapter`` the ARN of the custom model that it answers as. AWS itself calls a model by
        ``model_id`` where no other name is given.

        Raises EngineFailed when there is none, EngineNotReady when its model's files are missing
        or its adapter cannot be opened.
        """
        if model is None and _is_unnamed_upstream(self._configs.get(name)):
            model = model_id
        key = _Key(name, model, adapter)
        self._require_free(name)
        if key not in self._engines:
            async with self._building:
                if self._closed:
                    raise EngineNotReady("the engines are shutting down")
                # Again: it may have been taken while another was built.
                self._require_free(name)
                if key not in self._engines:
                    self._engines[key] = await self._build_on_demand(key)
        if adapter is not None:
            # Those asked last are at the end.
            self._engines[key] = self._engines.pop(key)
        return self._engines[key]

    async def drop_adapter(self, adapter: str) -> None:
        """Nobody is given an engine on demand with it from now on, unless it is asked for anew.
        Returns when those that had it have answered what they were asked, and are gone."""
        async with self._building:
            keys = [key for key in self._engines if key.adapter == adapter]
            engines = [self._engines.pop(key) for key in keys]
        await asyncio.gather(*(_end(engine) for engine in engines))

    def status(self) -> list[EngineStatus]:
        """Every configured engine, used or not."""
        return [self._describe(name, config) for name, config in self._configs.items()]

    async def build_reserved(
        self,
        name: str,
        instance: str,
        cpus: tuple[int, ...],
        model: str | None = None,
        adapter: str | None = None,
    ) -> ReservedEngine:
        """Another engine of the configuration ``name``, on these CPUs alone where there are any.
        It is not started. ``instance`` tells it from others in messages and in the budget of
        memory, which it holds until it is closed."""
        config = self.config(name, model)
        placement = Reserved(cpus) if cpus else OnDemand(kept=True)
        label = f"{name} of {instance}"
        engine = await self._builder.build(name, config, placement, label=label, adapter=adapter)
        freed = functools.partial(self._budget.release_name, label)
        return ReservedEngine(engine, cpus, freed)

    async def keep_off(self, cpus: Collection[int]) -> None:
        """From now on engines on demand use the other CPUs only. Returns when those that ran on
        one of these have left it: after the requests that they were answering."""
        self._placement.leave(cpus)
        engines = [engine for engine in self._engines.values() if isinstance(engine, Process)]
        await asyncio.gather(*(engine.move() for engine in engines))

    async def take(self, name: str) -> None:
        """No request on demand uses the engine from now on. Returns when those that ran on it have
        ended."""
        self.config(name)
        self._taken.add(name)
        async with self._building:
            keys = [key for key in self._engines if key.name == name]
            engines = [self._engines.pop(key) for key in keys]
        for engine in engines:
            if isinstance(engine, Gated):
                engine.gate.close()
                await engine.gate.drained()
            await engine.close()

    def give_back(self, name: str) -> None:
        self._taken.discard(name)

    def fingerprint(self, name: str, model: str | None = None) -> str:
        """Tells the weights behind an engine from others: by the model file of an embedded one, by
        the name that an OpenAI-compatible server has for them; empty where nothing is known. Raises
        what ``get`` does."""
        return self._builder.fingerprint(name, model)

    def weights(self, name: str) -> tuple[Path, str | None]:
        """The model file of an engine of llama.cpp, and the chat format of ours that it uses in
        place of the file's own. Raises what ``get`` does."""
        return self._builder.weights(name)

    async def close(self) -> None:
        """Drain and stop every engine."""
        async with self._building:
            self._closed = True
            engines, self._engines = list(self._engines.values()), {}
        await asyncio.gather(*(engine.close() for engine in engines))

    def config(self, name: str, model: str | None = None) -> EngineConfig:
        """Raises EngineFailed where there is none."""
        return self._builder.config(name, model)

    def _require_free(self, name: str) -> None:
        if name in self._taken:
            raise EngineNotReady(f"engine {name!r} is taken whole by provisioned throughput")

    async def _build_on_demand(self, key: "_Key") -> Engine:
        config = self.config(key.name, key.model)
        if key.adapter is None:
            return await self._builder.build(key.name, config, self._placement)
        await self._make_place()
        label = f"{key.name} with {key.adapter.rpartition('/')[2]}"
        return await self._builder.build(
            key.name, config, self._placement, label=label, adapter=key.adapter
        )

    async def _make_place(self) -> None:
        """For one more engine with an adapter. Raises EngineBusy where each of them answers."""
        fitted = [(key, one) for key, one in self._engines.items() if key.adapter is not None]
        if len(fitted) < _MOST_FITTED:
            return
        for key, engine in fitted:
            if not isinstance(engine, Gated) or engine.gate.idle:
                del self._engines[key]
                await engine.close()
                return
        raise EngineBusy(f"{len(fitted)} custom models are answering requests on demand")

    def _describe(self, name: str, config: EngineConfig) -> EngineStatus:
        engines = [engine for key, engine in self._engines.items() if key.name == name]
        is_embedded = isinstance(config, Llama)
        embedded = cast("list[LlamaEngine]", engines if is_embedded else [])
        problem = self._builder.problem(name, config)
        return EngineStatus(
            name=name,
            kind=kind_of(config),
            model=str(getattr(config, "model", None) or ""),
            ready=not problem,
            loaded=any(engine.is_loaded for engine in embedded) if is_embedded else bool(engines),
            running=sum(engine.gate.running for engine in embedded),
            waiting=sum(engine.gate.waiting for engine in embedded),
            memory_bytes=self._budget.held_by({name, *(engine.name for engine in engines)}),
            problem=problem,
            failure=self._failures[name].reason if name in self._failures else "",
        )


class _Key(NamedTuple):
    name: str
    model: str | None
    adapter: str | None


async def _end(engine: Engine) -> None:
    """Of one that nobody is given any more: who runs in it or waits for it is answered first."""
    try:
        if isinstance(engine, Gated):
            await engine.gate.drained()
    finally:
        await engine.close()


def _is_unnamed_upstream(config: EngineConfig | None) -> bool:
    return isinstance(config, Upstream) and config.model is None
