"""The rules of tags that every taggable resource of Bedrock shares. Keys differ by case; the prefix
``aws:`` is taken in any case."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from outcrop.errors import TooManyTagsException, ValidationException

MAX_TAGS: Final = 50


def read_tags(tags: Sequence[Mapping[str, str]] | None, resource: str) -> dict[str, str]:
    """The tags of a request, for a resource that has none yet. ``resource`` is its ARN, or its
    name where it is still to be made: the error about too many of them tells it."""
    read: dict[str, str] = {}
    for tag in tags or ():
        key = tag["key"]
        if key in read:
            raise ValidationException(f"The tag key {key!r} is given twice. Give each key once.")
        read[key] = tag["value"]
    refuse_reserved(read)
    require_few(read, resource)
    return read


def refuse_reserved(keys: Iterable[str]) -> None:
    if any(key.lower().startswith("aws:") for key in keys):
        # AWS's own words, which services that keep tags by its tagging service share.
        raise ValidationException("aws: prefixed tag key names are not allowed for external use.")


def require_few(tags: Mapping[str, str], resource: str) -> None:
    """``tags`` are all that the resource would have."""
    if len(tags) > MAX_TAGS:
        raise TooManyTagsException(
            f"{resource} would have {len(tags)} tags. A resource has at most {MAX_TAGS}.",
            resourceName=resource,
        )
