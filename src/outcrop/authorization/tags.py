"""Tags as condition keys: what a request would put on a resource, and what it would take away."""

from collections.abc import Iterable, Mapping
from typing import Any, cast


def read_tags(tags: Any) -> dict[str, str]:
    """Tags as AWS's services send them: a map, or a list of structures with key and value in any
    spelling (``Key``, ``key``, ``TagKey``)."""
    if isinstance(tags, Mapping):
        return dict(cast(Mapping[str, str], tags))
    read: dict[str, str] = {}
    for tag in cast(Iterable[Mapping[str, str]], tags or ()):
        named = {name.lower().removeprefix("tag"): value for name, value in tag.items()}
        # A tag without a key is the handler's to refuse.
        if "key" in named:
            read[named["key"]] = named.get("value", "")
    return read


def request_tag_keys(tags: Any) -> dict[str, str | tuple[str, ...]]:
    """``aws:requesttag/<key>`` and ``aws:tagkeys``; none where the request has no tags."""
    read = read_tags(tags)
    if not read:
        return {}
    keys: dict[str, str | tuple[str, ...]] = {
        f"aws:requesttag/{key.lower()}": value for key, value in read.items()
    }
    return {**keys, "aws:tagkeys": tuple(read)}


def removed_tag_keys(names: Iterable[str]) -> dict[str, str | tuple[str, ...]]:
    return {"aws:tagkeys": tuple(names)}
