"""Pages as KMS gives them: a marker that is not its own is told in KMS's words."""

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
        return page(call.operation, params, items, default_limit)
    except ValidationException as error:
        raise ServiceError("InvalidMarkerException", error.message) from error
