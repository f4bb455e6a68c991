"""The quotas of the service: what there are, their defaults, and what each account has of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from outcrop.catalog.model import Model
from outcrop.stores.resources import Resources

BASE_MODEL_UNITS: Final = "model-units-base"
CUSTOM_MODEL_UNITS: Final = "model-units-custom"
NO_COMMITMENT_UNITS: Final = "model-units-no-commitment"


@dataclass(frozen=True, slots=True)
class Quota:
    """``code`` is Service Quotas' (``L-`` and eight hexadecimal digits); ``key`` is ours."""

    key: str
    code: str
    name: str
    default: float
    adjustable: bool
    period: Literal["MINUTE"] | None = None


class QuotaBook:
    def __init__(self, resources: Resources, models: Sequence[Model]) -> None:
        raise NotImplementedError

    async def load(self) -> None:
        """What accounts have of their own; taken in again whenever it changes."""
        raise NotImplementedError

    def all(self) -> Sequence[Quota]:
        raise NotImplementedError

    def find(self, code: str) -> Quota | None:
        raise NotImplementedError

    def value(self, account: str, region: str, key: str) -> float:
        """What was approved for the account in the region, else the default."""
        raise NotImplementedError

    def per_minute(
        self, account: str, region: str, model: Model, unit: Literal["requests", "tokens"]
    ) -> int | None:
        """For on-demand calls of the model (a variant counts as its base); None: no quota."""
        raise NotImplementedError
