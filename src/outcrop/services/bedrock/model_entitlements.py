"""Entitlements: access to a model as the console gives and takes it, without an offer."""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.services.bedrock.access_changes import grant_access, remove_access
from outcrop.services.bedrock.foundation_models import get_foundation
from outcrop.services.call import Call
from outcrop.services.operation import operation

_SUCCESS: Final = {"status": "SUCCESS"}


@operation
async def put_foundation_model_entitlement(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await grant_access(call, get_foundation(call, params["modelId"]))
    return dict(_SUCCESS)


@operation
async def delete_foundation_model_entitlement(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Of what is not there as well: afterwards it is not there."""
    await remove_access(call, get_foundation(call, params["modelId"]))
    return dict(_SUCCESS)
