"""Tags of objects, which the store keeps."""

from collections.abc import Mapping
from typing import Any

from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.s3.bucket_settings import read_tag_set
from outcrop.services.s3.forwarding import forward
from outcrop.services.s3.owned import get_bucket

_MAX_TAGS = 10


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
