"""Custom models served on demand. The answer says that one is asked for; a job gets it to serve.

While another model is put in its place, the old one goes on serving.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.catalog.account_arns import deployment_arn, new_resource_id
from outcrop.errors import ValidationException
from outcrop.jobs.queue import submit
from outcrop.services.bedrock.customization.kinds import DEPLOY, RETIRE
from outcrop.services.bedrock.customization.users import CHANGING
from outcrop.services.bedrock.owned import get_owned, is_between, page_owned
from outcrop.services.bedrock.provisionable_models import (
    get_custom,
    require_still_there,
    require_use,
)
from outcrop.services.call import Call
from outcrop.services.idempotency import remember, replay
from outcrop.services.operation import operation
from outcrop.services.tagging import most_tags, read_tags
from outcrop.stores.failures import NameTaken
from outcrop.stores.model_records import CustomModelDeployment
from outcrop.stores.resources import Item, Place

_IDENTIFIER: Final = "customModelDeploymentIdentifier"


@operation
async def create_custom_model_deployment(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    model = get_custom(call, params["modelArn"])
    await require_use(call, model)
    name = params["modelDeploymentName"]
    tags = read_tags(params.get("tags"), name, most_tags(call))
    record = CustomModelDeployment(
        model=model.arn,
        desired_model=model.arn,
        description=params.get("description"),
        by=call.caller.arn,
    )
    arn = deployment_arn(call.region, call.account, new_resource_id())
    async with call.stores.resources.writing() as transaction:
        replayed = await replay(transaction, call, params)
        if replayed is not None:
            return replayed
        await require_still_there(transaction, call, model)
        try:
            place = Place(call.account, call.region, name)
            await transaction.add(record, place, arn=arn, tags=tags)
        except NameTaken as error:
            # Its model does not declare ConflictException.
            raise ValidationException(
                f"There is a custom model deployment named {name!r} already. Choose another name."
            ) from error
        await submit(transaction, DEPLOY, arn)
        answer = {"customModelDeploymentArn": arn}
        await remember(transaction, call, params, answer)
    return answer


@operation
async def get_custom_model_deployment(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await get_owned(view, call, CustomModelDeployment, params[_IDENTIFIER])
    record = item.record
    answer = _facts(item) | {"modelDeploymentName": item.name}
    if record.description is not None:
        answer["description"] = record.description
    update = "Updating" if record.status == "Updating" else record.updated
    if update is not None:
        answer["updateDetails"] = {"modelArn": record.desired_model, "updateStatus": update}
    return answer


@operation
async def list_custom_model_deployments(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        items = await view.list(CustomModelDeployment, account=call.account, region=call.region)
    return page_owned(call, params, [item for item in items if _passes(item, params)], _summary)


@operation
async def update_custom_model_deployment(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """One that serves the model already is left alone, so that a request may be sent again."""
    model = get_custom(call, params["modelArn"])
    await require_use(call, model)
    async with call.stores.resources.writing() as transaction:
        item = await get_owned(transaction, call, CustomModelDeployment, params[_IDENTIFIER])
        if model.arn != _wanted(item.record):
            _require_active(item)
            await require_still_there(transaction, call, model)
            record = msgspec.structs.replace(
                item.record,
                status="Updating",
                desired_model=model.arn,
                failure=None,
                updated=None,
            )
            await transaction.put(replace(item, record=record))
            await submit(transaction, DEPLOY, str(item.arn))
    return {"customModelDeploymentArn": item.arn}


@operation
async def delete_custom_model_deployment(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        item = await get_owned(transaction, call, CustomModelDeployment, params[_IDENTIFIER])
        await transaction.remove(CustomModelDeployment, item.place)
        for model in {item.record.model, item.record.desired_model}:
            await submit(transaction, RETIRE, model)
    return {}


def _wanted(record: CustomModelDeployment) -> str | None:
    """What it serves, or is about to: one that failed serves nothing."""
    if record.status == "Failed":
        return None
    return record.desired_model if record.status in CHANGING else record.model


def _require_active(item: Item[CustomModelDeployment]) -> None:
    """Update declares no ConflictException either."""
    if item.record.status == "Active":
        return
    what = {
        "Creating": "is still being created. It can be updated when it is Active.",
        "Updating": "is being updated. It can be updated again when that has ended.",
        "Failed": "failed and cannot be updated. Delete it and create another one.",
    }[item.record.status]
    raise ValidationException(f"The custom model deployment {item.name!r} {what}")


def _status(record: CustomModelDeployment) -> str:
    """While it is updated it is active: it serves the old model."""
    return "Active" if record.status == "Updating" else record.status


def _passes(item: Item[CustomModelDeployment], filters: Mapping[str, Any]) -> bool:
    status = _status(item.record)
    return (
        is_between(item.created_at, filters.get("createdAfter"), filters.get("createdBefore"))
        and filters.get("nameContains", "") in item.name
        and filters.get("statusEquals", status) == status
        and filters.get("modelArnEquals", item.record.model) == item.record.model
    )


def _facts(item: Item[CustomModelDeployment]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "customModelDeploymentArn": item.arn,
        "modelArn": item.record.model,
        "createdAt": item.created_at,
        "status": _status(item.record),
        "lastUpdatedAt": item.changed_at,
    }
    if item.record.failure is not None:
        facts["failureMessage"] = item.record.failure
    return facts


def _summary(item: Item[CustomModelDeployment]) -> dict[str, Any]:
    return _facts(item) | {"customModelDeploymentName": item.name}
