"""The engines of this deployment by name: built when first asked for, held within a memory budget.

An engine stays the same object as long as the pool lives; only its process comes and goes. Engines
that are reserved belong to whoever had them built: the pool neither gives nor closes them.
"""

import asyncio
import functools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from outcrop.config import ConfigError, EngineConfig, Llama, Onnx, OpenAI, Upstream
from outcrop.engines.budget import MemoryBudget
from outcrop.engines.kinds import engine_class
from outcrop.engines.modelfiles import ModelFiles, ModelStore, UnknownModel
from outcrop.engines.placement import OnDemand, Placement, Reserved
from outcrop.engines.protocol import Engine, EngineFailed, EngineNotReady
from outcrop.engines.reserved import Gated, Process, ReservedEngine

if TYPE_CHECKING:
    from outcrop.engines.llama.engine import LlamaEngine

_MIB = 2**20


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
        self, configs: Mapping[str, EngineConfig], *, cache_dir: Path, memory_mib: int
    ) -> None:
        self._configs = configs
        self._store = ModelStore(cache_dir)
        self._budget = MemoryBudget(memory_mib * _MIB)
        self._engines: dict[tuple[str, str | None], Engine] = {}
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

    async def get(self, name: str, model: str | None = None, model_id: str | None = None) -> Engine:
        """The engine ``name``; ``model`` is its name for one of several models it serves. AWS
        itself calls a model by ``model_id`` where no other name is given.

        Raises EngineFailed when there is none, EngineNotReady when its model's files are missing.
        """
        if model is None and _is_unnamed_upstream(self._configs.get(name)):
            model = model_id
        key = (name, model)
        if name in self._taken:
            raise EngineNotReady(f"engine {name!r} is taken whole by provisioned throughput")
        if key in self._engines:
            return self._engines[key]
        async with self._building:
            if self._closed:
                raise EngineNotReady("the engines are shutting down")
            if key not in self._engines:
                try:
                    config = self.config(name, model)
                    self._engines[key] = await self._build(name, config, self._placement)
                except ConfigError as error:
                    raise EngineFailed(str(error)) from error
            return self._engines[key]

    def status(self) -> list[EngineStatus]:
        """Every configured engine, used or not."""
        return [self._describe(name, config) for name, config in self._configs.items()]

    async def build_reserved(
        self, name: str, instance: str, cpus: tuple[int, ...], model: str | None = None
    ) -> ReservedEngine:
        """Another engine of the configuration ``name``, on these CPUs alone where there are any.
        It is not started. ``instance`` tells it from others in messages and in the budget of
        memory, which it holds until it is closed."""
        config = self.config(name, model)
        placement = Reserved(cpus) if cpus else OnDemand()
        label = f"{name} of {instance}"
        try:
            engine = await self._build(label, config, placement, kept=True)
        except ConfigError as error:
            raise EngineFailed(str(error)) from error
        freed = functools.partial(self._budget.release, _Resident(label))
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
            keys = [key for key in self._engines if key[0] == name]
            engines = [self._engines.pop(key) for key in keys]
        for engine in engines:
            if isinstance(engine, Gated):
                engine.gate.close()
                await engine.gate.drained()
            await engine.close()

    def give_back(self, name: str) -> None:
        self._taken.discard(name)

    def fingerprint(self, name: str) -> str:
        """Tells the model file of an embedded engine from any other. Raises what ``get`` does."""
        config = self.config(name)
        if not isinstance(config, Llama | Onnx):
            return ""
        if isinstance(config, Llama) and (path := _own_file(config.model)) is not None:
            _require(name, path)
            return f"{path.name}:{path.stat().st_size}"
        return next(
            file.sha256 for file in self._files(name, config).model.files if file.role == "model"
        )

    def weights(self, name: str) -> tuple[Path, str | None]:
        """The model file of an engine of llama.cpp, and the chat format of ours that it uses in
        place of the file's own. Raises what ``get`` does."""
        config = self.config(name)
        if not isinstance(config, Llama):
            raise EngineFailed(f"engine {name!r} has no model file here: it is no llama.cpp")
        return self._weights(name, config)

    async def close(self) -> None:
        """Drain and stop every engine."""
        async with self._building:
            self._closed = True
            engines, self._engines = list(self._engines.values()), {}
        await asyncio.gather(*(engine.close() for engine in engines))

    def config(self, name: str, model: str | None = None) -> EngineConfig:
        """Raises EngineFailed where there is none."""
        if name not in self._configs:
            raise EngineFailed(f"no engine is named {name!r} in this deployment's configuration")
        config = self._configs[name]
        if model is None:
            return config
        if isinstance(config, OpenAI | Upstream):
            return msgspec.structs.replace(config, model=model)
        raise EngineFailed(f"engine {name!r} serves one model: it cannot be bound to {model!r}")

    async def _build(
        self, name: str, config: EngineConfig, placement: Placement, *, kept: bool = False
    ) -> Engine:
        made = await engine_class(config)
        match config:
            case Llama():
                return self._llama(name, config, made, placement, kept=kept)
            case Onnx():
                files = self._files(name, config)
                await self._budget.reserve(_Resident(name), files.size_bytes)
                return made(name, config, files, placement)
            case _:
                return made(name, config)

    def _llama(
        self,
        name: str,
        config: Llama,
        made: "type[LlamaEngine]",
        placement: Placement,
        *,
        kept: bool,
    ) -> Engine:
        path, template = self._weights(name, config)
        return made(
            name,
            config,
            path,
            template=template,
            budget=self._budget,
            placement=placement,
            kept=kept,
        )

    def _weights(self, name: str, config: Llama) -> tuple[Path, str | None]:
        if (path := _own_file(config.model)) is not None:
            _require(name, path)
            return path, None
        files = self._files(name, config)
        return files.paths["model"], files.model.template

    def _files(self, name: str, config: Llama | Onnx) -> ModelFiles:
        try:
            files = self._store.find(config.model)
        except UnknownModel as error:
            raise EngineFailed(f"engine {name!r}: {error}") from error
        if files is None:
            raise EngineNotReady(
                f"the files of engine {name!r} are not on this machine yet; "
                f"fetch them with: outcrop models pull {config.model}"
            )
        if files.model.kind != _kind(config):
            raise EngineFailed(
                f"engine {name!r}: {config.model!r} is a model of kind {files.model.kind!r}"
            )
        return files

    def _describe(self, name: str, config: EngineConfig) -> EngineStatus:
        engines = [engine for (used, _), engine in self._engines.items() if used == name]
        is_embedded = isinstance(config, Llama)
        embedded = cast("list[LlamaEngine]", engines if is_embedded else [])
        problem = self._problem(name, config)
        return EngineStatus(
            name=name,
            kind=_kind(config),
            model=str(getattr(config, "model", None) or ""),
            ready=not problem,
            loaded=any(engine.is_loaded for engine in embedded) if is_embedded else bool(engines),
            running=sum(engine.gate.running for engine in embedded),
            waiting=sum(engine.gate.waiting for engine in embedded),
            memory_bytes=self._budget.held_by(name),
            problem=problem,
            failure=self._failures[name].reason if name in self._failures else "",
        )

    def _problem(self, name: str, config: EngineConfig) -> str:
        if not isinstance(config, Llama | Onnx):
            return ""
        try:
            if isinstance(config, Llama) and (path := _own_file(config.model)) is not None:
                _require(name, path)
            else:
                self._files(name, config)
        except (EngineFailed, EngineNotReady) as error:
            return str(error)
        return ""


class _Resident:
    """Memory that is held until the pool closes."""

    idle = False
    last_used = 0.0

    def __init__(self, name: str) -> None:
        self.name = name

    async def unload(self) -> None:
        raise RuntimeError(f"{self.name} was taken for idle")


def _is_unnamed_upstream(config: EngineConfig | None) -> bool:
    return isinstance(config, Upstream) and config.model is None


def _kind(config: EngineConfig) -> str:
    return str(type(config).__struct_config__.tag)


def _own_file(model: str) -> Path | None:
    """The path, if ``model`` is one and not a known name."""
    return Path(model).expanduser() if model.endswith(".gguf") or "/" in model else None


def _require(name: str, path: Path) -> None:
    if not path.is_file():
        raise EngineNotReady(f"the model file of engine {name!r} is missing: {path}")
