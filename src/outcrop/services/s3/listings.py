"""Listings of a bucket and tags of objects: the store's, with the owner that the account is."""

from collections.abc import Mapping
from typing import Any

from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.s3.bucket_settings import read_tag_set
from outcrop.services.s3.forwarding import forward
from outcrop.services.s3.owned import get_bucket, owner

_MAX_TAGS = 10


@operation
async def list_objects(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _listed(call, params, ("Contents",), owned=True)


@operation
async def list_objects_v2(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    owned = params.get("FetchOwner", False)
    return await _listed(call, params, ("Contents",), owned=owned)


@operation
async def list_object_versions(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _listed(call, params, ("Versions", "DeleteMarkers"), owned=True)


@operation
async def put_object_tagging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    read_tag_set(params["Tagging"]["TagSet"], _MAX_TAGS)
    return await forward(call, params)


@operation
async def get_object_tagging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    return await forward(call, params)


@operation
async def delete_object_tagging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    return await forward(call, params)


async def _listed(
    call: Call, params: Mapping[str, Any], lists: tuple[str, ...], *, owned: bool
) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    result = await forward(call, params)
    for name in lists:
        for item in result.get(name, ()):
            item.pop("Owner", None)
            if owned:
                item["Owner"] = owner(bucket.record.account)
    return result
