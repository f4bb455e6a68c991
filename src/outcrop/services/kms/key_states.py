"""Enabled, disabled, pending deletion. A deletion happens when it is due, not before."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.kms.references import change_key, require_not_pending
from outcrop.services.operation import operation
from outcrop.stores.kms_records import KmsKey
from outcrop.stores.resources import Item

_DEFAULT_WINDOW_DAYS = 30
_WINDOW_DAYS = range(7, 31)


@operation
async def enable_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await _set_enabled(call, params, True)
    return {}


@operation
async def disable_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await _set_enabled(call, params, False)
    return {}


@operation
async def schedule_key_deletion(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    days = params.get("PendingWindowInDays", _DEFAULT_WINDOW_DAYS)
    if days not in _WINDOW_DAYS:
        raise ServiceError(
            "ValidationException", "PendingWindowInDays must be between 7 and 30 days."
        )
    deletes_at = call.now + timedelta(days=days)

    def schedule(key: Item[KmsKey]) -> KmsKey:
        require_not_pending(key)
        return msgspec.structs.replace(key.record, deletes_at=deletes_at)

    key = await change_key(call, params["KeyId"], schedule)
    return {
        "KeyId": key.arn,
        "DeletionDate": deletes_at,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }


@operation
async def cancel_key_deletion(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def cancel(key: Item[KmsKey]) -> KmsKey:
        if key.record.deletes_at is None:
            raise ServiceError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
        # As AWS does: what was to be deleted comes back disabled.
        return msgspec.structs.replace(key.record, deletes_at=None, enabled=False)

    key = await change_key(call, params["KeyId"], cancel)
    return {"KeyId": key.arn}


async def _set_enabled(call: Call, params: Mapping[str, Any], enabled: bool) -> None:
    def change(key: Item[KmsKey]) -> KmsKey:
        require_not_pending(key)
        return msgspec.structs.replace(key.record, enabled=enabled)

    await change_key(call, params["KeyId"], change)
