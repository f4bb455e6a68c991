"""Multipart uploads. The store keeps parts; how an upload is encrypted is kept here."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from outcrop.objects.protocol import StoreAnswer
from outcrop.services.call import Answer, Call
from outcrop.services.operation import operation
from outcrop.services.s3.encryption import Sealing, opened, sealing_by, sealing_of
from outcrop.services.s3.forwarding import Upload as Body, forward, result_of, send
from outcrop.services.s3.objects import (
    check_upload,
    checksums_of,
    quote_tag,
    source_of,
    upload_of,
    without_customer,
)
from outcrop.services.s3.owned import get_bucket, not_implemented, owner
from outcrop.services.s3.refusals import read_refusal
from outcrop.stores.bucket_records import Bucket, Upload
from outcrop.stores.resources import Item, Place

_DEFAULT_TYPE = "binary/octet-stream"


@operation
async def create_multipart_upload(call: Call, params: Mapping[str, Any]) -> Answer:
    check_upload(params)
    bucket = await get_bucket(call, params)
    sealing = await sealing_of(call, bucket, params)
    headers = {"content-type": params.get("ContentType", _DEFAULT_TYPE), **sealing.to_store}
    # The store checks what is promised of parts; the algorithm itself is told to it.
    if "ChecksumAlgorithm" in params:
        headers["x-amz-checksum-algorithm"] = params["ChecksumAlgorithm"]
    result = without_customer(await forward(call, params, headers))
    if sealing.data_key is not None:
        record = Upload(data_key=sealing.data_key)
        async with call.stores.resources.writing() as transaction:
            await transaction.add(record, _place(bucket, result["UploadId"]), parent=bucket.name)
    return Answer(result | sealing.told | {"Key": params["Key"]})


@operation
async def upload_part(call: Call, params: Mapping[str, Any]) -> Answer:
    bucket = await get_bucket(call, params)
    sealing = await _sealing(call, bucket, params)
    answer = await send(call, params, sealing.to_store, upload_of(call))
    result = without_customer(await result_of(call, answer))
    return Answer(result | sealing.told | _of_part(checksums_of(call)))


@operation
async def upload_part_copy(call: Call, params: Mapping[str, Any]) -> Answer:
    """Read and written here: the store copies no part of what a data key encrypts."""
    bucket = await get_bucket(call, params)
    sealing = await _sealing(call, bucket, params)
    source, source_params = await source_of(call, params)
    for name in ("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"):
        if f"CopySource{name}" in params:
            source_params[name] = params[f"CopySource{name}"]
    if "CopySourceRange" in params:
        source_params["Range"] = params["CopySourceRange"]

    async def get(headers: Mapping[str, str]) -> StoreAnswer:
        return await send(call, source_params, headers, operation="GetObject")

    read = await opened(call, source, get)
    if read.answer.status >= 300:
        raise await read_refusal(read.answer)
    put = {name: params[name] for name in ("Bucket", "Key", "UploadId", "PartNumber")}
    body = Body(read.answer.body, int(read.answer.headers["content-length"]))
    answer = await send(call, put, sealing.to_store, body, operation="UploadPart")
    made = await result_of(call, answer, "UploadPart")
    return Answer(
        {"CopyPartResult": {"ETag": made["ETag"], "LastModified": call.now}, **sealing.told}
    )


@operation
async def complete_multipart_upload(call: Call, params: Mapping[str, Any]) -> Answer:
    bucket = await get_bucket(call, params)
    sealing = await _sealing(call, bucket, params)
    result = without_customer(await forward(call, params))
    await _forget(call, bucket, params["UploadId"])
    quote_tag(result)
    path = quote(f"/{params['Bucket']}/{params['Key']}", safe="/-_.~")
    result["Location"] = f"{call.request.scheme}://{call.request.host}{path}"
    return Answer(result | sealing.told | {"Key": params["Key"]})


@operation
async def abort_multipart_upload(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    result = await forward(call, params)
    await _forget(call, bucket, params["UploadId"])
    return result


@operation
async def list_parts(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    result = without_customer(await forward(call, params))
    me = owner(bucket.record.account)
    return result | {"Key": params["Key"], "Owner": me, "Initiator": me}


def _place(bucket: Item[Bucket], upload_id: str) -> Place:
    return Place("", "", f"{bucket.name}/{upload_id}")


async def _data_key(call: Call, bucket: Item[Bucket], upload_id: str) -> str | None:
    async with call.stores.resources.reading() as view:
        upload = await view.find(Upload, _place(bucket, upload_id))
    return upload.record.data_key if upload else None


async def _sealing(call: Call, bucket: Item[Bucket], params: Mapping[str, Any]) -> Sealing:
    """As the upload began. The store itself knows the uploads that it encrypts by its own key."""
    if "SSECustomerAlgorithm" in params:
        raise not_implemented("Encryption with customer-provided keys is not implemented.")
    data_key = await _data_key(call, bucket, params["UploadId"])
    if data_key is None:
        return Sealing({}, {"ServerSideEncryption": "AES256"})
    return await sealing_by(call, bucket, data_key)


async def _forget(call: Call, bucket: Item[Bucket], upload_id: str) -> None:
    if await _data_key(call, bucket, upload_id) is None:
        return
    async with call.stores.resources.writing() as transaction:
        if await transaction.find(Upload, _place(bucket, upload_id)) is not None:
            await transaction.remove(Upload, _place(bucket, upload_id))


def _of_part(checksums: dict[str, Any]) -> dict[str, Any]:
    checksums.pop("ChecksumType", None)
    return checksums
