"""What accounts have made of a model: while there is any of it, access to the model stays."""

from collections.abc import Mapping

from outcrop.catalog.catalog import Catalog
from outcrop.catalog.model import Model
from outcrop.services.bedrock.customization.states import is_ended
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import CustomModel, CustomModelDeployment, ProvisionedModel
from outcrop.stores.resources import Place, View


async def find_dependents(
    view: View, catalog: Catalog, account: str, region: str, model: Model
) -> list[str]:
    """ARNs of what uses the model or a variant of it, in order."""
    found = await dependents_by_place(view, catalog, account=account, region=region)
    return found.get(Place(account, region, model.base_id or model.id), [])


async def dependents_by_place(
    view: View, catalog: Catalog, *, account: str | None = None, region: str | None = None
) -> Mapping[Place, list[str]]:
    """The same of every model, under the places of access to it."""
    bases = {model.id: model.base_id or model.id for model in catalog.all()}
    bought = await view.list(ProvisionedModel, account=account, region=region)
    trained = await view.list(CustomModel, account=account, region=region)
    jobs = await view.list(CustomizationJob, account=account, region=region)
    deployed = await view.list(CustomModelDeployment, account=account, region=region)
    trained_on = {item.arn: item.record.base_model for item in trained}
    found: dict[Place, list[str]] = {}
    for item, model_id in (
        *((item, item.record.foundation_model) for item in bought),
        *((item, item.record.base_model) for item in trained),
        *((item, item.record.base_model) for item in jobs if not is_ended(item.record)),
        # One that failed outlives its model, and needs no access any more.
        *(
            (item, trained_on[item.record.model])
            for item in deployed
            if item.record.model in trained_on
        ),
    ):
        place = Place(item.place.account, item.place.region, bases.get(model_id, model_id))
        found.setdefault(place, []).append(item.arn or item.name)
    return {place: sorted(arns) for place, arns in found.items()}
