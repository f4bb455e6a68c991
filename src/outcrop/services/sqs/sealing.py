"""Bodies at rest: under the deployment's key, as SQS does unasked, or under the queue's KMS key.

A KMS data key is made and opened as the caller, with the queue's ARN as encryption context, and
reused for as long as the queue says.
"""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.errors import AWSError, ServiceError
from outcrop.queues.messages import Seal
from outcrop.security.secret_values import DamagedValue, open_value, seal_value
from outcrop.services.call import Call
from outcrop.services.sqs.references import settings_of
from outcrop.stores.kms_managed import ensure_managed_key
from outcrop.stores.kms_records import read_reference
from outcrop.stores.queue_records import Queue
from outcrop.stores.resources import Item

_SERVICE: Final = "sqs"
_DEFAULT_KEY: Final = f"alias/aws/{_SERVICE}"
_CONTEXT: Final = "aws:sqs:arn"
_CODES: Final = {
    "AccessDeniedException": "KmsAccessDenied",
    "DisabledException": "KmsDisabled",
    "InvalidKeyUsageException": "KmsInvalidKeyUsage",
    "KMSInvalidStateException": "KmsInvalidState",
    "NotFoundException": "KmsNotFound",
    "ThrottlingException": "KmsThrottled",
}


async def seal_body(
    call: Call, queue: Item[Queue], message_id: str, body: bytes
) -> tuple[bytes, Seal | None]:
    settings = settings_of(queue)
    if settings.kms_key is not None:
        arn = queue.arn or ""
        key_arn = await _key_arn(call, queue, settings.kms_key)
        reuse_s = settings.number("KmsDataKeyReusePeriodSeconds")
        plain, encrypted = await _new_data_key(call, arn, key_arn, reuse_s)
        sealed = seal_value(plain, body, message_id.encode())
        return sealed, Seal(arn, key_arn, encrypted)
    if settings.is_sealed:
        return call.stores.sealer.seal(body, message_id.encode()), Seal()
    return body, None


async def open_body(
    call: Call, queue: Item[Queue], message_id: str, body: bytes, seal: Seal | None
) -> bytes:
    if seal is None:
        return body
    if not seal.key_arn:
        return call.stores.sealer.open(body, message_id.encode())
    plain = await _opened_data_key(call, queue, seal)
    try:
        return open_value(plain, body, message_id.encode())
    except DamagedValue as error:
        raise ServiceError("InvalidMessageContents", str(error)) from error


async def _key_arn(call: Call, queue: Item[Queue], name: str) -> str:
    """A short name is one of the queue's account, whoever sends."""
    owner = queue.place.account
    if name == _DEFAULT_KEY:
        await ensure_managed_key(call.stores, owner, call.region, _SERVICE, call.now)
    reference = read_reference(name, call.region, owner)
    return reference.arn if reference is not None else name


async def _new_data_key(
    call: Call, queue_arn: str, key_arn: str, reuse_s: int
) -> tuple[bytes, bytes]:
    keys, names = call.observing.queues.data_keys, (queue_arn, key_arn, call.caller.arn)
    now_s = call.now.timestamp()
    found = keys.find(names, now_s)
    if found is not None:
        return found
    made = await _ask_kms(
        call,
        "GenerateDataKey",
        {"KeyId": key_arn, "KeySpec": "AES_256", "EncryptionContext": {_CONTEXT: queue_arn}},
    )
    pair = (made["Plaintext"], made["CiphertextBlob"])
    keys.keep(names, now_s + reuse_s, pair)
    return pair


async def _opened_data_key(call: Call, queue: Item[Queue], seal: Seal) -> bytes:
    keys, names = call.observing.queues.data_keys, (seal.data_key.hex(), call.caller.arn)
    now_s = call.now.timestamp()
    found = keys.find(names, now_s)
    if found is not None:
        return found[0]
    opened = await _ask_kms(
        call,
        "Decrypt",
        {
            "CiphertextBlob": seal.data_key,
            "KeyId": seal.key_arn,
            "EncryptionContext": {_CONTEXT: seal.queue},
        },
    )
    reuse_s = settings_of(queue).number("KmsDataKeyReusePeriodSeconds")
    keys.keep(names, now_s + reuse_s, (opened["Plaintext"], seal.data_key))
    return opened["Plaintext"]


async def _ask_kms(call: Call, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    via = f"{_SERVICE}.{call.region}.amazonaws.com"
    try:
        return await call.perform("kms", operation, params, via=via)
    except AWSError as error:
        code = _CODES.get(error.code, "KmsInvalidState")
        raise ServiceError(code, error.message, status=400) from error
