"""The records of one topic in memory, for those who look at them with every request.

Kept with every write of this process before the write is answered; with those of others soon after.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from outcrop.stores.resources import Change, Item, Place, Record, Resources

R = TypeVar("R", bound=Record)


class Mirror:
    """``version`` counts changes: what was derived from an older one may be wrong. ``on_change`` is
    called after each, whoever made it."""

    def __init__(self, resources: Resources, topic: str, types: Sequence[type[Record]]) -> None:
        self._resources = resources
        self._types = tuple(types)
        self._items: dict[type[Record], dict[Place, Item[Any]]] = {}
        self._by_arn: dict[str, Item[Any]] = {}
        self.version = 0
        self.on_change: Callable[[], None] = _nothing
        self._take(())
        resources.listen(topic, self._changed, self.load)

    def find(self, type: type[R], place: Place) -> Item[R] | None:
        return self._items[type].get(place)

    def find_arn(self, arn: str) -> Item[Any] | None:
        return self._by_arn.get(arn)

    def list(
        self, type: type[R], *, account: str | None = None, region: str | None = None
    ) -> list[Item[R]]:
        """By account, region and name."""
        found = [
            cast("Item[R]", item)
            for place, item in self._items[type].items()
            if account in (None, place.account) and region in (None, place.region)
        ]
        return sorted(found, key=lambda item: (item.place.account, item.place.region, item.name))

    async def load(self) -> None:
        self._take(await self._resources.snapshot(*self._types))

    def _take(self, items: Iterable[Item[Any]]) -> None:
        self._items = {type: {} for type in self._types}
        self._by_arn = {}
        for item in items:
            self._put(item)
        self.version += 1
        self.on_change()

    def _put(self, item: Item[Any]) -> None:
        self._items[cast("type[Record]", type(item.record))][item.place] = item
        if item.arn is not None:
            self._by_arn[item.arn] = item

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.type not in self._items:
                continue
            before = self._items[change.type].pop(change.place, None)
            if before is not None and before.arn is not None:
                self._by_arn.pop(before.arn, None)
            if change.item is not None:
                self._put(change.item)
            self.version += 1
        self.on_change()


def _nothing() -> None:
    pass
