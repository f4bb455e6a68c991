"""What stands between the caller and a model: region, agreement, entitlement, permission."""

from collections.abc import Mapping
from typing import Any

from outcrop.authorization.access import Access
from outcrop.catalog.arns import foundation_model_arn
from outcrop.catalog.model import Model
from outcrop.catalog.terms import terms_of
from outcrop.services.bedrock.access_changes import may_subscribe
from outcrop.services.bedrock.foundation_models import get_foundation
from outcrop.services.call import Call
from outcrop.services.model_access import has_access
from outcrop.services.operation import operation


@operation
async def get_foundation_model_availability(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    model_id = params["modelId"]
    # Also where this region does not offer it.
    known = next((each for each in call.catalog.all() if each.id == model_id), None)
    model = known or get_foundation(call, model_id)
    is_offered = call.catalog.find_foundation_model(model.id, call.region) is not None
    is_accessible = is_offered and has_access(call, model, call.region)
    # There is nothing to agree to with a seller where AWS sells its own.
    is_agreed = is_accessible or not terms_of(model.provider).marketplace
    return {
        "modelId": model.id,
        "agreementAvailability": {"status": _status(is_agreed)},
        "authorizationStatus": (
            "AUTHORIZED" if await _may_use(call, model, is_accessible) else "NOT_AUTHORIZED"
        ),
        "entitlementAvailability": _status(is_accessible),
        "regionAvailability": _status(is_offered),
    }


def _status(is_so: bool) -> str:
    return "AVAILABLE" if is_so else "NOT_AVAILABLE"


async def _may_use(call: Call, model: Model, is_accessible: bool) -> bool:
    """Invoke it, and subscribe to it where that is still to be done."""
    arn = foundation_model_arn(call.region, model.id)
    if not await call.may(Access("bedrock:InvokeModel", arn)):
        return False
    if is_accessible or not terms_of(model.provider).marketplace:
        return True
    return await may_subscribe(call, model)
