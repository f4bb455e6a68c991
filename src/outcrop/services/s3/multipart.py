"""Multipart uploads. The store keeps parts; how an upload is encrypted is kept here."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from outcrop.errors import ServiceError
from outcrop.objects.protocol import StoreAnswer
from outcrop.services.call import Answer, Call
from outcrop.services.operation import operation
from outcrop.services.s3.encryption import Sealing, opened, sealing_by, sealing_of
from outcrop.services.s3.forwarding import Upload as Body, forward, result_of, send
from outcrop.services.s3.objects import (
    check_condition,
    check_upload,
    checksums_of,
    quote_tag,
    source_of,
    upload_of,
    without_customer,
)
from outcrop.services.s3.owned import get_bucket, not_implemented, owner
from outcrop.services.s3.refusals import read_refusal
from outcrop.services.s3.trailers import KEPT
from outcrop.stores.bucket_records import Bucket, Upload
from outcrop.stores.resources import Item, Place

_DEFAULT_TYPE = "binary/octet-stream"
_MOST_PARTS = 10_000


@operation
async def create_multipart_upload(call: Call, params: Mapping[str, Any]) -> Answer:
    check_upload(params)
    _check_checksum(params)
    bucket = await get_bucket(call, params)
    sealing = await sealing_of(call, bucket, params)
    headers = {"content-type": params.get("ContentType", _DEFAULT_TYPE), **sealing.to_store}
    # The store checks what is promised of parts; the algorithm itself is told to it.
    if "ChecksumAlgorithm" in params:
        headers["x-amz-checksum-algorithm"] = params["ChecksumAlgorithm"]
    result = without_customer(await forward(call, params, headers))
    record = Upload(
        data_key=sealing.data_key,
        checksum=params["ChecksumAlgorithm"].lower() if "ChecksumAlgorithm" in params else None,
        checksum_type=result.get("ChecksumType"),
    )
    if record != Upload():
        async with call.stores.resources.writing() as transaction:
            await transaction.add(
                record, _place(bucket.name, result["UploadId"]), parent=bucket.name
            )
    return Answer(result | sealing.told | {"Key": params["Key"]})


def _check_checksum(params: Mapping[str, Any]) -> None:
    algorithm = params.get("ChecksumAlgorithm", "").lower()
    kind = params.get("ChecksumType")
    if (kind, algorithm) == ("COMPOSITE", "crc64nvme") or (
        kind == "FULL_OBJECT" and algorithm.startswith("sha")
    ):
        raise _invalid(
            f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm."
        )


@operation
async def upload_part(call: Call, params: Mapping[str, Any]) -> Answer:
    _check_number(params["PartNumber"])
    bucket = await get_bucket(call, params)
    sealing = await _sealing(call, bucket, params)
    _check_sum(call, (await _find(call, bucket.name, params["UploadId"])).checksum)
    upload, coded = upload_of(call, keeps_default=False)
    answer = await send(call, params, {**sealing.to_store, **coded}, upload)
    result = without_customer(await result_of(call, answer))
    return Answer(result | sealing.told | _of_part(checksums_of(call)))


@operation
async def upload_part_copy(call: Call, params: Mapping[str, Any]) -> Answer:
    """Read and written here: the store copies no part of what a data key encrypts."""
    _check_number(params["PartNumber"])
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
    await _check_completion(call, params)
    sealing = await _sealing(call, bucket, params)
    params = {name: params[name] for name in params if name != "MpuObjectSize"}
    try:
        result = without_customer(await forward(call, params))
    except ServiceError as error:
        raise await _why(call, params, error) from error
    await _forget(call, bucket, params["UploadId"])
    quote_tag(result)
    path = quote(f"/{params['Bucket']}/{params['Key']}", safe="/-_.~")
    result["Location"] = f"{call.request.scheme}://{call.request.host}{path}"
    return Answer(result | sealing.told | {"Key": params["Key"]})


async def _why(call: Call, params: Mapping[str, Any], error: ServiceError) -> ServiceError:
    """In S3's words what is wrong with the checksums; the store tells only that something is."""
    if error.code not in ("BadDigest", "InvalidRequest"):
        return error
    began = await _find(call, params["Bucket"], params["UploadId"])
    parts = params.get("MultipartUpload", {}).get("Parts", ())
    name = f"Checksum{(began.checksum or '').upper()}"
    told = [part["PartNumber"] for part in parts if name in part]
    missing = [part["PartNumber"] for part in parts if name not in part]
    if error.code == "BadDigest":
        which = f"part {told[0]}" if len(told) == 1 else "one of the parts"
        text = f"The {began.checksum} you specified for {which} did not match what we received."
        return ServiceError("BadDigest", text, status=400)
    if began.checksum_type == "COMPOSITE" and missing:
        return _invalid(
            f"The upload was created using a {began.checksum} checksum. The complete request must "
            f"include the checksum for each part. It was missing for part {missing[0]} in the "
            "request."
        )
    return error


async def _check_completion(call: Call, params: Mapping[str, Any]) -> None:
    check_condition(params)
    began = await _find(call, params["Bucket"], params["UploadId"])
    if params.get("ChecksumType", began.checksum_type) != began.checksum_type:
        raise _invalid(
            f"The upload was created using the {began.checksum_type or 'null'} checksum mode. The "
            "complete request must use the same checksum mode."
        )
    if "MpuObjectSize" in params:
        await _check_size(call, params)


async def _check_size(call: Call, params: Mapping[str, Any]) -> None:
    asked = {name: params[name] for name in ("Bucket", "Key", "UploadId")}
    kept = await forward(call, asked, operation="ListParts")
    sizes = {part["PartNumber"]: part["Size"] for part in kept.get("Parts", ())}
    parts = params.get("MultipartUpload", {}).get("Parts", ())
    size_bytes = sum(sizes.get(part["PartNumber"], 0) for part in parts)
    if size_bytes != params["MpuObjectSize"]:
        raise _invalid(
            f"The provided 'x-amz-mp-object-size' header value {params['MpuObjectSize']} does not "
            f"match what was computed: {size_bytes}"
        )


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


def _place(bucket: str, upload_id: str) -> Place:
    return Place("", "", f"{bucket}/{upload_id}")


async def _find(call: Call, bucket: str, upload_id: str) -> Upload:
    async with call.stores.resources.reading() as view:
        upload = await view.find(Upload, _place(bucket, upload_id))
    return upload.record if upload else Upload()


async def _sealing(call: Call, bucket: Item[Bucket], params: Mapping[str, Any]) -> Sealing:
    """As the upload began. The store itself knows the uploads that it encrypts by its own key."""
    if "SSECustomerAlgorithm" in params:
        raise not_implemented("Encryption with customer-provided keys is not implemented.")
    data_key = (await _find(call, bucket.name, params["UploadId"])).data_key
    if data_key is None:
        return Sealing({}, {"ServerSideEncryption": "AES256"})
    return await sealing_by(call, bucket, data_key)


async def _forget(call: Call, bucket: Item[Bucket], upload_id: str) -> None:
    if await _find(call, bucket.name, upload_id) == Upload():
        return
    async with call.stores.resources.writing() as transaction:
        if await transaction.find(Upload, _place(bucket.name, upload_id)) is not None:
            await transaction.remove(Upload, _place(bucket.name, upload_id))


def _check_sum(call: Call, began: str | None) -> None:
    promised = getattr(call.request.incoming, "promised_checksum", None)
    if began is not None and promised in KEPT and promised != began:
        raise _invalid(
            f"Checksum Type mismatch occurred, expected checksum Type: {began}, actual checksum "
            f"Type: {promised}"
        )


def _check_number(number: int) -> None:
    if not 1 <= number <= _MOST_PARTS:
        text = f"Part number must be an integer between 1 and {_MOST_PARTS}, inclusive"
        raise ServiceError(
            "InvalidArgument",
            text,
            status=400,
            ArgumentName="partNumber",
            ArgumentValue=str(number),
        )


def _invalid(text: str) -> ServiceError:
    return ServiceError("InvalidRequest", text, status=400)


def _of_part(checksums: dict[str, Any]) -> dict[str, Any]:
    checksums.pop("ChecksumType", None)
    return checksums
