"""The store of one deployment, and the data keys of its objects that were opened lately."""

from collections import OrderedDict
from dataclasses import dataclass, field

from outcrop.config import Config
from outcrop.identity import Sealer
from outcrop.objects.external import ExternalStore
from outcrop.objects.protocol import ObjectStore, StoreAnswer, StoreNotReady, StoreRequest
from outcrop.objects.seaweed import SeaweedStore

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
    async def send(self, request: StoreRequest) -> StoreAnswer:
        raise StoreNotReady("There is no object store here.")

    async def close(self) -> None:
        pass


NO_OBJECTS = Objects(_NoStore(), is_own=True)


def open_objects(config: Config, sealer: Sealer) -> Objects:
    """Nothing is started or asked before the first request."""
    external = config.services.s3
    if external.endpoint is not None:
        store = ExternalStore(external.endpoint, external)
        is_private = external.endpoint.startswith("https://")
        return Objects(store, is_own=False, is_private=is_private)
    return Objects(SeaweedStore(config.data_dir, sealer), is_own=True)
