"""What an account has made of a model: while there is any of it, access to the model stays."""

from outcrop.catalog.catalog import Catalog
from outcrop.catalog.model import Model
from outcrop.stores.model_records import CustomModel, ProvisionedModel
from outcrop.stores.resources import View


async def find_dependents(
    view: View, catalog: Catalog, account: str, region: str, model: Model
) -> list[str]:
    """ARNs of what uses the model or a variant of it, in order."""
    family = _family(catalog, model)
    bought = await view.list(ProvisionedModel, account=account, region=region)
    custom = await view.list(CustomModel, account=account, region=region)
    dependents = [item for item in bought if item.record.foundation_model in family]
    trained = [item for item in custom if item.record.base_model in family]
    return sorted(item.arn or item.name for item in (*dependents, *trained))


def _family(catalog: Catalog, model: Model) -> frozenset[str]:
    base = model.base_id or model.id
    return frozenset(each.id for each in catalog.all() if base in (each.id, each.base_id))
