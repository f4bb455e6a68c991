"""Batches: up to ten entries, each answered by itself under its own ID."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.errors import AWSError, ServiceError

_MAX_ENTRIES: Final = 10
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SERVER: Final = 500


def read_entries(params: Mapping[str, Any], noun: str) -> Sequence[Mapping[str, Any]]:
    """``noun`` is what the model calls an entry."""
    entries = params["Entries"]
    if not entries:
        raise ServiceError(
            "EmptyBatchRequest", f"There should be at least one {noun} in the request."
        )
    if len(entries) > _MAX_ENTRIES:
        raise ServiceError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {_MAX_ENTRIES}. You have sent "
            f"{len(entries)}.",
        )
    seen: set[str] = set()
    for entry in entries:
        if not _ID.fullmatch(entry["Id"]):
            raise ServiceError(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and "
                "underscores. It can be at most 80 letters long.",
            )
        if entry["Id"] in seen:
            raise ServiceError("BatchEntryIdsNotDistinct", f"Id {entry['Id']} repeated.")
        seen.add(entry["Id"])
    return entries


def failed(entry: Mapping[str, Any], error: AWSError) -> dict[str, Any]:
    return {
        "Id": entry["Id"],
        "Code": error.code,
        "Message": error.message,
        "SenderFault": error.status < _SERVER,
    }
