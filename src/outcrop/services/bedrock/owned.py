"""What an account has of its own in Bedrock: found by ARN or name, listed in pages.

What belongs to another account is like what is not there.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, cast

from outcrop.catalog.catalog import WrongRegion
from outcrop.errors import ResourceNotFoundException
from outcrop.services.call import Call
from outcrop.stores.resources import Item, Place, Record, View
from outcrop.wire.paging import page

R = TypeVar("R", bound=Record)

# As DeleteInferenceProfile was recorded.
NOT_FOUND: Final = (
    "The specified resource Amazon Resource Name (ARN) was not found. Check the Amazon Resource "
    "Name (ARN) and try your request again."
)
_ARN_REGION: Final = 3


async def get_owned(view: View, call: Call, type: type[R], identifier: str) -> Item[R]:
    """Raises ResourceNotFoundException, and WrongRegion for the ARN of another region."""
    if identifier.startswith("arn:"):
        if identifier.split(":")[_ARN_REGION] != call.region:
            raise WrongRegion(identifier, call.region)
        item = await view.find_arn(type, identifier)
    else:
        item = await view.find(type, Place(call.account, call.region, identifier))
    if item is None or item.place.account != call.account:
        raise ResourceNotFoundException(NOT_FOUND)
    return item


def page_owned(
    call: Call,
    params: Mapping[str, Any],
    items: Iterable[Item[R]],
    summary: Callable[[Item[R]], Mapping[str, Any]],
) -> dict[str, Any]:
    """The latest first, unless the request says otherwise. Pages are counted over ARNs, since
    anything else may change from page to page."""
    by_arn = {str(item.arn): item for item in items}
    ordered = sorted(
        by_arn,
        key=lambda arn: (by_arn[arn].created_at, arn),
        reverse=params.get("sortOrder") != "Ascending",
    )
    answer = page(call.operation, params, ordered)
    facts = call.operation.pagination
    # ``page`` refuses operations without.
    key = cast("Any", facts).result_key
    return answer | {key: [summary(by_arn[arn]) for arn in answer[key]]}


def is_between(moment: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or moment > after) and (before is None or moment < before)
