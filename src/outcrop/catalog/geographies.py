"""The geographies of cross-region inference profiles: a profile answers only in its own regions.

``us.anthropic.…`` asked for in eu-west-1 is an invalid model identifier, as in AWS.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from outcrop.catalog.model import Model

# Beginnings of region names. AWS lists ca-* as sources of the US profiles, il-* of the European and
# me-* of the Asian ones.
_REGIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "us": ("us-east-", "us-west-", "ca-"),
    "us-gov": ("us-gov-",),
    "eu": ("eu-", "il-"),
    "apac": ("ap-", "me-"),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4", "ap-southeast-6"),
    "global": ("",),
}


def is_in(region: str, geography: str) -> bool:
    return region.startswith(_REGIONS[geography])


def destinations(
    model: Model, geography: str, region: str, regions: Sequence[str]
) -> tuple[str, ...]:
    """Where calls of a profile may go: those of the deployment's ``regions`` that are in the
    geography and offer the model, the calling ``region`` first if it is one of them. Where the
    deployment names none of the geography, the calling region is the only one: it is asked here,
    so it is served here. Empty where the profile does not exist."""
    if geography not in model.profiles or not is_in(region, geography):
        return ()
    found = [each for each in dict.fromkeys(regions) if is_in(each, geography)] or [region]
    offered = [each for each in found if not model.regions or each in model.regions]
    return tuple(sorted(offered, key=lambda each: each != region))


def regions_of(model_arns: Sequence[str], region: str, regions: Sequence[str]) -> tuple[str, ...]:
    """Where the models of an inference profile may run: in the regions of their ARNs, or in all of
    the deployment's ``regions`` where an ARN has none, the calling ``region`` first."""
    named = [arn.split(":", 4)[3] for arn in model_arns]
    found = [one for each in named for one in ((each,) if each else regions)]
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each != region))
