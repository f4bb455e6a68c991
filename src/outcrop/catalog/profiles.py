"""Cross-region inference profiles of the system: the models in them, and what they are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outcrop.catalog.arns import foundation_model_arn
from outcrop.catalog.geographies import destinations
from outcrop.catalog.model import Model

GLOBAL: Final = "global"
EVERYWHERE: Final = ""
"""The region of a model's ARN that stands for all."""

_NAMES: Final[Mapping[str, str]] = {GLOBAL: "Global", "us-gov": "US-GOV"}


@dataclass(frozen=True, slots=True)
class SystemProfile:
    geography: str
    model: Model

    @property
    def id(self) -> str:
        return f"{self.geography}.{self.model.id}"

    @property
    def name(self) -> str:
        """``US Anthropic Claude 3 Haiku``, as AWS names most of them."""
        return f"{_NAMES.get(self.geography, self.geography.upper())} {_full_name(self.model)}"

    def regions(self, region: str, regions: Sequence[str]) -> tuple[str, ...]:
        return destinations(self.model, self.geography, region, regions)

    def model_arns(self, region: str, regions: Sequence[str]) -> tuple[str, ...]:
        """Of the model in each region that calls from ``region`` may go to; a global profile has
        one without a region for all of them, and that of the calling region."""
        named = self.regions(region, regions)
        if self.geography == GLOBAL:
            named = (EVERYWHERE, *(each for each in named if each == region))
        return tuple(foundation_model_arn(each, self.model.id) for each in named)

    def description(self, region: str, regions: Sequence[str]) -> str:
        if self.geography == GLOBAL:
            where = "globally across all supported AWS Regions"
        else:
            where = f"in {_listed(sorted(self.regions(region, regions)))}"
        return f"Routes requests to {_full_name(self.model)} {where}."


def _full_name(model: Model) -> str:
    """With its provider, unless the model is named after it; Amazon's stand by themselves."""
    if model.provider == "Amazon" or model.name.startswith(model.provider):
        return model.name
    return f"{model.provider} {model.name}"


def _listed(names: Sequence[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
