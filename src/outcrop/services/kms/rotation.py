"""Rotation: new material encrypts, old material still decrypts."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.kms.listing import page_of
from outcrop.services.kms.references import change_key, get_key, require_not_pending, require_usable
from outcrop.services.operation import operation
from outcrop.stores.keyring import rotated
from outcrop.stores.kms_records import KmsKey, Material
from outcrop.stores.resources import Item

_DEFAULT_DAYS = 365
_MAX_ON_DEMAND = 25


@operation
async def enable_key_rotation(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def enable(key: Item[KmsKey]) -> KmsKey:
        require_usable(key)
        days = params.get("RotationPeriodInDays") or key.record.rotation_days or _DEFAULT_DAYS
        return msgspec.structs.replace(
            key.record, rotation_days=days, rotates_at=call.now + timedelta(days=days)
        )

    await change_key(call, params["KeyId"], enable)
    return {}


@operation
async def disable_key_rotation(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def disable(key: Item[KmsKey]) -> KmsKey:
        require_usable(key)
        return msgspec.structs.replace(key.record, rotation_days=None, rotates_at=None)

    await change_key(call, params["KeyId"], disable)
    return {}


@operation
async def rotate_key_on_demand(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def rotate(key: Item[KmsKey]) -> KmsKey:
        require_usable(key)
        made = [each for each in key.record.materials if each.rotation == "ON_DEMAND"]
        if len(made) >= _MAX_ON_DEMAND:
            raise ServiceError(
                "LimitExceededException",
                f"{key.arn} has been rotated on demand {_MAX_ON_DEMAND} times, which is the most.",
            )
        return rotated(call.stores.sealer, key.name, key.record, call.now, "ON_DEMAND")

    key = await change_key(call, params["KeyId"], rotate)
    return {"KeyId": key.arn}


@operation
async def get_key_rotation_status(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    key = await get_key(call, params["KeyId"], of_others=True)
    require_not_pending(key)
    record = key.record
    enabled = record.rotation_days is not None
    status: dict[str, Any] = {"KeyId": key.arn, "KeyRotationEnabled": enabled}
    if enabled:
        status["RotationPeriodInDays"] = record.rotation_days
        if record.enabled:
            status["NextRotationDate"] = record.rotates_at
    return status


@operation
async def list_key_rotations(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    key = await get_key(call, params["KeyId"])
    materials = key.record.materials
    if params.get("IncludeKeyMaterial", "ROTATIONS_ONLY") == "ROTATIONS_ONLY":
        shown = [each for each in materials if each.rotation is not None]
    else:
        shown = list(materials)
    return page_of(call, params, [_describe(key, each) for each in shown], default_limit=100)


def _describe(key: Item[KmsKey], material: Material) -> dict[str, Any]:
    current = material is key.record.materials[-1]
    described: dict[str, Any] = {
        "KeyId": key.name,
        "KeyMaterialId": material.id,
        "KeyMaterialState": "CURRENT" if current else "NON_CURRENT",
    }
    if material.rotation is not None:
        described["RotationType"] = material.rotation
        described["RotationDate"] = material.made_at
    return described
