"""The public access block of a bucket: what a public policy may be, and for whom it counts.

A new bucket has all four of its settings on, as S3's have. The two on ACLs have nothing to do.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.s3.bucket_settings import change_record
from outcrop.services.s3.owned import get_bucket
from outcrop.stores.bucket_records import PublicAccessBlock

_MEMBERS = {
    "BlockPublicAcls": "block_acls",
    "IgnorePublicAcls": "ignore_acls",
    "BlockPublicPolicy": "block_policy",
    "RestrictPublicBuckets": "restrict",
}


@operation
async def put_public_access_block(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = params["PublicAccessBlockConfiguration"]
    block = PublicAccessBlock(**{_MEMBERS[name]: wanted.get(name, False) for name in _MEMBERS})
    return await change_record(call, params, block=block)


@operation
async def get_public_access_block(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    block = (await get_bucket(call, params)).record.block
    if block is None:
        raise ServiceError(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
            status=404,
            BucketName=params["Bucket"],
        )
    found = msgspec.structs.asdict(block)
    return {
        "PublicAccessBlockConfiguration": {name: found[ours] for name, ours in _MEMBERS.items()}
    }


@operation
async def delete_public_access_block(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await change_record(call, params, block=None)
