"""Tags of whatever Bedrock keeps under an ARN of an account: one mechanism for every kind."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ResourceNotFoundException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.tagging import most_tags, read_tags, refuse_reserved, require_few
from outcrop.stores.customization_records import TAGGABLE
from outcrop.stores.resources import Item, View

# As DeleteInferenceProfile was recorded.
_NOT_FOUND: Final = (
    "The specified resource Amazon Resource Name (ARN) was not found. Check the Amazon Resource "
    "Name (ARN) and try your request again."
)


@operation
async def tag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    arn = params["resourceARN"]
    most = most_tags(call)
    added = read_tags(params["tags"], arn, most)
    async with call.stores.resources.writing() as transaction:
        item = await _get(call, transaction, arn)
        tags = {**item.tags, **added}
        require_few(tags, arn, most)
        await transaction.put(replace(item, tags=tags))
    return {}


@operation
async def untag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    removed = set(params["tagKeys"])
    refuse_reserved(removed)
    async with call.stores.resources.writing() as transaction:
        item = await _get(call, transaction, params["resourceARN"])
        tags = {key: value for key, value in item.tags.items() if key not in removed}
        await transaction.put(replace(item, tags=tags))
    return {}


@operation
async def list_tags_for_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await _get(call, view, params["resourceARN"])
    return {"tags": [{"key": key, "value": value} for key, value in item.tags.items()]}


async def _get(call: Call, view: View, arn: str) -> Item[Any]:
    """Another account's or another region's is not there."""
    for type in TAGGABLE:
        item = await view.find_arn(type, arn)
        if item is not None and (item.place.account, item.place.region) == (
            call.account,
            call.region,
        ):
            return item
    raise ResourceNotFoundException(_NOT_FOUND)
