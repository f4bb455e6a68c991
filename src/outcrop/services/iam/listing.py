"""IAM's lists: filtered by path, a page at a time, several lists as one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from outcrop.services.call import Call
from outcrop.wire.paging import page
from outcrop.wire.spec import Pagination

_ENTRIES: Final = "entries"
_AS_ONE: Final = Pagination("Marker", "Marker", "MaxItems", _ENTRIES, "IsTruncated")


def listed(call: Call, params: Mapping[str, Any], items: Sequence[Any]) -> dict[str, Any]:
    """The page of ``items`` that is asked for."""
    return page(call.operation, params, items)


def listed_together(
    call: Call, params: Mapping[str, Any], lists: Mapping[str, Iterable[Any]]
) -> dict[str, Any]:
    """One page over several lists, one after the other; each is named by its member."""
    entries = [{"list": name, "item": item} for name, items in lists.items() for item in items]
    found = page(replace(call.operation, pagination=_AS_ONE), params, entries)
    result: dict[str, Any] = {name: [] for name in lists}
    for entry in found.pop(_ENTRIES):
        result[entry["list"]].append(entry["item"])
    return {**result, **found}


def starts_with(path: str, params: Mapping[str, Any]) -> bool:
    return path.startswith(params.get("PathPrefix", "/"))
