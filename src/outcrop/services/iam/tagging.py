"""Tags of IAM's resources. Their keys are one whatever their case; a later one replaces it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from outcrop.errors import ServiceError

MAX_TAGS: Final = 50

_RESERVED: Final = "aws:"


def parse_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The tags of a request, which may name a key once."""
    keys = [tag["Key"].casefold() for tag in tags]
    if len(set(keys)) < len(keys):
        raise ServiceError(
            "InvalidInput",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        )
    if any(key.startswith(_RESERVED) for key in keys):
        raise ServiceError(
            "InvalidInput", "Caller is an end user and not allowed to mutate system tags."
        )
    return _bounded({tag["Key"]: tag["Value"] for tag in tags})


def with_tags(tags: Mapping[str, str], added: Sequence[Mapping[str, str]]) -> dict[str, str]:
    new = parse_tags(added)
    return _bounded({**without_tags(tags, new), **new})


def without_tags(tags: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    gone = {key.casefold() for key in keys}
    return {key: value for key, value in tags.items() if key.casefold() not in gone}


def render_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _bounded(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise ServiceError(
            "LimitExceeded", "The number of tags has reached the maximum limit.", status=409
        )
    return tags
