"""Operations of asymmetric and HMAC keys. No key here is one, and the answers say so."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.kms.grant_tokens import require_grant_tokens
from outcrop.services.kms.references import get_key
from outcrop.services.operation import operation


@operation
async def sign(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _refuse(call, params)


@operation
async def verify(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _refuse(call, params)


@operation
async def generate_mac(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _refuse(call, params)


@operation
async def verify_mac(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _refuse(call, params)


@operation
async def derive_shared_secret(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _refuse(call, params)


@operation
async def get_public_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await require_grant_tokens(call, params)
    key = await get_key(call, params["KeyId"], by_alias=True, of_others=True)
    raise ServiceError(
        "UnsupportedOperationException",
        f"{key.arn} key spec is SYMMETRIC_DEFAULT which is not valid for GetPublicKey.",
    )


async def _refuse(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await require_grant_tokens(call, params)
    key = await get_key(call, params["KeyId"], by_alias=True, of_others=True)
    raise ServiceError(
        "InvalidKeyUsageException",
        f"{key.arn} key usage is ENCRYPT_DECRYPT which is not valid for {call.operation.name}.",
    )
