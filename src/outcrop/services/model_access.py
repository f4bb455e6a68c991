"""Whether an account may use a model: entitlement, which is not the caller's permission."""

from outcrop.catalog.model import Model
from outcrop.errors import AccessDeniedException
from outcrop.services.call import Call
from outcrop.stores.model_records import ModelAccess
from outcrop.stores.resources import Place

_NO_ACCESS = "You don't have access to the model with the specified model ID."


def has_access(call: Call, model: Model, region: str) -> bool:
    """A variant is its base model here."""
    place = Place(call.account, region, model.base_id or model.id)
    found = call.stores.models.find(ModelAccess, place)
    if found is None:
        return call.serving.access_default == "all"
    return found.record.status == "granted"


def require_access(call: Call, model: Model, region: str) -> None:
    if not has_access(call, model, region):
        raise AccessDeniedException(_NO_ACCESS)
