"""The quotas of the service and what each account has of them, in memory for who enforces them.

A value is what was approved for the account in the region, else the default there.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from outcrop.catalog.model import Model
from outcrop.quotas.definitions import RATE_UNITS, Quota as Quota, RateUnit, define
from outcrop.stores.mirror import Mirror
from outcrop.stores.quota_records import TOPIC, QuotaValue
from outcrop.stores.resources import Place, Resources

BASE_MODEL_UNITS: Final = "model-units-base"
CUSTOM_MODEL_UNITS: Final = "model-units-custom"
NO_COMMITMENT_UNITS: Final = "model-units-no-commitment"
TAGS_PER_RESOURCE: Final = "tags-per-resource"
CUSTOMIZATION_JOBS: Final = "customization-jobs"
CUSTOM_MODELS: Final = "custom-models"

_SIZES: Final = {"Megabytes": 1024**2, "Gigabytes": 1024**3}
_MAX_CACHED: Final = 50_000

Limit = tuple[str, str, str]


class Rate(msgspec.Struct, frozen=True):
    """``bucket`` names what is counted: the same for all calls that share the quota."""

    bucket: str
    per_minute: int
    unit: RateUnit


class QuotaBook:
    """What is derived from the mirror is kept until the mirror changes."""

    def __init__(self, resources: Resources, models: Sequence[Model]) -> None:
        definitions = define(models)
        self._by_key = definitions.by_key
        self._rates = definitions.rates
        self._sorted = sorted(self._by_key.values(), key=lambda quota: quota.name)
        self._by_code = {quota.code: quota for quota in self._sorted}
        self._mirror = Mirror(resources, TOPIC, (QuotaValue,))
        self._values: dict[Limit, float] = {}
        self._limits: dict[Limit, tuple[Rate, ...]] = {}
        self._version = self._mirror.version

    async def load(self) -> None:
        """What accounts have of their own; taken in again whenever it changes."""
        await self._mirror.load()

    def all(self) -> Sequence[Quota]:
        """By name."""
        return self._sorted

    def find(self, code: str) -> Quota | None:
        return self._by_code.get(code)

    def find_key(self, key: str) -> Quota | None:
        return self._by_key.get(key)

    def value(self, account: str, region: str, key: str) -> float:
        """What was approved for the account in the region, else the default."""
        if self._version != self._mirror.version or len(self._values) >= _MAX_CACHED:
            self._forget()
        limit = (account, region, key)
        value = self._values.get(limit)
        if value is None:
            approved = self._mirror.find(QuotaValue, Place(account, region, key))
            value = approved.record.value if approved else self._by_key[key].default_in(region)
            self._values[limit] = value
        return value

    def size_bytes(self, account: str, region: str, key: str) -> int:
        """Of a quota that is stated in megabytes or gigabytes."""
        return int(self.value(account, region, key) * _SIZES[self._by_key[key].unit])

    def rate_key(self, model: Model, unit: RateUnit) -> str | None:
        """Under which calls of the model are limited: the same for all IDs that share a quota."""
        return self._rates.get((model.base_id or model.id, unit))

    def rates(self, account: str, region: str, model: Model) -> tuple[Rate, ...]:
        """What calls of the model on demand are limited by."""
        if self._version != self._mirror.version or len(self._limits) >= _MAX_CACHED:
            self._forget()
        place = (account, region, model.id)
        rates = self._limits.get(place)
        if rates is None:
            rates = tuple(
                Rate(f"{account}/{region}/{key}", int(self.value(account, region, key)), unit)
                for unit in RATE_UNITS
                if (key := self.rate_key(model, unit)) is not None
            )
            self._limits[place] = rates
        return rates

    def _forget(self) -> None:
        self._version = self._mirror.version
        self._values.clear()
        self._limits.clear()
