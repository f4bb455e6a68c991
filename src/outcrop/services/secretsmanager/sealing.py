"""Secret values are encrypted by KMS, as their caller: without leave for the key nobody reads one.

A data key per version is made by GenerateDataKey with the secret and the version as encryption
context; the value itself, up to 64 KiB, is sealed under it.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from outcrop.errors import AWSError, ServiceError
from outcrop.identity import SealedSecretError
from outcrop.security.secret_values import DamagedValue, open_value, seal_value
from outcrop.services.call import Call
from outcrop.stores.kms_managed import ensure_managed_key
from outcrop.stores.kms_records import read_reference
from outcrop.stores.secret_records import SealedValue, SecretVersion

_SERVICE = "secretsmanager"
_DEFAULT_KEY = f"alias/aws/{_SERVICE}"


def read_value(params: Mapping[str, Any]) -> tuple[bytes, bool] | None:
    """The value of a request and whether it is binary; None if it has none."""
    text, binary = params.get("SecretString"), params.get("SecretBinary")
    if text is not None and binary is not None:
        raise ServiceError(
            "InvalidParameterException", "You can't specify both SecretString and SecretBinary."
        )
    if text is not None:
        return text.encode("utf-8", "surrogatepass"), False
    return None if binary is None else (binary, True)


async def seal_secret(
    call: Call, kms_key: str | None, arn: str, version_id: str, value: tuple[bytes, bool]
) -> SealedValue:
    owner = arn.split(":")[4]
    if kms_key in (None, _DEFAULT_KEY):
        kms_key = _DEFAULT_KEY
        await ensure_managed_key(call.stores, owner, call.region, _SERVICE, call.now)
    # A short name is one of the secret's account, whoever writes the value.
    reference = read_reference(kms_key, call.region, owner)
    if reference is not None:
        kms_key = reference.arn
    made = await _ask_kms(
        call,
        "GenerateDataKey",
        {
            "KeyId": kms_key,
            "KeySpec": "AES_256",
            "EncryptionContext": _context(arn, version_id),
        },
    )
    return SealedValue(
        sealed=seal_value(made["Plaintext"], value[0], _binding(arn, version_id)),
        data_key=made["CiphertextBlob"],
        key_arn=made["KeyId"],
        is_binary=value[1],
    )


async def open_secret(call: Call, arn: str, version: SecretVersion) -> bytes:
    opened = await _ask_kms(
        call,
        "Decrypt",
        {
            "CiphertextBlob": version.value.data_key,
            "KeyId": version.value.key_arn,
            "EncryptionContext": _context(arn, version.id),
        },
    )
    try:
        return open_value(opened["Plaintext"], version.value.sealed, _binding(arn, version.id))
    except DamagedValue as error:
        raise ServiceError("DecryptionFailure", str(error)) from error


def seal_digest(call: Call, arn: str, version_id: str, value: tuple[bytes, bool]) -> bytes:
    # Sealed, since a short secret could be guessed from its plain digest.
    return call.stores.sealer.seal(_digest(value), _binding(arn, version_id))


def is_same(call: Call, arn: str, version: SecretVersion, value: tuple[bytes, bool]) -> bool:
    try:
        known = call.stores.sealer.open(version.digest, _binding(arn, version.id))
    except SealedSecretError:
        return False
    return hmac.compare_digest(known, _digest(value))


def _digest(value: tuple[bytes, bool]) -> bytes:
    return hashlib.sha256(bytes([value[1]]) + value[0]).digest()


def _context(arn: str, version_id: str) -> dict[str, str]:
    return {"SecretARN": arn, "SecretVersionId": version_id}


def _binding(arn: str, version_id: str) -> bytes:
    return f"{arn}|{version_id}".encode()


async def _ask_kms(call: Call, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    via = f"{_SERVICE}.{call.region}.amazonaws.com"
    try:
        return await call.perform("kms", operation, params, via=via)
    except AWSError as error:
        raise _failure(operation, error) from error


def _failure(operation: str, error: AWSError) -> AWSError:
    if error.code == "AccessDeniedException":
        return ServiceError("AccessDeniedException", "Access to KMS is not allowed", status=400)
    if operation == "Decrypt":
        return ServiceError(
            "DecryptionFailure",
            f"Secrets Manager can't decrypt the secret value with its KMS key: {error.message}",
        )
    return ServiceError(
        "EncryptionFailure",
        f"Secrets Manager can't encrypt the secret value with its KMS key: {error.message}",
    )
