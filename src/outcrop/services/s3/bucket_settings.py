"""What is set on a bucket: policy, encryption, tags, ownership. Kept in its record."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from outcrop.authorization.public_policies import is_public, listed
from outcrop.authorization.s3 import bucket_arn
from outcrop.errors import ServiceError
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.s3.owned import get_bucket, malformed_xml, no_such_bucket, not_implemented
from outcrop.stores.bucket_records import Bucket, Encryption, bucket_place
from outcrop.stores.resources import Item

_MAX_POLICY_BYTES = 20 * 1024
_MAX_TAGS = 50

Change = Callable[[Item[Bucket]], Item[Bucket]]


async def _change(call: Call, params: Mapping[str, Any], change: Change) -> dict[str, Any]:
    await get_bucket(call, params)
    async with call.stores.resources.writing() as transaction:
        bucket = await transaction.find(Bucket, bucket_place(params["Bucket"]))
        if bucket is None:
            raise no_such_bucket(params["Bucket"])
        await transaction.put(change(bucket))
    return {}


def _with(bucket: Item[Bucket], **fields: Any) -> Item[Bucket]:
    return replace(bucket, record=msgspec.structs.replace(bucket.record, **fields))


async def change_record(call: Call, params: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return await _change(call, params, lambda bucket: _with(bucket, **fields))


@operation
async def put_bucket_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    text = params["Policy"]
    try:
        parse_policy(text, "bucket", max_bytes=_MAX_POLICY_BYTES)
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicy", str(error), status=400) from error
    _require_resources_of(params["Bucket"], text)
    opens = is_public(text)

    def change(bucket: Item[Bucket]) -> Item[Bucket]:
        block = bucket.record.block
        if opens and block is not None and block.block_policy:
            raise _blocked(call, bucket)
        return _with(bucket, policy=text)

    return await _change(call, params, change)


@operation
async def get_bucket_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"Policy": await _policy(call, params)}


@operation
async def get_bucket_policy_status(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"PolicyStatus": {"IsPublic": is_public(await _policy(call, params))}}


async def _policy(call: Call, params: Mapping[str, Any]) -> str:
    policy = (await get_bucket(call, params)).record.policy
    if policy is None:
        raise ServiceError(
            "NoSuchBucketPolicy",
            "The bucket policy does not exist",
            status=404,
            BucketName=params["Bucket"],
        )
    return policy


@operation
async def delete_bucket_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change(call, params, lambda bucket: _with(bucket, policy=None))


@operation
async def put_bucket_encryption(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    rules = params["ServerSideEncryptionConfiguration"]["Rules"]
    if len(rules) != 1 or "ApplyServerSideEncryptionByDefault" not in rules[0]:
        raise malformed_xml()
    default = rules[0]["ApplyServerSideEncryptionByDefault"]
    algorithm, kms_key = default["SSEAlgorithm"], default.get("KMSMasterKeyID")
    if algorithm not in ("AES256", "aws:kms") or rules[0].get("BlockedEncryptionTypes"):
        raise not_implemented(f"This default encryption is not implemented: {algorithm!r}.")
    if algorithm == "AES256" and kms_key is not None:
        raise ServiceError(
            "InvalidArgument",
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or "
            "aws:kms:dsse",
            status=400,
        )
    encryption = Encryption(algorithm=algorithm, kms_key=kms_key)
    return await _change(call, params, lambda bucket: _with(bucket, encryption=encryption))


@operation
async def get_bucket_encryption(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    encryption = (await get_bucket(call, params)).record.encryption
    default: dict[str, Any] = {"SSEAlgorithm": encryption.algorithm}
    if encryption.kms_key is not None:
        default["KMSMasterKeyID"] = encryption.kms_key
    # Under KMS there is one data key for a bucket and a KMS key, whatever was asked for.
    rule = {
        "ApplyServerSideEncryptionByDefault": default,
        "BucketKeyEnabled": encryption.algorithm == "aws:kms",
    }
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


@operation
async def delete_bucket_encryption(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change(call, params, lambda bucket: _with(bucket, encryption=Encryption()))


@operation
async def put_bucket_tagging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    tags = read_tag_set(params["Tagging"]["TagSet"], _MAX_TAGS)
    return await _change(call, params, lambda bucket: replace(bucket, tags=tags))


@operation
async def get_bucket_tagging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    tags = (await get_bucket(call, params)).tags
    if not tags:
        raise ServiceError("NoSuchTagSet", "The TagSet does not exist", status=404)
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


@operation
async def delete_bucket_tagging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change(call, params, lambda bucket: replace(bucket, tags={}))


@operation
async def get_bucket_ownership_controls(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    ownership = (await get_bucket(call, params)).record.ownership
    if ownership is None:
        raise ServiceError(
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
            status=404,
            BucketName=params["Bucket"],
        )
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": ownership}]}}


@operation
async def put_bucket_ownership_controls(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """There are no ACLs, so every bucket is as new ones of S3 are."""
    wanted = [rule["ObjectOwnership"] for rule in params["OwnershipControls"]["Rules"]]
    if len(wanted) != 1:
        raise malformed_xml()
    require_ownership(wanted[0])
    return await change_record(call, params, ownership=wanted[0])


@operation
async def delete_bucket_ownership_controls(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await change_record(call, params, ownership=None)


def require_ownership(wanted: str) -> None:
    if wanted in ("BucketOwnerPreferred", "ObjectWriter"):
        raise not_implemented("Access control lists are not implemented.")
    if wanted != "BucketOwnerEnforced":
        raise ServiceError(
            "InvalidArgument",
            f"Invalid x-amz-object-ownership header: {wanted}",
            status=400,
            ArgumentName="x-amz-object-ownership",
        )


def read_tag_set(tag_set: list[Mapping[str, str]], most: int) -> dict[str, str]:
    tags = {tag["Key"]: tag["Value"] for tag in tag_set}
    if len(tags) < len(tag_set):
        raise _bad_tag("Cannot provide multiple Tags with the same key")
    if any(key.lower().startswith("aws:") for key in tags):
        raise _bad_tag("Your TagKey cannot be prefixed with aws:")
    if len(tags) > most:
        raise ServiceError("BadRequest", f"Object tags cannot be greater than {most}", status=400)
    return tags


def _blocked(call: Call, bucket: Item[Bucket]) -> ServiceError:
    return ServiceError(
        "AccessDenied",
        f"User: {call.caller.arn} is not authorized to perform: s3:PutBucketPolicy on resource: "
        f'"{bucket_arn(call.region, bucket.name)}" because public policies are prevented by the '
        "BlockPublicPolicy setting in S3 Block Public Access.",
        status=403,
    )


def _bad_tag(text: str) -> ServiceError:
    return ServiceError("InvalidTag", text, status=400)


def _require_resources_of(name: str, text: str) -> None:
    """A policy speaks of its own bucket and of what is in it."""
    for statement in listed(msgspec.json.decode(text)["Statement"]):
        for resource in listed(statement.get("Resource", statement.get("NotResource", []))):
            place = str(resource).split(":", 5)[-1]
            if place.partition("/")[0] != name and not place.startswith(f"{name}*"):
                raise ServiceError("MalformedPolicy", "Policy has invalid resource", status=400)
