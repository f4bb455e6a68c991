"""How an object is encrypted at rest: by a key of the store (SSE-S3), or by a data key of KMS.

Under KMS there is a data key for a bucket and a KMS key (an S3 Bucket Key). Its ciphertext is kept;
who writes needs kms:GenerateDataKey, who reads kms:Decrypt, both asked of KMS for each request.
"""

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from outcrop.errors import AWSError, ServiceError
from outcrop.objects.protocol import StoreAnswer
from outcrop.services.call import Call
from outcrop.services.s3.owned import not_implemented
from outcrop.services.s3.refusals import read_start
from outcrop.stores.bucket_records import Bucket, DataKey
from outcrop.stores.kms_managed import ensure_managed_key
from outcrop.stores.kms_records import read_reference
from outcrop.stores.resources import Item, Place

_DEFAULT_KEY = "alias/aws/s3"
_CUSTOMERS = ("SSECustomerAlgorithm", "SSECustomerKey", "CopySourceSSECustomerKey")

Send = Callable[[Mapping[str, str]], Awaitable[StoreAnswer]]


@dataclass(frozen=True, slots=True)
class Sealing:
    """``to_store`` are the headers that make the store encrypt; ``told`` are the members of the
    answer that say how; ``data_key`` names the record of the data key, if there is one."""

    to_store: Mapping[str, str]
    told: dict[str, Any]
    data_key: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer of the store about an object; ``data_key`` opened it, if it is under KMS."""

    answer: StoreAnswer
    data_key: Item[DataKey] | None
    to_store: Mapping[str, str]

    @property
    def told(self) -> dict[str, Any]:
        return told_of(self.data_key.record.kms_key) if self.data_key else {}


def refuse_customer_keys(params: Mapping[str, Any]) -> None:
    if any(name in params for name in _CUSTOMERS):
        raise not_implemented("Encryption with customer-provided keys is not implemented.")


def told_of(kms_key: str) -> dict[str, Any]:
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True}


async def sealing_of(call: Call, bucket: Item[Bucket], params: Mapping[str, Any]) -> Sealing:
    """As the request says, else as the bucket does."""
    refuse_customer_keys(params)
    algorithm, kms_key = params.get("ServerSideEncryption"), params.get("SSEKMSKeyId")
    if algorithm is None and kms_key is not None:
        raise ServiceError(
            "InvalidArgument",
            "Server Side Encryption with AWS KMS managed key requires HTTP header "
            "x-amz-server-side-encryption : aws:kms",
            status=400,
        )
    if algorithm is None:
        default = bucket.record.encryption
        algorithm, kms_key = default.algorithm, default.kms_key
    if algorithm == "AES256":
        return Sealing(
            {"x-amz-server-side-encryption": "AES256"}, {"ServerSideEncryption": "AES256"}
        )
    if algorithm != "aws:kms":
        raise not_implemented(f"The encryption {algorithm!r} is not implemented.")
    return await _sealing_under(call, bucket, kms_key)


async def sealing_by(call: Call, bucket: Item[Bucket], name: str) -> Sealing:
    """With the data key of that name, which an upload began with."""
    async with call.stores.resources.reading() as view:
        record = await view.find(DataKey, Place("", "", name))
    if record is None:
        raise ServiceError("InternalError", "The data key of this upload is gone.", status=500)
    plaintext = await _open(call, bucket, record)
    return _sealed(record.record.kms_key, name, plaintext)


async def opened(call: Call, bucket: Item[Bucket], send: Send) -> Opened:
    """``send`` asks the store for an object with the headers given. The store does not say which
    key encrypts it, only that one is needed or wrong: then the bucket's few are tried."""
    answer = await send({})
    if answer.status != 400:
        return Opened(answer, None, {})
    async with call.stores.resources.reading() as view:
        keys = await view.list(DataKey, parent=bucket.name)
    if not keys:
        return Opened(answer, None, {})
    await _drop(answer)
    denied: AWSError | None = None
    for key in sorted(keys, key=lambda each: each.created_at, reverse=True):
        try:
            plaintext = await _open(call, bucket, key)
        except AWSError as error:
            denied = denied or error
            continue
        headers = _customer_headers(plaintext)
        answer = await send(headers)
        if answer.status not in (400, 403):
            return Opened(answer, key, headers)
        await _drop(answer)
    raise denied or ServiceError("AccessDenied", "Access Denied", status=403)


def as_copy_source(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name.replace("x-amz-", "x-amz-copy-source-", 1): value for name, value in headers.items()
    }


async def _drop(answer: StoreAnswer) -> None:
    await read_start(answer)


async def _sealing_under(call: Call, bucket: Item[Bucket], kms_key: str | None) -> Sealing:
    if kms_key in (None, _DEFAULT_KEY):
        kms_key = _DEFAULT_KEY
        await ensure_managed_key(
            call.stores, bucket.record.account, bucket.record.region, "s3", call.now
        )
    reference = read_reference(kms_key, bucket.record.region, bucket.record.account)
    if reference is not None:
        kms_key = reference.arn
    made = await _ask_kms(
        call,
        bucket,
        "GenerateDataKey",
        {"KeyId": kms_key, "KeySpec": "AES_256", "EncryptionContext": _context(bucket)},
    )
    kept = await _newest(call, bucket, made["KeyId"])
    plaintext = await _opened_before(call, bucket, kept) if kept else None
    if kept is not None and plaintext is not None:
        return _sealed(made["KeyId"], kept.name, plaintext)
    name = secrets.token_hex(16)
    async with call.stores.resources.writing() as transaction:
        record = DataKey(kms_key=made["KeyId"], ciphertext=made["CiphertextBlob"])
        await transaction.add(record, Place("", "", name), parent=bucket.name)
    call.objects.data_keys[name] = made["Plaintext"]
    return _sealed(made["KeyId"], name, made["Plaintext"])


async def _newest(call: Call, bucket: Item[Bucket], kms_key: str) -> Item[DataKey] | None:
    async with call.stores.resources.reading() as view:
        keys = await view.list(DataKey, parent=bucket.name)
    fitting = [key for key in keys if key.record.kms_key == kms_key]
    return max(fitting, key=lambda key: key.created_at, default=None)


async def _opened_before(call: Call, bucket: Item[Bucket], key: Item[DataKey]) -> bytes | None:
    """After a restart the first writer may be one who may not decrypt: it gets a key of its own."""
    remembered = call.objects.data_keys.get(key.name)
    if remembered is not None:
        return remembered
    try:
        return await _open(call, bucket, key)
    except AWSError:
        return None


async def _open(call: Call, bucket: Item[Bucket], key: Item[DataKey]) -> bytes:
    """Asks KMS each time: leave may have been taken back, the key disabled."""
    made = await _ask_kms(
        call,
        bucket,
        "Decrypt",
        {
            "KeyId": key.record.kms_key,
            "CiphertextBlob": key.record.ciphertext,
            "EncryptionContext": _context(bucket),
        },
    )
    call.objects.data_keys[key.name] = made["Plaintext"]
    return made["Plaintext"]


async def _ask_kms(
    call: Call, bucket: Item[Bucket], operation: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    if not call.objects.is_private:
        raise not_implemented("Encryption under KMS needs an object store that speaks TLS.")
    via = f"s3.{bucket.record.region}.amazonaws.com"
    try:
        return await call.perform("kms", operation, params, via=via)
    except AWSError as error:
        if error.code in ("NotFoundException", "DisabledException", "KMSInvalidStateException"):
            raise ServiceError(f"KMS.{error.code}", error.message, status=400) from error
        if error.code == "AccessDeniedException":
            raise ServiceError("AccessDenied", error.message, status=403) from error
        raise


def _context(bucket: Item[Bucket]) -> dict[str, str]:
    return {"aws:s3:arn": f"arn:aws:s3:::{bucket.name}"}


def _sealed(kms_key: str, name: str, plaintext: bytes) -> Sealing:
    return Sealing(_customer_headers(plaintext), told_of(kms_key), name)


def _customer_headers(plaintext: bytes) -> dict[str, str]:
    """The store knows the key for as long as a request takes (its SSE-C)."""
    # The MD5 of a key is a check on its transport that the protocol asks for.
    digest = hashlib.md5(plaintext, usedforsecurity=False).digest()
    prefix = "x-amz-server-side-encryption-customer"
    return {
        f"{prefix}-algorithm": "AES256",
        f"{prefix}-key": base64.b64encode(plaintext).decode(),
        f"{prefix}-key-md5": base64.b64encode(digest).decode(),
    }
