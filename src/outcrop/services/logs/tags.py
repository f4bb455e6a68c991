"""Tags of log groups, by both of the service's interfaces."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import TooManyTagsException
from outcrop.services.call import Call
from outcrop.services.logs.references import (
    get_group,
    group_place,
    identified_place,
    invalid_parameter,
)
from outcrop.services.operation import operation
from outcrop.stores.resources import Place

_MOST: Final = 50


@operation
async def tag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _tag(call, _resource(call, params), params["tags"])


@operation
async def untag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _untag(call, _resource(call, params), params["tagKeys"])


@operation
async def list_tags_for_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _list(call, _resource(call, params))


@operation
async def tag_log_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _tag(call, group_place(call, params), params["tags"])


@operation
async def untag_log_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _untag(call, group_place(call, params), params["tags"])


@operation
async def list_tags_log_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _list(call, group_place(call, params))


def refuse_reserved(keys: Iterable[str]) -> None:
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid_parameter("aws: prefixed tag key names are not allowed for external use.")


def _resource(call: Call, params: Mapping[str, Any]) -> Place:
    arn = params["resourceArn"]
    if not arn.startswith("arn:"):
        raise invalid_parameter(f"{arn} is not an ARN.")
    return identified_place(call, arn)


async def _tag(call: Call, place: Place, tags: Mapping[str, str]) -> dict[str, Any]:
    refuse_reserved(tags)
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, place)
        merged = {**group.tags, **tags}
        if len(merged) > _MOST:
            raise TooManyTagsException(
                f"The log group would have {len(merged)} tags. It has at most {_MOST}.",
                resourceName=group.arn,
            )
        await transaction.put(replace(group, tags=merged))
    return {}


async def _untag(call: Call, place: Place, keys: Iterable[str]) -> dict[str, Any]:
    removed = set(keys)
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, place)
        left = {key: value for key, value in group.tags.items() if key not in removed}
        await transaction.put(replace(group, tags=left))
    return {}


async def _list(call: Call, place: Place) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        group = await get_group(view, place)
    return {"tags": dict(group.tags)}
