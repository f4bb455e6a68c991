"""The rules of tags that every taggable resource of Bedrock shares. Keys differ by case; the prefix
``aws:`` is taken in any case."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from outcrop.errors import TooManyTagsException, ValidationException
from outcrop.quotas.book import TAGS_PER_RESOURCE
from outcrop.services.call import Call

MAX_TAGS: Final = 50
"""Of a resource, unless the account was given more."""


def most_tags(call: Call) -> int:
    """What a resource of the account may have here."""
    return int(call.serving.book.value(call.account, call.region, TAGS_PER_RESOURCE))


def read_tags(
    tags: Sequence[Mapping[str, str]] | None, resource: str, most: int = MAX_TAGS
) -> dict[str, str]:
    """The tags of a request, for a resource that has none yet. ``resource`` is its ARN, or its
    name where it is still to be made: the error about too many of them tells it."""
    read: dict[str, str] = {}
    for tag in tags or ():
        key = tag["key"]
        if key in read:
            raise ValidationException(f"The tag key {key!r} is given twice. Give each key once.")
        read[key] = tag["value"]
    refuse_reserved(read)
    require_few(read, resource, most)
    return read


def refuse_reserved(keys: Iterable[str]) -> None:
    if any(key.lower().startswith("aws:") for key in keys):
        # AWS's own words, which services that keep tags by its tagging service share.
        raise ValidationException("aws: prefixed tag key names are not allowed for external use.")


def require_few(tags: Mapping[str, str], resource: str, most: int = MAX_TAGS) -> None:
    """``tags`` are all that the resource would have."""
    if len(tags) > most:
        raise TooManyTagsException(
            f"{resource} would have {len(tags)} tags. A resource has at most {most}.",
            resourceName=resource,
        )
