"""Pages as KMS gives them: a marker, and whether the list was cut."""

from collections.abc import Mapping, Sequence
from typing import Any

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.wire.paging import page


def page_of(
    call: Call,
    params: Mapping[str, Any],
    items: Sequence[Any],
    default_limit: int = 50,
) -> dict[str, Any]:
    try:
        result = page(call.operation, params, items, default_limit)
    except ValidationException as error:
        raise ServiceError("InvalidMarkerException", error.message) from error
    return {**result, "Truncated": "NextMarker" in result}
