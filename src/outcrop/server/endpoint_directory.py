"""The private endpoints in memory: what authorization asks at each request that came through one.

Kept with every write of this process, so a changed policy decides the next request.
"""

from collections.abc import Callable, Sequence

from outcrop.authorization.access import Endpoint
from outcrop.stores.network_records import TOPIC, VpcEndpoint
from outcrop.stores.resources import Change, Item, Resources


class EndpointDirectory:
    """``on_change`` is called after endpoints have changed."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._by_id: dict[str, Endpoint] = {}
        self._regions: dict[str, str] = {}
        self.on_change: Callable[[], None] = _nothing
        resources.listen(TOPIC, self._changed, self.load)

    def find(self, endpoint_id: str) -> Endpoint | None:
        return self._by_id.get(endpoint_id)

    def find_region(self, endpoint_id: str) -> str | None:
        return self._regions.get(endpoint_id)

    async def load(self) -> None:
        items = await self._resources.snapshot(VpcEndpoint)
        self._by_id = {item.name: _endpoint(item) for item in items}
        self._regions = {item.name: item.place.region for item in items}
        self.on_change()

    def _changed(self, changes: Sequence[Change]) -> None:
        ours = [change for change in changes if change.type is VpcEndpoint]
        for change in ours:
            if change.item is None:
                self._by_id.pop(change.place.name, None)
                self._regions.pop(change.place.name, None)
            else:
                self._by_id[change.place.name] = _endpoint(change.item)
                self._regions[change.place.name] = change.place.region
        if ours:
            self.on_change()


def _endpoint(item: Item[VpcEndpoint]) -> Endpoint:
    return Endpoint(item.name, item.parent, item.place.account, item.record.policy)


def _nothing() -> None:
    pass
