"""Buckets: a record of ours each, unique in the deployment, and a bucket of the store."""

import re
from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Answer, Call
from outcrop.services.operation import operation
from outcrop.services.s3.bucket_settings import require_ownership
from outcrop.services.s3.forwarding import result_of, send
from outcrop.services.s3.owned import get_bucket, not_implemented, owner
from outcrop.services.s3.refusals import read_refusal, read_start
from outcrop.stores.bucket_records import Bucket, DataKey, Upload, bucket_place
from outcrop.stores.failures import NameTaken
from outcrop.stores.resources import Item

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|[.-](?![.])){1,61}[a-z0-9]", re.ASCII)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)
_RESERVED = ("xn--", "sthree-", "amzn-s3-demo-")
_MAX_BUCKETS = 10_000
_FIRST_REGION = "us-east-1"


@operation
async def create_bucket(call: Call, params: Mapping[str, Any]) -> Answer:
    name = params["Bucket"]
    settings = params.get("CreateBucketConfiguration", {})
    _check(call, params, settings)
    if await _is_own_already(call, name):
        return Answer({"Location": f"/{name}"})
    made = await send(call, {"Bucket": name})
    # One of the same name was left by a creation or a deletion that was cut off: nobody's, empty.
    if made.status != 200 and not (made.status == 409 and call.objects.is_own):
        raise _taken() if made.status == 409 else await read_refusal(made)
    await read_start(made)
    tags = {tag["Key"]: tag["Value"] for tag in settings.get("Tags", ())}
    try:
        async with call.stores.resources.writing() as transaction:
            record = Bucket(account=call.account, region=call.region)
            await transaction.add(record, bucket_place(name), tags=tags)
    except NameTaken as error:
        raise _taken() from error
    return Answer({"Location": f"/{name}"})


@operation
async def delete_bucket(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    await _require_empty(call, bucket.name)
    answer = await send(call, {"Bucket": bucket.name})
    if answer.status not in (200, 204, 404):
        raise await read_refusal(answer, BucketName=bucket.name)
    await read_start(answer)
    async with call.stores.resources.writing() as transaction:
        for kind in (DataKey, Upload):
            for item in await transaction.list(kind, parent=bucket.name):
                await transaction.remove(kind, item.place)
        await transaction.remove(Bucket, bucket.place)
    return {}


async def _require_empty(call: Call, name: str) -> None:
    """SeaweedFS sees only objects: it would delete old versions with their bucket."""
    asked = {"Bucket": name, "MaxKeys": 1}
    answer = await send(call, asked, operation="ListObjectVersions")
    if answer.status == 404:
        await read_start(answer)
        return
    found = await result_of(call, answer, "ListObjectVersions")
    kept = (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))
    if kept:
        text = "The bucket you tried to delete is not empty"
        if any(one.get("VersionId", "null") != "null" for one in kept):
            text += ". You must delete all versions in the bucket."
        raise ServiceError("BucketNotEmpty", text, status=409, BucketName=name)


@operation
async def head_bucket(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    return {"BucketRegion": bucket.record.region, "AccessPointAlias": False}


@operation
async def get_bucket_location(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    region = (await get_bucket(call, params)).record.region
    return {} if region == _FIRST_REGION else {"LocationConstraint": region}


@operation
async def list_buckets(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        everybodys = await view.list(Bucket)
    prefix, region = params.get("Prefix", ""), params.get("BucketRegion")
    after = params.get("ContinuationToken", "")
    own = [
        bucket
        for bucket in everybodys
        if bucket.record.account == call.account
        and bucket.name.startswith(prefix)
        and bucket.name > after
        and region in (None, bucket.record.region)
    ]
    page = own[: params.get("MaxBuckets", _MAX_BUCKETS)]
    result: dict[str, Any] = {
        "Buckets": [_describe(bucket) for bucket in page],
        "Owner": owner(call.account),
    }
    if len(page) < len(own):
        result["ContinuationToken"] = page[-1].name
    if prefix:
        result["Prefix"] = prefix
    return result


def _describe(bucket: Item[Bucket]) -> dict[str, Any]:
    return {
        "Name": bucket.name,
        "CreationDate": bucket.created_at,
        "BucketRegion": bucket.record.region,
    }


def _check(call: Call, params: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    name = params["Bucket"]
    if (
        not _NAME.fullmatch(name)
        or _ADDRESS.fullmatch(name)
        or name.startswith(_RESERVED)
        or name.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3"))
    ):
        raise ServiceError(
            "InvalidBucketName", "The specified bucket is not valid.", status=400, BucketName=name
        )
    if params.get("ObjectLockEnabledForBucket"):
        raise not_implemented("Object Lock is not implemented.")
    require_ownership(params.get("ObjectOwnership", "BucketOwnerEnforced"))
    if params.get("ACL", "private") != "private" or any(
        name.startswith("Grant") for name in params
    ):
        raise ServiceError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            status=400,
        )
    _check_location(call.region, settings.get("LocationConstraint"))


def _check_location(region: str, constraint: str | None) -> None:
    if (constraint or _FIRST_REGION) == region:
        return
    raise ServiceError(
        "IllegalLocationConstraintException",
        f"The {constraint or 'unspecified'} location constraint is incompatible for the region "
        "specific endpoint this request was sent to.",
        status=400,
    )


async def _is_own_already(call: Call, name: str) -> bool:
    """In the first region S3 answers its owner as if the bucket were made."""
    async with call.stores.resources.reading() as view:
        found = await view.find(Bucket, bucket_place(name))
    if found is None:
        return False
    if found.record.account != call.account:
        raise _taken()
    if found.record.region == call.region == _FIRST_REGION:
        return True
    raise ServiceError(
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
        status=409,
        BucketName=name,
    )


def _taken() -> ServiceError:
    return ServiceError(
        "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users "
        "of the system. Please select a different name and try again.",
        status=409,
    )


@operation
async def get_bucket_versioning(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    return await result_of(call, await send(call, params))


@operation
async def put_bucket_versioning(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    wanted = params["VersioningConfiguration"]
    if "Status" not in wanted:
        raise ServiceError(
            "IllegalVersioningConfigurationException",
            "The Versioning element must be specified",
            status=400,
        )
    if "MFA" in params or wanted.get("MFADelete") == "Enabled":
        raise not_implemented("MFA delete is not implemented.")
    return await result_of(call, await send(call, params))
