"""The custom models of an account. What one was trained with, its customization job keeps.

One that serves, or is about to, is not deleted; of one that is, a job removes the artifacts.
"""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.catalog.arns import foundation_model_arn
from outcrop.errors import ConflictException
from outcrop.jobs.queue import submit
from outcrop.services.bedrock.customization.discarding import discarded
from outcrop.services.bedrock.customization.kinds import DISCARD
from outcrop.services.bedrock.customization.results import render_results
from outcrop.services.bedrock.customization.users import needs
from outcrop.services.bedrock.owned import get_owned, is_between, page_owned
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import CustomModel, CustomModelDeployment, ProvisionedModel
from outcrop.stores.resources import Item, View

_STATUS: Final = "Active"
"""Of every one: a model is added when its job has completed."""


@operation
async def get_custom_model(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await get_owned(view, call, CustomModel, params["modelIdentifier"])
        job = await _find_job(view, item)
    answer: dict[str, Any] = {
        "modelArn": item.arn,
        "modelName": item.name,
        "baseModelArn": _base_arn(item),
        "creationTime": item.created_at,
        "modelStatus": _STATUS,
    }
    if item.record.kms_key is not None:
        answer["modelKmsKeyArn"] = item.record.kms_key
    if job is None:
        return answer
    return answer | {"jobArn": job.arn, "jobName": job.name} | render_results(job.record)


@operation
async def list_custom_models(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """``isOwned: false`` asks for models that others share, of which there are none."""
    async with call.stores.resources.reading() as view:
        items = await view.list(CustomModel, account=call.account, region=call.region)
        jobs = await view.list(CustomizationJob, account=call.account, region=call.region)
    types = {job.arn: job.record.type for job in jobs}

    def summary(item: Item[CustomModel]) -> dict[str, Any]:
        job_arn = item.record.job_arn
        known = {"customizationType": types[job_arn]} if job_arn in types else {}
        return _summary(item) | known

    return page_owned(call, params, [item for item in items if _passes(item, params)], summary)


@operation
async def delete_custom_model(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        item = await get_owned(transaction, call, CustomModel, params["modelIdentifier"])
        users = await _users_of(transaction, item)
        if users:
            raise ConflictException(
                f"The custom model {item.arn} is in use and cannot be deleted. Delete what uses "
                f"it, or switch that to another model, first: {', '.join(users)}"
            )
        await transaction.remove(CustomModel, item.place)
        await submit(transaction, DISCARD, str(item.arn), discarded(item.record))
    return {}


async def _find_job(view: View, item: Item[CustomModel]) -> Item[CustomizationJob] | None:
    if item.record.job_arn is None:
        return None
    return await view.find_arn(CustomizationJob, item.record.job_arn)


async def _users_of(view: View, model: Item[CustomModel]) -> list[str]:
    """ARNs."""
    place = {"account": model.place.account, "region": model.place.region}
    bought = await view.list(ProvisionedModel, **place)
    deployed = await view.list(CustomModelDeployment, **place)
    arn = str(model.arn)
    return sorted(str(item.arn) for item in (*bought, *deployed) if needs(item.record, arn))


def _base_arn(item: Item[CustomModel]) -> str:
    return foundation_model_arn(item.place.region, item.record.base_model)


def _passes(item: Item[CustomModel], filters: Mapping[str, Any]) -> bool:
    base = _base_arn(item)
    return (
        is_between(
            item.created_at, filters.get("creationTimeAfter"), filters.get("creationTimeBefore")
        )
        and filters.get("nameContains", "") in item.name
        and filters.get("baseModelArnEquals", base) == base
        and filters.get("foundationModelArnEquals", base) == base
        and filters.get("isOwned", True)
        and filters.get("modelStatus", _STATUS) == _STATUS
    )


def _summary(item: Item[CustomModel]) -> dict[str, Any]:
    return {
        "modelArn": item.arn,
        "modelName": item.name,
        "creationTime": item.created_at,
        "baseModelArn": _base_arn(item),
        # Its pattern knows no variants.
        "baseModelName": item.record.base_model.partition(":")[0],
        "ownerAccountId": item.place.account,
        "modelStatus": _STATUS,
    }
