"""Builds engines from their configuration: where their files are, what they are fitted with."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from outcrop.config import ConfigError, EngineConfig, Llama, Onnx, OpenAI, Scripted, Upstream
from outcrop.engines.adapters import Adapters
from outcrop.engines.budget import MemoryBudget
from outcrop.engines.fingerprints import tell_file
from outcrop.engines.fitting import Fitting
from outcrop.engines.kinds import engine_class
from outcrop.engines.modelfiles import ModelFiles, ModelStore, UnknownModel
from outcrop.engines.placement import Placement
from outcrop.engines.protocol import Engine, EngineFailed, EngineNotReady

if TYPE_CHECKING:
    from outcrop.engines.llama.engine import LlamaEngine


class Builder:
    """What it builds takes its memory from ``budget``."""

    def __init__(
        self,
        configs: Mapping[str, EngineConfig],
        store: ModelStore,
        budget: MemoryBudget,
        adapters: Adapters | None,
    ) -> None:
        self._configs = configs
        self._store = store
        self._budget = budget
        self._adapters = adapters

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

    async def build(
        self,
        name: str,
        config: EngineConfig,
        placement: Placement,
        *,
        label: str | None = None,
        adapter: str | None = None,
    ) -> Engine:
        """The engine ``name``, which is called ``label`` where there are several. Raises
        EngineError, also where the adapter is not there or is for other weights."""
        label = label or name
        fitting = await self._fit(name, config, label, adapter)
        made = await engine_class(config)
        try:
            match config:
                case Llama():
                    return self._llama(label, config, made, placement, fitting)
                case Onnx():
                    files = self._files(label, config)
                    await self._budget.reserve(_Resident(label), files.size_bytes)
                    return made(label, config, files, placement)
                case OpenAI() | Scripted():
                    return made(label, config, fitting=fitting)
                case Upstream():
                    return made(label, config)
        except ConfigError as error:
            raise EngineFailed(str(error)) from error

    def fingerprint(self, name: str, model: str | None = None) -> str:
        """Tells the weights behind an engine from others: by the model file of an embedded one, by
        the name that an OpenAI-compatible server has for them; empty where nothing is known. Raises
        what ``get`` does. Reads the file where it was changed."""
        config = self.config(name, model)
        if isinstance(config, OpenAI):
            return config.model or ""
        if not isinstance(config, Llama | Onnx):
            return ""
        if isinstance(config, Llama) and (path := _own_file(config.model)) is not None:
            _require(name, path)
            return tell_file(path)
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

    def problem(self, name: str, config: EngineConfig) -> str:
        """What must be done before it can be built, if anything."""
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

    async def _fit(
        self, name: str, config: EngineConfig, label: str, adapter: str | None
    ) -> Fitting | None:
        if adapter is None:
            return None
        if not isinstance(config, Llama | OpenAI | Scripted):
            raise EngineFailed(f"engine {name!r} cannot take the adapters of custom models")
        if self._adapters is None:
            raise EngineFailed("no adapters of custom models are kept here")
        model = config.model if isinstance(config, OpenAI) else None
        if isinstance(config, OpenAI) and model is None:
            raise EngineFailed(
                f"engine {name!r} cannot serve custom models: nothing tells which weights are "
                "behind it. The setting model of its configuration is to name them as its server "
                "does"
            )
        base = functools.partial(self.fingerprint, name, model)
        fitting = Fitting(self._adapters, adapter, base, label)
        await fitting.facts()
        return fitting

    def _llama(
        self,
        name: str,
        config: Llama,
        made: "type[LlamaEngine]",
        placement: Placement,
        fitting: Fitting | None,
    ) -> Engine:
        path, template = self._weights(name, config)
        return made(
            name,
            config,
            path,
            template=template,
            budget=self._budget,
            placement=placement,
            fitting=fitting,
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
        if files.model.kind != kind_of(config):
            raise EngineFailed(
                f"engine {name!r}: {config.model!r} is a model of kind {files.model.kind!r}"
            )
        return files


class _Resident:
    """Memory that is held until the pool closes."""

    idle = False
    last_used = 0.0

    def __init__(self, name: str) -> None:
        self.name = name

    async def unload(self) -> None:
        raise RuntimeError(f"{self.name} was taken for idle")


def kind_of(config: EngineConfig) -> str:
    """As the configuration calls it."""
    return str(type(config).__struct_config__.tag)


def _own_file(model: str) -> Path | None:
    """The path, if ``model`` is one and not a known name."""
    return Path(model).expanduser() if model.endswith(".gguf") or "/" in model else None


def _require(name: str, path: Path) -> None:
    if not path.is_file():
        raise EngineNotReady(f"the model file of engine {name!r} is missing: {path}")
