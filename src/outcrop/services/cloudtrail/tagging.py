"""Tags of trails: the rules that a trail's tags keep, whoever sets them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.cloudtrail.named import get_trail, read_arn
from outcrop.services.operation import operation
from outcrop.stores.resources import Item, View
from outcrop.stores.trail_records import Trail
from outcrop.wire.paging import page

_MOST_TAGS: Final = 50
_MOST_RESOURCES: Final = 20


@operation
async def add_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    added = read_tags(params["TagsList"])
    async with call.stores.resources.writing() as transaction:
        item = await _get(transaction, call, params["ResourceId"])
        tags = {**item.tags, **added}
        _require_few(tags)
        await transaction.put(replace(item, tags=tags))
    return {}


@operation
async def remove_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    removed = {tag["Key"] for tag in params["TagsList"]}
    async with call.stores.resources.writing() as transaction:
        item = await _get(transaction, call, params["ResourceId"])
        kept = {key: value for key, value in item.tags.items() if key not in removed}
        await transaction.put(replace(item, tags=kept))
    return {}


@operation
async def list_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    asked = params["ResourceIdList"]
    if not 0 < len(asked) <= _MOST_RESOURCES:
        raise ServiceError(
            "ResourceNotFoundException", f"Name 1 to {_MOST_RESOURCES} trails by their ARNs."
        )
    async with call.stores.resources.reading() as view:
        items = [await _get(view, call, arn) for arn in asked]
    told = [
        {
            "ResourceId": each.arn,
            "TagsList": [{"Key": key, "Value": value} for key, value in each.tags.items()],
        }
        for each in items
    ]
    return page(call.operation, params, told)


def read_tags(listed: Sequence[Mapping[str, str]]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in listed:
        key = tag["Key"]
        if key in tags or key.lower().startswith("aws:"):
            raise ServiceError(
                "InvalidTagParameterException",
                f"The tag key {key!r} is given twice, or begins with the reserved 'aws:'.",
            )
        tags[key] = tag.get("Value", "")
    _require_few(tags)
    return tags


def _require_few(tags: Mapping[str, str]) -> None:
    if len(tags) > _MOST_TAGS:
        raise ServiceError(
            "TagsLimitExceededException",
            f"The trail would have {len(tags)} tags. It has at most {_MOST_TAGS}.",
        )


async def _get(view: View, call: Call, arn: str) -> Item[Trail]:
    read_arn(arn)
    return await get_trail(view, call, arn)
