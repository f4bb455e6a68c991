"""Data keys and random bytes."""

import secrets
from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.kms.encryption import (
    context_of,
    encrypted,
    get_usable_key,
    require_no_enclave,
)
from outcrop.services.kms.references import keyring_of, require_not_dry
from outcrop.services.operation import operation

_SPECS = {"AES_256": 32, "AES_128": 16}


@operation
async def generate_data_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _generate(call, params)


@operation
async def generate_data_key_without_plaintext(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    made = await _generate(call, params)
    del made["Plaintext"]
    return made


@operation
async def generate_random(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    require_no_enclave(params)
    if "CustomKeyStoreId" in params:
        raise ServiceError(
            "CustomKeyStoreNotFoundException",
            f"There is no custom key store {params['CustomKeyStoreId']!r}.",
        )
    if "NumberOfBytes" not in params:
        raise ServiceError("ValidationException", "NumberOfBytes is required.")
    return {"Plaintext": secrets.token_bytes(params["NumberOfBytes"])}


async def _generate(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    require_no_enclave(params)
    size = _size(params)
    key = await get_usable_key(call, params)
    require_not_dry(params)
    plaintext = secrets.token_bytes(size)
    return {
        "CiphertextBlob": encrypted(await keyring_of(call), key, plaintext, context_of(params)),
        "Plaintext": plaintext,
        "KeyId": key.arn,
        "KeyMaterialId": key.record.materials[-1].id,
    }


def _size(params: Mapping[str, Any]) -> int:
    if ("KeySpec" in params) == ("NumberOfBytes" in params):
        raise ServiceError(
            "ValidationException", "Please specify either number of bytes or key spec."
        )
    return params["NumberOfBytes"] if "NumberOfBytes" in params else _SPECS[params["KeySpec"]]
