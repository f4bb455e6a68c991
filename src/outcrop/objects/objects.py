"""The store of one deployment, and the data keys of its objects that were opened lately."""

import asyncio
import importlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outcrop.config import Config
from outcrop.identity import Sealer
from outcrop.objects.protocol import ObjectStore, StoreAnswer, StoreNotReady, StoreRequest

_REMEMBERED = 4096


class Remembered(OrderedDict[str, bytes]):
    """The last few by name; what was not asked for longest goes first."""

    def __setitem__(self, name: str, value: bytes) -> None:
        super().__setitem__(name, value)
        self.move_to_end(name)
        if len(self) > _REMEMBERED:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Objects:
    """``data_keys`` are plaintexts by name of their record: who writes needs leave to generate a
    key, not to open one. ``is_own`` tells SeaweedFS from a store that is another's, ``is_private``
    whether a data key may go there with a request."""

    store: ObjectStore
    is_own: bool
    is_private: bool = True
    data_keys: Remembered = field(default_factory=Remembered)

    async def close(self) -> None:
        await self.store.close()


class _NoStore:
    failure = None

    async def start(self) -> None:
        pass

    async def send(self, request: StoreRequest) -> StoreAnswer:
        raise StoreNotReady("There is no object store here.")

    async def close(self) -> None:
        pass


NO_OBJECTS = Objects(_NoStore(), is_own=True)


class _OnFirstUse:
    """``build`` runs in a thread when the store is first asked: it imports an HTTP client, which
    the start of a gateway should not wait for."""

    def __init__(self, build: Callable[[], ObjectStore]) -> None:
        self._build = build
        self._building = asyncio.Lock()
        self._store: ObjectStore | None = None
        self._is_closed = False

    @property
    def failure(self) -> str | None:
        return self._store.failure if self._store is not None else None

    async def start(self) -> None:
        await (await self._built()).start()

    async def send(self, request: StoreRequest) -> StoreAnswer:
        return await (await self._built()).send(request)

    async def _built(self) -> ObjectStore:
        async with self._building:
            if self._is_closed:
                raise StoreNotReady("The object store is shutting down.")
            if self._store is None:
                self._store = await asyncio.to_thread(self._build)
            return self._store

    async def close(self) -> None:
        async with self._building:
            self._is_closed = True
        if self._store is not None:
            await self._store.close()


def _own_store(data_dir: Path, sealer: Sealer) -> ObjectStore:
    module: Any = importlib.import_module("outcrop.objects.seaweed")
    return module.SeaweedStore(data_dir, sealer)


def open_objects(config: Config, sealer: Sealer) -> Objects:
    """Nothing is started or asked yet."""
    external = config.services.s3
    if external.endpoint is not None:
        # At once: what is wrong with a profile shows when the gateway starts.
        module: Any = importlib.import_module("outcrop.objects.external")
        store = module.ExternalStore(external.endpoint, external)
        is_private = external.endpoint.startswith("https://")
        return Objects(store, is_own=False, is_private=is_private)
    store = _OnFirstUse(lambda: _own_store(config.data_dir, sealer))
    return Objects(store, is_own=True)
