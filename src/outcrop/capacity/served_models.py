"""Which weights an ARN stands for: a model of the catalog, or a custom one on its base's facts."""

from dataclasses import replace
from typing import cast

from outcrop.catalog.arns import parse_arn
from outcrop.catalog.catalog import Catalog, NoSuchModel
from outcrop.catalog.model import Model
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import CustomModel
from outcrop.stores.resources import Item


def model_of_arn(models: Mirror, catalog: Catalog, arn: str, region: str) -> Model:
    """What ``arn`` of a foundation or custom model is served by. Raises ``NoSuchModel``."""
    if parse_arn(arn) is not None:
        found = catalog.find_foundation_model(arn, region)
    else:
        item = models.find_arn(arn)
        if item is None or not isinstance(item.record, CustomModel):
            raise NoSuchModel(arn)
        found = model_of_custom(cast("Item[CustomModel]", item), catalog, region)
    if found is None:
        raise NoSuchModel(arn)
    return found


def model_of_custom(item: Item[CustomModel], catalog: Catalog, region: str) -> Model | None:
    """Its base, with the engine that serves its weights; never with that of the base's own."""
    custom = item.record
    base = catalog.find_foundation_model(custom.base_model, region)
    if base is None:
        return None
    return replace(
        base,
        engine=custom.engine,
        engine_model=custom.engine_model,
        adapter=item.arn if custom.adapter is not None else None,
        standby=(),
    )
