"""Data keys in memory: few, and not for long, so that what KMS refuses soon holds."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

_KEPT_S: Final = 300.0
_MOST: Final = 1024


class OpenKey(NamedTuple):
    """``name`` is the record's, under which events say what sealed them."""

    name: str
    plaintext: bytes


class DataKeys:
    """The key that a group's events are sealed with now, by group and KMS key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: OrderedDict[tuple[int, str], tuple[OpenKey, float]] = OrderedDict()

    def find(self, group_id: int, kms_key: str) -> OpenKey | None:
        found = self._keys.get((group_id, kms_key))
        if found is None:
            return None
        key, until = found
        if self._clock() >= until:
            del self._keys[group_id, kms_key]
            return None
        return key

    def put(self, group_id: int, kms_key: str, key: OpenKey) -> None:
        self._keys[group_id, kms_key] = (key, self._clock() + _KEPT_S)
        self._keys.move_to_end((group_id, kms_key))
        while len(self._keys) > _MOST:
            self._keys.popitem(last=False)
