"""Changes of provisioned throughput: its name at once, its model by a job while the old one serves.

What it was bought for bounds what it can be switched to: throughput of a custom model to another
one of the same base or to that base, throughput of a base model to another variant of it.
"""

from dataclasses import replace
from typing import Any

import msgspec

from outcrop.capacity.provisioning import UPDATE
from outcrop.catalog.catalog import Catalog
from outcrop.errors import ValidationException
from outcrop.jobs.queue import submit
from outcrop.services.bedrock.provisionable_models import (
    Provisionable,
    get_provisionable,
    require_still_there,
    require_use,
)
from outcrop.services.bedrock.provisioned_purchases import name_taken
from outcrop.services.bedrock.provisioned_throughputs import get_own
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.failures import NameTaken
from outcrop.stores.model_records import ProvisionedModel
from outcrop.stores.resources import Item, Transaction


@operation
async def update_provisioned_model_throughput(call: Call, params: Any) -> dict[str, Any]:
    """What is as asked for already is left alone, so that a request may be sent again."""
    name = params.get("desiredProvisionedModelName")
    model_id = params.get("desiredModelId")
    if name is None and model_id is None:
        raise ValidationException(
            "Nothing to update. Give desiredProvisionedModelName, desiredModelId or both."
        )
    model = None if model_id is None else get_provisionable(call, model_id)
    if model is not None:
        await require_use(call, model)
    async with call.stores.resources.writing() as transaction:
        item = await get_own(transaction, call, params["provisionedModelId"])
        renames = name not in (None, item.name)
        switches = model is not None and model.arn != item.record.desired_model
        if renames or switches:
            _require_in_service(item)
        if renames:
            item = await _rename(transaction, item, str(name))
        if model is not None and switches:
            await _switch(transaction, call, item, model)
    return {}


async def _rename(
    transaction: Transaction, item: Item[ProvisionedModel], name: str
) -> Item[ProvisionedModel]:
    try:
        return await transaction.rename(item, name, arn=item.arn)
    except NameTaken as error:
        raise name_taken(name) from error


async def _switch(
    transaction: Transaction, call: Call, item: Item[ProvisionedModel], model: Provisionable
) -> None:
    _require_same_base(call.catalog, item, model)
    await require_still_there(transaction, call, model)
    record = msgspec.structs.replace(item.record, status="Updating", desired_model=model.arn)
    await transaction.put(replace(item, record=record))
    await submit(transaction, UPDATE, str(item.arn))


def _require_in_service(item: Item[ProvisionedModel]) -> None:
    """Update declares no ConflictException either."""
    if item.record.status != "InService":
        raise ValidationException(
            f"The provisioned model {item.name!r} has the status {item.record.status}. It can be "
            "updated when it is InService."
        )


def _require_same_base(
    catalog: Catalog, item: Item[ProvisionedModel], model: Provisionable
) -> None:
    current = catalog.find_foundation_model(item.record.foundation_model, item.place.region)
    base_id = item.record.foundation_model if current is None else current.base_id or current.id
    if model.base_id != base_id:
        raise ValidationException(
            f"The provisioned model {item.name!r} can be switched to models of the base {base_id} "
            f"only; {model.arn} has the base {model.base_id}."
        )
    if model.custom is not None and item.record.bought_for == "base":
        raise ValidationException(
            f"The provisioned model {item.name!r} was bought for a base model and cannot be "
            "switched to a custom model. Buy provisioned throughput for that one."
        )
