"""Objects: read, written, copied and deleted in the store, streamed through in both directions."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from outcrop.authorization.s3 import deletion, listing, read_copy_source
from outcrop.errors import AWSError, ServiceError
from outcrop.objects.protocol import StoreAnswer
from outcrop.security.payload import VerifiedBody
from outcrop.services.call import Answer, Call, RawAnswer
from outcrop.services.operation import operation
from outcrop.services.s3.encryption import (
    Opened,
    as_copy_source,
    opened,
    refuse_customer_keys,
    sealing_of,
)
from outcrop.services.s3.forwarding import Upload, coding_of, result_of, send
from outcrop.services.s3.owned import (
    access_denied,
    asked_of,
    expect_owner,
    get_bucket,
    get_bucket_named,
    malformed_xml,
    not_implemented,
)
from outcrop.services.s3.refusals import read_refusal, read_start
from outcrop.services.s3.trailers import KEPT, with_trailer
from outcrop.stores.bucket_records import Bucket
from outcrop.stores.resources import Item

# Of an answer about an object: what S3 tells too.
_TOLD = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "x-amz-delete-marker",
        "x-amz-mp-parts-count",
        "x-amz-server-side-encryption",
        "x-amz-storage-class",
        "x-amz-tagging-count",
        "x-amz-version-id",
    }
)
_TOLD_PREFIXES = ("x-amz-meta-", "x-amz-checksum-")
_DEFAULT_TYPE = "binary/octet-stream"
_MAX_DELETIONS = 1000
_USELESS = (
    "This copy request is illegal because it is trying to copy an object to itself without "
    "changing the object's metadata, storage class, website redirect location or encryption "
    "attributes."
)
_UNKNOWN = {
    "ObjectLockMode": "Object Lock",
    "ObjectLockRetainUntilDate": "Object Lock",
    "ObjectLockLegalHoldStatus": "Object Lock",
    "WebsiteRedirectLocation": "Website redirection",
    "WriteOffsetBytes": "Appending to objects",
    "GrantFullControl": "Granting by ACL",
    "GrantRead": "Granting by ACL",
    "GrantReadACP": "Granting by ACL",
    "GrantWriteACP": "Granting by ACL",
}


@operation
async def put_object(call: Call, params: Mapping[str, Any]) -> Answer:
    check_upload(params)
    bucket = await get_bucket(call, params)
    sealing = await sealing_of(call, bucket, params)
    upload, coded = upload_of(call, keeps_default=True)
    headers = {"content-type": params.get("ContentType", _DEFAULT_TYPE), **sealing.to_store}
    answer = await send(call, without_chunking(params), headers | coded, upload)
    result = without_customer(await result_of(call, answer))
    return Answer(result | sealing.told | checksums_of(call))


@operation
async def get_object(call: Call, params: Mapping[str, Any]) -> RawAnswer:
    return await _read_object(call, params)


@operation
async def head_object(call: Call, params: Mapping[str, Any]) -> RawAnswer:
    return await _read_object(call, params)


@operation
async def delete_object(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "MFA" in params or params.get("BypassGovernanceRetention"):
        raise not_implemented("Object Lock and MFA delete are not implemented.")
    if params.keys() & {"IfMatch", "IfMatchLastModifiedTime", "IfMatchSize"}:
        raise not_implemented("Deletions on conditions are not implemented.")
    await get_bucket(call, params)
    return await result_of(call, await send(call, params))


@operation
async def delete_objects(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Decided and answered key by key; the request as a whole asks for no leave."""
    if "MFA" in params or params.get("BypassGovernanceRetention"):
        raise not_implemented("Object Lock and MFA delete are not implemented.")
    bucket = await get_bucket(call, params)
    asked, coding = asked_of(call, params), coding_of(call)
    allowed: list[Mapping[str, Any]] = []
    errors: list[dict[str, Any]] = []
    _check_deletions(params["Delete"]["Objects"])
    for each in params["Delete"]["Objects"]:
        try:
            if not await call.may(deletion(asked, each["Key"], each.get("VersionId"))):
                raise access_denied()
            allowed.append({**each, "Key": coding.key(each["Key"])})
        except ServiceError as error:
            errors.append({**_named(each), "Code": error.code, "Message": error.message})
    deleted: list[dict[str, Any]] = []
    if allowed:
        wanted = {"Bucket": bucket.name, "Delete": {"Objects": allowed, "Quiet": False}}
        result = await result_of(call, await send(call, wanted))
        deleted = [one | {"Key": coding.decoded(one["Key"])} for one in result.get("Deleted", ())]
        for error in result.get("Errors", ()):
            errors.append(error | {"Key": coding.decoded(error["Key"])})
    return {"Deleted": [] if params["Delete"].get("Quiet") else deleted, "Errors": errors}


def _check_deletions(objects: list[Mapping[str, Any]]) -> None:
    if len(objects) > _MAX_DELETIONS:
        raise malformed_xml()
    if any(each.keys() - {"Key", "VersionId"} for each in objects):
        raise not_implemented("Deletions on conditions are not implemented.")


def _named(each: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each[name] for name in ("Key", "VersionId") if name in each}


@operation
async def copy_object(call: Call, params: Mapping[str, Any]) -> Answer:
    check_upload(params)
    bucket = await get_bucket(call, params)
    sealing = await sealing_of(call, bucket, params)
    source, source_params = await source_of(call, params)
    _refuse_useless(bucket, params, source_params)
    read = await opened(call, source, lambda headers: _head(call, source_params, headers))
    if read.answer.status >= 300:
        raise await read_refusal(read.answer)
    await read_start(read.answer)
    headers = {**sealing.to_store, **as_copy_source(read.to_store)}
    if params.get("MetadataDirective") == "REPLACE":
        headers["content-type"] = params.get("ContentType", _DEFAULT_TYPE)
    result = without_customer(await result_of(call, await send(call, params, headers)))
    quote_tag(result.get("CopyObjectResult"))
    return Answer(result | sealing.told)


def _refuse_useless(
    bucket: Item[Bucket], params: Mapping[str, Any], source: Mapping[str, Any]
) -> None:
    is_same = (source["Bucket"], source["Key"]) == (bucket.name, params["Key"])
    changes = ("ServerSideEncryption", "SSEKMSKeyId", "StorageClass", "ChecksumAlgorithm")
    if (
        is_same
        and "VersionId" not in source
        and params.get("MetadataDirective") != "REPLACE"
        and not any(name in params for name in changes)
    ):
        raise ServiceError("InvalidRequest", _USELESS, status=400)


@operation
async def get_object_attributes(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse_customer_keys(params)
    bucket = await get_bucket(call, params)
    read = await opened(call, bucket, lambda headers: send(call, params, headers))
    if read.answer.status >= 300:
        raise await _refusal(call, params, read.answer)
    result = await result_of(call, read.answer)
    if "Checksum" in params["ObjectAttributes"] and "Checksum" not in result:
        found = _headers(call, await _headed(call, bucket, params))
        names = {f"x-amz-checksum-{name}": f"Checksum{name.upper()}" for name in KEPT}
        names["x-amz-checksum-type"] = "ChecksumType"
        result["Checksum"] = {names[name]: found[name] for name in names if name in found}
    return result


async def _headed(call: Call, bucket: Item[Bucket], params: Mapping[str, Any]) -> Opened:
    asked = {k: params[k] for k in ("Bucket", "Key", "VersionId") if k in params}
    asked["ChecksumMode"] = "ENABLED"
    read = await opened(call, bucket, lambda headers: _head(call, asked, headers))
    await read_start(read.answer)
    return read


def check_upload(params: Mapping[str, Any]) -> None:
    check_condition(params)
    for name, what in _UNKNOWN.items():
        if name in params:
            raise not_implemented(f"{what} is not implemented.")
    if params.get("ACL", "private") not in ("private", "bucket-owner-full-control"):
        raise ServiceError(
            "AccessControlListNotSupported", "The bucket does not allow ACLs", status=400
        )
    if params.get("StorageClass", "STANDARD") != "STANDARD":
        raise not_implemented("Only the storage class STANDARD is implemented.")


def check_condition(params: Mapping[str, Any]) -> None:
    """Of a write: whether there is an object is all that can be asked of none."""
    if params.get("IfNoneMatch", "*") != "*":
        raise not_implemented("A header you provided implies functionality that is not implemented")


def without_chunking(params: Mapping[str, Any]) -> dict[str, Any]:
    """The coding of the body on its way here is none of the object."""
    codings = [one.strip() for one in params.get("ContentEncoding", "").split(",")]
    kept = ",".join(one for one in codings if one and one != "aws-chunked")
    rest = {k: v for k, v in params.items() if k != "ContentEncoding"}
    return rest | {"ContentEncoding": kept} if kept else rest


def upload_of(call: Call, *, keeps_default: bool) -> tuple[Upload, dict[str, str]]:
    """The body, whose last piece comes when everything that the request promised of it has held,
    and its headers. ``keeps_default``: a checksum is kept even where its sender has none."""
    incoming = call.request.incoming
    if not isinstance(incoming, VerifiedBody):
        return Upload(_once(call.request.body), len(call.request.body)), {}
    upload, late = Upload(incoming.pieces(), incoming.declared_bytes), incoming.late_checksum
    if late not in KEPT or not (keeps_default or incoming.promised_checksum):
        return upload, {}
    return with_trailer(upload, late, lambda: incoming.checksums[late])


def checksums_of(call: Call) -> dict[str, Any]:
    """Those that were computed over the body on its way."""
    found: Mapping[str, str] = getattr(call.request.incoming, "checksums", {})
    # The MD5 is the ETag's.
    kept = {name: value for name, value in found.items() if name not in ("md5", "sha512")}
    members: dict[str, Any] = {f"Checksum{name.upper()}": text for name, text in kept.items()}
    if kept:
        members["ChecksumType"] = "FULL_OBJECT"
    return members


def without_customer(result: dict[str, Any]) -> dict[str, Any]:
    """What the store says of the key it was handed is not the client's to know."""
    return {k: v for k, v in result.items() if not k.startswith("SSECustomer")}


def quote_tag(result: dict[str, Any] | None) -> None:
    if result and "ETag" in result:
        result["ETag"] = '"{}"'.format(result["ETag"].strip('"'))


async def _read_object(call: Call, params: Mapping[str, Any]) -> RawAnswer:
    refuse_customer_keys(params)
    if "Range" in params and "PartNumber" in params:
        raise ServiceError(
            "InvalidRequest",
            "Cannot specify both Range header and partNumber query parameter",
            status=400,
        )
    bucket = await get_bucket(call, params)
    read = await opened(call, bucket, lambda headers: send(call, params, headers))
    if read.answer.status >= 300 and read.answer.status != 304:
        raise await _refusal(call, params, read.answer)
    return RawAnswer(read.answer.status, _headers(call, read), read.answer.body)


def _headers(call: Call, read: Opened) -> dict[str, str]:
    headers = {
        name: value
        for name, value in read.answer.headers.items()
        if name in _TOLD or name.startswith(_TOLD_PREFIXES)
    }
    if any(name.startswith("x-amz-checksum-") for name in headers):
        headers.setdefault("x-amz-checksum-type", "FULL_OBJECT")
    headers["x-amz-request-id"] = call.request_id
    if read.data_key is not None:
        prefix = "x-amz-server-side-encryption"
        headers[prefix] = "aws:kms"
        headers[f"{prefix}-aws-kms-key-id"] = read.data_key.record.kms_key
        headers[f"{prefix}-bucket-key-enabled"] = "true"
    return headers


async def _refusal(call: Call, params: Mapping[str, Any], answer: StoreAnswer) -> AWSError:
    """That an object is missing is told to those who may list."""
    error = await read_refusal(answer, Key=params["Key"])
    if error.status == 404 and not await call.may(listing(asked_of(call, params))):
        return access_denied()
    return error


async def source_of(call: Call, params: Mapping[str, Any]) -> tuple[Item[Bucket], dict[str, Any]]:
    name, key, version = read_copy_source(params["CopySource"])
    source = await get_bucket_named(call, name)
    expect_owner(source, params.get("ExpectedSourceBucketOwner"))
    found = {"Bucket": name, "Key": key}
    return source, found if version is None else {**found, "VersionId": version}


async def _head(call: Call, params: Mapping[str, Any], headers: Mapping[str, str]) -> StoreAnswer:
    return await send(call, params, headers, operation="HeadObject")


async def _once(body: bytes) -> AsyncGenerator[bytes]:
    if body:
        yield body
