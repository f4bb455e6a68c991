"""Whether an account may use a model: entitlement, which is not the caller's permission."""

from outcrop.catalog.model import Model
from outcrop.errors import AccessDeniedException
from outcrop.services.call import Call
from outcrop.stores.model_records import ModelAccess
from outcrop.stores.resources import Item, Place, View

_NO_ACCESS = "You don't have access to the model with the specified model ID."


def has_access(call: Call, model: Model, region: str) -> bool:
    """A variant is its base model here."""
    return is_granted(call, call.stores.models.find(ModelAccess, access_place(call, model, region)))


def require_access(call: Call, model: Model, region: str) -> None:
    if not has_access(call, model, region):
        raise no_access()


async def require_access_in(view: View, call: Call, model: Model, region: str) -> None:
    """Within the transaction that relies on it, where a removal cannot come in between."""
    if not is_granted(call, await view.find(ModelAccess, access_place(call, model, region))):
        raise no_access()


def no_access() -> AccessDeniedException:
    return AccessDeniedException(_NO_ACCESS)


def access_place(call: Call, model: Model, region: str) -> Place:
    return Place(call.account, region, model.base_id or model.id)


def is_granted(call: Call, found: Item[ModelAccess] | None) -> bool:
    if found is None:
        return call.serving.access_default == "all"
    return found.record.status == "granted"
