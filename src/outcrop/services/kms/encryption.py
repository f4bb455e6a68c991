"""Encrypt, Decrypt, ReEncrypt. What a ciphertext is of is believed only once it has been opened."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import AWSError, ServiceError
from outcrop.security.ciphertexts import Header, NotOurs, read_header, seal, unseal
from outcrop.services.call import Call
from outcrop.services.kms.grant_tokens import require_grant_tokens
from outcrop.services.kms.references import (
    NO_SUCH_CIPHERTEXT_KEY,
    denied,
    get_key,
    keyring_of,
    require_not_dry,
    require_usable,
)
from outcrop.services.operation import operation
from outcrop.stores.keyring import Keyring
from outcrop.stores.kms_records import KeyReference, KmsKey
from outcrop.stores.resources import Item

ALGORITHM = "SYMMETRIC_DEFAULT"

Context = Mapping[str, str]


@operation
async def encrypt(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    require_algorithm(params, "EncryptionAlgorithm")
    key = await get_usable_key(call, params)
    require_not_dry(params)
    blob = encrypted(await keyring_of(call), key, params["Plaintext"], context_of(params))
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": ALGORITHM}


@operation
async def decrypt(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    require_algorithm(params, "EncryptionAlgorithm")
    require_no_enclave(params)
    require_blob(params)
    key, header, plaintext = await _open(call, params, "KeyId", context_of(params))
    require_not_dry(params)
    return {
        "KeyId": key.arn,
        "Plaintext": plaintext,
        "EncryptionAlgorithm": ALGORITHM,
        "KeyMaterialId": header.material_id,
    }


@operation
async def re_encrypt(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    require_algorithm(params, "SourceEncryptionAlgorithm")
    require_algorithm(params, "DestinationEncryptionAlgorithm")
    require_blob(params)
    source_context = context_of(params, "SourceEncryptionContext")
    source, header, plaintext = await _open(call, params, "SourceKeyId", source_context)
    target = await get_usable_key(call, params, "DestinationKeyId")
    require_not_dry(params)
    context = context_of(params, "DestinationEncryptionContext")
    blob = encrypted(await keyring_of(call), target, plaintext, context)
    return {
        "CiphertextBlob": blob,
        "SourceKeyId": source.arn,
        "KeyId": target.arn,
        "SourceEncryptionAlgorithm": ALGORITHM,
        "DestinationEncryptionAlgorithm": ALGORITHM,
        "SourceKeyMaterialId": header.material_id,
        "DestinationKeyMaterialId": target.record.materials[-1].id,
    }


async def get_usable_key(
    call: Call, params: Mapping[str, Any], member: str = "KeyId"
) -> Item[KmsKey]:
    await require_grant_tokens(call, params)
    key = await get_key(call, params[member], by_alias=True, of_others=True)
    require_usable(key)
    return key


def encrypted(keyring: Keyring, key: Item[KmsKey], plaintext: bytes, context: Context) -> bytes:
    material = key.record.materials[-1]
    header = Header(key.place.account, key.name, material.id)
    return seal(header, keyring.material(key, material), plaintext, context)


def context_of(params: Mapping[str, Any], member: str = "EncryptionContext") -> Context:
    return params.get(member, {})


def require_algorithm(params: Mapping[str, Any], member: str) -> None:
    asked = params.get(member, ALGORITHM)
    if asked != ALGORITHM:
        raise ServiceError(
            "InvalidKeyUsageException",
            f"Algorithm {asked} is incompatible with key spec SYMMETRIC_DEFAULT.",
        )


def require_no_enclave(params: Mapping[str, Any]) -> None:
    if "Recipient" in params:
        raise ServiceError(
            "ValidationException",
            "Recipient is not supported: there are no Nitro enclaves here. Leave it out.",
        )


def require_blob(params: Mapping[str, Any]) -> None:
    if params.get("DryRunModifiers"):
        raise ServiceError(
            "ValidationException",
            "DryRunModifiers are not supported. Send the ciphertext and leave them out.",
        )
    if "CiphertextBlob" not in params:
        raise ServiceError("ValidationException", "CiphertextBlob is required.")


async def _open(
    call: Call, params: Mapping[str, Any], member: str, context: Context
) -> tuple[Item[KmsKey], Header, bytes]:
    await require_grant_tokens(call, params)
    keyring = await keyring_of(call)
    named = None
    if member in params:
        named = await get_key(call, params[member], by_alias=True, of_others=True)
    blob = params["CiphertextBlob"]
    try:
        header = read_header(blob)
    except NotOurs as error:
        raise _invalid() from error
    key = keyring.find(KeyReference(call.region, header.account, header.key_id))
    if named is not None and (key is None or key.place != named.place):
        raise ServiceError(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        )
    if key is None:
        raise denied(NO_SUCH_CIPHERTEXT_KEY)
    require_usable(key)
    return key, header, _opened(keyring, key, header, blob, context)


def _opened(
    keyring: Keyring, key: Item[KmsKey], header: Header, blob: bytes, context: Context
) -> bytes:
    for material in key.record.materials:
        if material.id == header.material_id:
            try:
                return unseal(blob, keyring.material(key, material), context)
            except NotOurs as error:
                raise _invalid() from error
    raise _invalid()


def _invalid() -> AWSError:
    # Seen at AWS: without a text, so that it tells nothing about what was wrong.
    return ServiceError("InvalidCiphertextException", "")
