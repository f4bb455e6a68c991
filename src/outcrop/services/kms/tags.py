"""Tags of KMS keys. Keys that AWS manages have none of their customers'."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.kms.listing import page_of
from outcrop.services.kms.references import get_key, require_customers, require_not_pending, reread
from outcrop.services.operation import operation

MAX_TAGS = 50


@operation
async def tag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    key = await get_key(call, params["KeyId"])
    require_customers(key)
    added = read_new_tags(params["Tags"])
    async with call.stores.resources.writing() as transaction:
        key = await reread(transaction, key)
        require_not_pending(key)
        tags = {**key.tags, **added}
        _require_few(tags)
        await transaction.put(replace(key, tags=tags))
    return {}


@operation
async def untag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    key = await get_key(call, params["KeyId"])
    require_customers(key)
    async with call.stores.resources.writing() as transaction:
        key = await reread(transaction, key)
        require_not_pending(key)
        tags = {name: value for name, value in key.tags.items() if name not in params["TagKeys"]}
        await transaction.put(replace(key, tags=tags))
    return {}


@operation
async def list_resource_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    key = await get_key(call, params["KeyId"])
    tags = [{"TagKey": name, "TagValue": value} for name, value in key.tags.items()]
    return page_of(call, params, tags)


def read_new_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    read = {tag["TagKey"]: tag["TagValue"] for tag in tags}
    if len(read) < len(tags):
        raise ServiceError("TagException", "Duplicate tag keys")
    _require_few(read)
    if any(name.lower().startswith("aws:") for name in read):
        raise ServiceError("TagException", "Tags beginning with aws: are reserved")
    return read


def _require_few(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise ServiceError("TagException", "Too many tags")
