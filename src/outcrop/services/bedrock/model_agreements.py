"""Agreements: the offer of a model, accepted for the account in a region, and given up again."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ResourceNotFoundException
from outcrop.services.bedrock.access_changes import grant_access, remove_access
from outcrop.services.bedrock.foundation_models import get_foundation
from outcrop.services.bedrock.offers import read_offer_token, render_offer
from outcrop.services.call import Call
from outcrop.services.operation import operation


@operation
async def list_foundation_model_agreement_offers(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    """One offer, to everyone: ALL and PUBLIC are the same."""
    model = get_foundation(call, params["modelId"])
    return {"modelId": model.id, "offers": [render_offer(call, model)]}


@operation
async def create_foundation_model_agreement(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    model = get_foundation(call, params["modelId"])
    offer = read_offer_token(call, model, params["offerToken"])
    await grant_access(call, model, offer)
    return {"modelId": model.id}


@operation
async def delete_foundation_model_agreement(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    model = get_foundation(call, params["modelId"])
    if not await remove_access(call, model):
        raise ResourceNotFoundException(
            f"The account has no access to {model.id} in {call.region} that could be removed."
        )
    return {}
