"""ACLs as buckets without any tell them (``BucketOwnerEnforced``): the owner has it all."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.s3.objects import head_object
from outcrop.services.s3.owned import get_bucket, owner


@operation
async def get_bucket_acl(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return _owners((await get_bucket(call, params)).record.account)


@operation
async def get_object_acl(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    await head_object(call, {k: params[k] for k in ("Bucket", "Key", "VersionId") if k in params})
    return _owners(bucket.record.account)


@operation
async def put_bucket_acl(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    raise _without_lists()


@operation
async def put_object_acl(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    raise _without_lists()


def _owners(account: str) -> dict[str, Any]:
    me = owner(account)
    grant = {"Grantee": {**me, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
    return {"Owner": me, "Grants": [grant]}


def _without_lists() -> ServiceError:
    return ServiceError(
        "AccessControlListNotSupported", "The bucket does not allow ACLs", status=400
    )
