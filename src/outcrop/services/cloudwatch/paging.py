"""Pages of lists whose model has several results, of which Outcrop has one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.wire.paging import page
from outcrop.wire.spec import Pagination


def page_of(
    call: Call,
    params: Mapping[str, Any],
    items: Sequence[Any],
    result_key: str,
    default_limit: int,
    limit_key: str | None = None,
) -> dict[str, Any]:
    facts = Pagination("NextToken", "NextToken", limit_key, result_key)
    operation = replace(call.operation, pagination=facts)
    try:
        return page(operation, params, items, default_limit)
    except ValidationException as error:
        if "NextToken" not in error.message:
            raise
        raise ServiceError("InvalidNextToken", error.message) from error
