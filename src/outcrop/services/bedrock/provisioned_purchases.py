"""Buying provisioned throughput. The answer says that it is bought; a job gets it into service."""

import calendar
from datetime import datetime
from typing import Any, Final

from outcrop.billing.prices import unit_of
from outcrop.capacity.provisioning import PROVISION
from outcrop.catalog.account_arns import new_resource_id, provisioned_model_arn
from outcrop.errors import ValidationException
from outcrop.jobs.queue import submit
from outcrop.services.bedrock.provisionable_models import (
    Provisionable,
    get_provisionable,
    require_still_there,
    require_use,
)
from outcrop.services.bedrock.provisioned_units import check_terms, require_units
from outcrop.services.call import Call
from outcrop.services.idempotency import remember, replay
from outcrop.services.operation import operation
from outcrop.services.tagging import most_tags, read_tags
from outcrop.stores.failures import NameTaken
from outcrop.stores.model_records import Commitment, ProvisionedModel
from outcrop.stores.resources import Place

_MONTHS: Final[dict[Commitment, int]] = {"OneMonth": 1, "SixMonths": 6}


@operation
async def create_provisioned_model_throughput(call: Call, params: Any) -> dict[str, Any]:
    model = get_provisionable(call, params["modelId"])
    await require_use(call, model)
    name = params["provisionedModelName"]
    tags = read_tags(params.get("tags"), name, most_tags(call))
    record = _record(call, params, model)
    check_terms(record)
    place = Place(call.account, call.region, name)
    arn = provisioned_model_arn(call.region, call.account, new_resource_id())
    async with call.stores.resources.writing() as transaction:
        replayed = await replay(transaction, call, params)
        if replayed is not None:
            return replayed
        await require_still_there(transaction, call, model)
        existing = await transaction.list(
            ProvisionedModel, account=call.account, region=call.region
        )
        require_units(call, record, existing)
        try:
            await transaction.add(record, place, arn=arn, tags=tags)
        except NameTaken as error:
            raise name_taken(name) from error
        await submit(transaction, PROVISION, arn)
        answer = {"provisionedModelArn": arn}
        await remember(transaction, call, params, answer)
    return answer


def name_taken(name: str) -> ValidationException:
    """Neither Create nor Update declares ConflictException, which a client could not tell apart
    from an unknown error."""
    return ValidationException(
        f"There is a provisioned model named {name!r} already. Choose another name."
    )


def _record(call: Call, params: Any, model: Provisionable) -> ProvisionedModel:
    units: int = params["modelUnits"]
    commitment: Commitment | None = params.get("commitmentDuration")
    return ProvisionedModel(
        units=units,
        desired_units=units,
        model=model.arn,
        desired_model=model.arn,
        foundation_model=model.foundation.id,
        bought_for="base" if model.custom is None else "custom",
        unit=unit_of(model.foundation, call.serving.capacity_config, commitment),
        commitment=commitment,
        commitment_ends_at=commitment and months_after(call.now, _MONTHS[commitment]),
        by=call.caller.arn,
    )


def months_after(moment: datetime, months: int) -> datetime:
    """The same day of a later month, or that month's last where it is shorter."""
    years, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + years, month + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day)
