"""The records of one kind in memory, by account and name."""

from collections.abc import Iterator
from typing import Generic

from outcrop.stores.resources import Item, Place, R


class Held(Generic[R]):
    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Item[R]]] = {}
        self._by_arn: dict[str, Item[R]] = {}

    def __iter__(self) -> Iterator[Item[R]]:
        for items in self._accounts.values():
            yield from items.values()

    def find(self, account: str, name: str) -> Item[R] | None:
        items = self._accounts.get(account)
        return items.get(name) if items else None

    def find_arn(self, arn: str) -> Item[R] | None:
        return self._by_arn.get(arn)

    def of(self, account: str, *, parent: str | None = None) -> list[Item[R]]:
        """By name, in the order that IAM lists: without regard to case."""
        items = self._accounts.get(account, {}).values()
        found = (item for item in items if parent is None or item.parent == parent)
        return sorted(found, key=lambda item: (item.name.lower(), item.name))

    def put(self, item: Item[R]) -> None:
        self.remove(item.place)
        self._accounts.setdefault(item.place.account, {})[item.name] = item
        if item.arn is not None:
            self._by_arn[item.arn] = item

    def remove(self, place: Place) -> None:
        old = self._accounts.get(place.account, {}).pop(place.name, None)
        # Whoever was renamed may have left its ARN to another.
        if old is not None and old.arn is not None and self._by_arn.get(old.arn) is old:
            del self._by_arn[old.arn]
