"""What is noted of a model's call while it runs, for metrics, logs and traces."""

from outcrop.capacity.served_models import model_of_arn
from outcrop.catalog.catalog import Catalog, NoSuchModel, WrongRegion
from outcrop.catalog.model import Model
from outcrop.journal.records import Invocation, Modality
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import (
    CustomModelDeployment,
    InferenceProfile,
    ProvisionedModel,
)
from outcrop.stores.resources import Place


def invocation_of(model_id: str, model: Model) -> Invocation:
    """``model_id`` as the caller named it."""
    return Invocation(model_id, model.id, _modality(model))


def find_invocation(
    catalog: Catalog, models: Mirror, place: Place, model_id: str
) -> Invocation | None:
    """Of a call that was refused before it came to a model; None where ``model_id`` means none.
    ``place`` is the caller's account and region."""
    try:
        model = catalog.find(model_id, place.region)
    except WrongRegion:
        return None
    if model is None:
        model = _of_own(catalog, models, place, model_id)
    return invocation_of(model_id, model) if model is not None else None


def _of_own(catalog: Catalog, models: Mirror, place: Place, model_id: str) -> Model | None:
    """Behind provisioned throughput, a deployment or a profile of the account."""
    if model_id.startswith("arn:"):
        found = models.find_arn(model_id)
    else:
        found = models.find(ProvisionedModel, Place(place.account, place.region, model_id))
    if found is None or found.place.account != place.account:
        return None
    record = found.record
    if isinstance(record, ProvisionedModel):
        return catalog.find_foundation_model(record.foundation_model, place.region)
    if isinstance(record, InferenceProfile):
        base = record.models[0].rpartition("/")[2]
        return catalog.find_foundation_model(base, place.region)
    if isinstance(record, CustomModelDeployment):
        return _served(catalog, models, place.region, record)
    return None


def _served(
    catalog: Catalog, models: Mirror, region: str, record: CustomModelDeployment
) -> Model | None:
    try:
        return model_of_arn(models, catalog, record.model, region)
    except NoSuchModel:
        # One that failed outlives its model.
        return None


def _modality(model: Model) -> Modality:
    if "EMBEDDING" in model.output_modalities:
        return "embedding"
    return "image" if "IMAGE" in model.output_modalities else "text"
