"""What throughput can be reserved for: base models that AWS offers it of, and custom models; of
these, what is served on demand.

A base model is named by its provisioned-throughput ID (``anthropic.claude-v2:0:18k``) or, as the
documents' own samples do, by the ID of the model that has such variants.
"""

from dataclasses import dataclass
from typing import Final, cast

from outcrop.capacity.served_models import model_of_custom
from outcrop.catalog.arns import foundation_model_arn
from outcrop.catalog.catalog import WrongRegion
from outcrop.catalog.model import Model
from outcrop.errors import ResourceNotFoundException, ValidationException
from outcrop.services.call import Call
from outcrop.services.model_access import require_access, require_access_in
from outcrop.services.model_keys import require_model_key
from outcrop.stores.model_records import CustomModel
from outcrop.stores.resources import Item, Place, View

_UNRESOLVED: Final = "Could not resolve the foundation model from the provided model identifier."
_ARN_REGION: Final = 3


@dataclass(frozen=True, slots=True)
class Provisionable:
    """``foundation`` is the catalog's model: the one itself, or what ``custom`` was made from."""

    arn: str
    foundation: Model
    custom: Item[CustomModel] | None = None

    @property
    def base_id(self) -> str:
        return self.foundation.base_id or self.foundation.id


def get_provisionable(call: Call, identifier: str) -> Provisionable:
    """Raises where there is no such model, or no throughput to be had of it."""
    foundation = call.catalog.find_foundation_model(identifier, call.region)
    if foundation is None:
        return get_custom(call, identifier)
    if not _is_offered(call, foundation):
        raise ValidationException(
            f"Provisioned throughput is not available for the model {foundation.id}. Use the ID of "
            "a model, or of a variant of it, that has the inference type PROVISIONED."
        )
    return Provisionable(foundation_model_arn(call.region, foundation.id), foundation)


def _is_offered(call: Call, model: Model) -> bool:
    return any(
        "PROVISIONED" in each.inference_types
        for each in call.catalog.all(call.region)
        if each.id == model.id or each.base_id == model.id
    )


def get_custom(call: Call, identifier: str) -> Provisionable:
    """The same of custom models alone."""
    item = _find_custom(call, identifier)
    if item is None:
        raise ResourceNotFoundException(_UNRESOLVED)
    base = model_of_custom(item, call.catalog, call.region)
    if base is None:
        raise ValidationException(
            f"The base model {item.record.base_model} of {item.name!r} is not available in "
            f"{call.region}."
        )
    return Provisionable(str(item.arn), base, item)


def _find_custom(call: Call, identifier: str) -> Item[CustomModel] | None:
    if not identifier.startswith("arn:"):
        return call.stores.models.find(CustomModel, Place(call.account, call.region, identifier))
    if identifier.split(":")[_ARN_REGION] != call.region:
        raise WrongRegion(identifier, call.region)
    item = call.stores.models.find_arn(identifier)
    if item is None or not isinstance(item.record, CustomModel):
        return None
    return cast("Item[CustomModel]", item) if item.place.account == call.account else None


async def require_use(call: Call, model: Provisionable) -> None:
    """The account's access to the base model, and the caller's to the key that encrypts a custom
    one."""
    require_access(call, model.foundation, call.region)
    if model.custom is not None:
        await require_model_key(call, model.custom.record)


async def require_still_there(view: View, call: Call, model: Provisionable) -> None:
    """Once more in the transaction that relies on it: a removal may have come first."""
    await require_access_in(view, call, model.foundation, call.region)
    if model.custom is not None and await view.find(CustomModel, model.custom.place) is None:
        raise ResourceNotFoundException(_UNRESOLVED)
