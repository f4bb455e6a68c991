"""An adapter on a server that takes LoRA while it runs, as vLLM does.

The server reads the files itself, from a folder that both see; they lie there, for it alone to
read, from the question to the answer. https://docs.vllm.ai/en/latest/features/lora/
"""

import asyncio
import logging
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from outcrop.engines.fitting import Fitting
from outcrop.engines.openai.http import Client
from outcrop.engines.openai.peers import ModelList
from outcrop.engines.protocol import EngineError, EngineFailed, EngineNotReady

log = logging.getLogger(__name__)

_PREFIX: Final = "adapter-"
_STALE_S: Final = 3600.0
_UNLOAD_S: Final = 5.0


class LoadedAdapter:
    """``model`` is what the server calls it by, ``base`` what it calls the weights below. A custom
    model never changes, so that a server that has its name has its weights, unless another put them
    there: what is found is replaced. A server is believed only what it lists."""

    def __init__(
        self, engine: str, client: Client, fitting: Fitting, folder: str | None, base: str | None
    ) -> None:
        if folder is None:
            raise EngineFailed(
                f"engine {engine!r} cannot serve custom models: the setting lora_dir of its "
                "configuration is to name a folder in memory that its server reads too"
            )
        self.model = f"outcrop-{fitting.id}"
        self._client = client
        self._fitting = fitting
        self._base = base
        self._folder = Path(folder)
        self._loading = asyncio.Lock()
        self._loads = 0
        self._may_be_there = False
        self._closed = False

    async def load(self, after: int = 0) -> int:
        """Has the server load it, unless it did more than ``after`` times. Returns how many times
        it has."""
        async with self._loading:
            if self._closed:
                raise EngineNotReady(f"engine {self._fitting.engine!r} is shutting down")
            if self._loads <= after:
                await self._load()
                self._loads += 1
            return self._loads

    async def unload(self) -> None:
        """As far as the server is there, and soon. It is not loaded again."""
        self._closed = True
        try:
            async with asyncio.timeout(_UNLOAD_S), self._loading:
                # What is being loaded would otherwise be there once this is over.
                if self._may_be_there:
                    await self._unload()
        except TimeoutError:
            engine = self._fitting.engine
            log.warning(
                "engine %r did not unload %s in time: it may have it still", engine, self.model
            )
        except EngineError as error:
            # It is gone, or has forgotten the adapter: either way it has it no more.
            log.info("engine %r did not unload %s: %s", self._fitting.engine, self.model, error)

    async def _load(self) -> None:
        engine = self._fitting.engine
        await self._fitting.facts()
        if self._base not in await self._listed():
            raise EngineFailed(
                f"the server of engine {engine!r} has other weights than {self._base!r}, which the "
                f"custom model {self._fitting.name} was trained on"
            )
        await self._offer(await self._fitting.read_peft())
        if self.model not in await self._listed():
            raise EngineFailed(
                f"the server of engine {engine!r} says that it took an adapter, and lists none"
            )

    async def _listed(self) -> set[str]:
        listed = await self._client.get(f"{self._client.url}/models", ModelList)
        return {each.id for each in listed.data}

    async def _offer(self, files: Mapping[str, bytes]) -> None:
        folder = self._folder / f"{_PREFIX}{secrets.token_hex(8)}"
        writing = asyncio.ensure_future(asyncio.to_thread(_write, folder, files))
        try:
            await asyncio.shield(writing)
            await self._tell_of(folder)
        except OSError as error:
            raise EngineFailed(
                f"engine {self._fitting.engine!r}: an adapter cannot be put into lora_dir: {error}"
            ) from error
        finally:
            # Also where the request is cancelled nothing is left behind.
            await asyncio.shield(_remove(writing, folder))

    async def _tell_of(self, folder: Path) -> None:
        body = {"lora_name": self.model, "lora_path": str(folder)}
        url = f"{self._client.url}/load_lora_adapter"
        # From here on: who stops waiting for the answer does not know what the server did.
        self._may_be_there = True
        try:
            await self._client.tell(url, body)
        except EngineFailed:
            # A server that has the name already refuses it.
            with suppress(EngineFailed):
                await self._unload()
            try:
                await self._client.tell(url, body)
            except EngineFailed as error:
                raise EngineFailed(
                    f"the server of engine {self._fitting.engine!r} does not take adapters while "
                    f"it runs, or not this one: {error}"
                ) from error

    async def _unload(self) -> None:
        url = f"{self._client.url}/unload_lora_adapter"
        await self._client.tell(url, {"lora_name": self.model})


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder.parent)
    folder.mkdir(mode=0o700)
    for name, data in files.items():
        if Path(name).name != name:
            raise OSError(f"{name!r} is not the name of a file")
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(data)


def _sweep(parent: Path) -> None:
    """What a gateway left that was killed while its server read."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_S:
                shutil.rmtree(folder)


async def _remove(writing: asyncio.Future[None], folder: Path) -> None:
    await asyncio.wait([writing])
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
