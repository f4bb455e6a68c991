"""What an engine process loads: a model's file and, where it has one, an adapter to go with it.

The gateway itself reads no more of the file than its header, once.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.config import Llama
from outcrop.engines.budget import Holder, MemoryBudget, Shared
from outcrop.engines.fitting import Fitting
from outcrop.engines.gguf import GgufError, GgufModel, read_gguf
from outcrop.engines.protocol import EngineError, EngineFailed
from outcrop.prompting.errors import TemplateError
from outcrop.prompting.templates import ChatTemplate, choose

# What the engine needs beside weights and cache: buffers of one batch, the vocabulary, itself.
_OVERHEAD_BYTES = 96 * 2**20


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of the model once its file is read. ``working_bytes`` is the memory that a
    process takes beside the file's."""

    gguf: GgufModel
    template: ChatTemplate
    file_bytes: int
    working_bytes: int


class Weights:
    """``template`` names a format of ours; without, the model's own is used. ``refusal`` is why the
    adapter could not be had for the last start, where it could not."""

    def __init__(
        self, name: str, config: Llama, file: Path, template: str | None, fitting: Fitting | None
    ) -> None:
        self.file = file
        self.refusal: str | None = None
        self._name = name
        self._config = config
        self._template = template
        self._fitting = fitting
        self._model: Model | None = None

    @property
    def served_by(self) -> str:
        return f"llama.cpp/{self.file.stem}" + (f"+{self._fitting.id}" if self._fitting else "")

    async def load(self) -> Model:
        if self._model is None:
            self._model = await asyncio.to_thread(self._read)
        return self._model

    async def reserve(self, holder: Holder, budget: MemoryBudget) -> None:
        """Room for a process. One with an adapter adds no more than this and what it works with:
        the pages of the file are the same for all of them."""
        model = await self.load()
        if self._fitting is None:
            await budget.reserve(holder, model.file_bytes + model.working_bytes)
            return
        with self._refusals():
            adapter_bytes = (await self._fitting.facts()).size_bytes
        file = Shared(str(self.file), model.file_bytes)
        await budget.reserve(holder, adapter_bytes + model.working_bytes, file)

    async def read_adapter(self, fitting: Fitting) -> bytes:
        with self._refusals():
            # Anew for each start: the model may have gone since, or its key.
            await fitting.facts()
            data = await fitting.read_gguf()
        self.refusal = None
        return data

    @contextmanager
    def _refusals(self) -> Generator[None]:
        try:
            yield
        except EngineError as error:
            self.refusal = f"could not start: {error}"
            raise

    def _read(self) -> Model:
        try:
            gguf = read_gguf(self.file)
            size = self.file.stat().st_size
        except (OSError, GgufError) as error:
            raise EngineFailed(f"engine {self._name!r} cannot read its model: {error}") from error
        cache = gguf.cache_bytes_per_token * self._config.context * self._config.slots
        template = _chat_template(self._template, gguf, self._name)
        return Model(gguf, template, size, cache + _OVERHEAD_BYTES)


def _chat_template(template: str | None, gguf: GgufModel, engine: str) -> ChatTemplate:
    try:
        return choose(
            template, gguf.chat_template, gguf.bos_token, gguf.eos_token, gguf.control_tokens
        )
    except TemplateError as error:
        raise EngineFailed(f"engine {engine!r}: {error}") from error
