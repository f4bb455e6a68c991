"""The geographies of cross-region inference profiles: a profile answers only in its own regions.

``us.anthropic.…`` asked for in eu-west-1 is an invalid model identifier, as in AWS.
"""

from collections.abc import Mapping
from typing import Final

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
