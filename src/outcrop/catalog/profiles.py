"""Cross-region inference profiles of the system: where the calls of one may go."""

from collections.abc import Sequence

from outcrop.catalog.geographies import is_in
from outcrop.catalog.model import Model


def destinations(
    model: Model, geography: str, region: str, regions: Sequence[str]
) -> tuple[str, ...]:
    """Those of the deployment's ``regions`` that are in the geography and offer the model, the
    calling ``region`` first if it is one of them. Where the deployment names none of the
    geography, the calling region is the only one: it is asked here, so it is served here. Empty
    where the profile does not exist."""
    if not is_in(region, geography) or geography not in model.profiles:
        return ()
    found = [each for each in dict.fromkeys(regions) if is_in(each, geography)] or [region]
    offered = [each for each in found if not model.regions or each in model.regions]
    return tuple(sorted(offered, key=lambda each: each != region))
