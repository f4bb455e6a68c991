"""The provisioned throughput of an account: found by name or ARN, listed, and given back.

Both names and ARNs are looked up in the records: an ARN does not tell the name.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

from outcrop.billing.accrual import accrue_in
from outcrop.capacity.provisioning import RELEASE
from outcrop.catalog.arns import foundation_model_arn
from outcrop.catalog.catalog import WrongRegion
from outcrop.errors import ConflictException, ResourceNotFoundException
from outcrop.jobs.queue import submit
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.model_records import ProvisionedModel
from outcrop.stores.resources import Item, Place, View
from outcrop.wire.paging import page

_ARN_REGION: Final = 3


@operation
async def get_provisioned_model_throughput(call: Call, params: Any) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await get_own(view, call, params["provisionedModelId"])
    failure = item.record.failure
    return _summary(item) | ({"failureMessage": failure} if failure else {})


@operation
async def list_provisioned_model_throughputs(call: Call, params: Any) -> dict[str, Any]:
    """The latest first, unless the request says otherwise."""
    async with call.stores.resources.reading() as view:
        items = await view.list(ProvisionedModel, account=call.account, region=call.region)
    kept = {str(item.arn): item for item in items if _passes(item, params)}
    ordered = sorted(
        kept,
        key=lambda arn: (kept[arn].created_at, arn),
        reverse=params.get("sortOrder") != "Ascending",
    )
    # Pages are counted over ARNs, since anything else may change from page to page.
    answer = page(call.operation, params, ordered)
    arns: list[str] = answer["provisionedModelSummaries"]
    return answer | {"provisionedModelSummaries": [_summary(kept[arn]) for arn in arns]}


@operation
async def delete_provisioned_model_throughput(call: Call, params: Any) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        item = await get_own(transaction, call, params["provisionedModelId"])
        _require_end_of_commitment(item, call.now)
        await accrue_in(transaction, item, call.now)
        await transaction.remove(ProvisionedModel, item.place)
        await submit(transaction, RELEASE, str(item.arn))
    # The job does the same where this process, or the caller's patience, ends first.
    await call.serving.capacity.release(str(item.arn))
    return {}


async def get_own(view: View, call: Call, identifier: str) -> Item[ProvisionedModel]:
    """By ARN or name; what belongs to another account is not there."""
    if identifier.startswith("arn:"):
        if identifier.split(":")[_ARN_REGION] != call.region:
            raise WrongRegion(identifier, call.region)
        item = await view.find_arn(ProvisionedModel, identifier)
    else:
        item = await view.find(ProvisionedModel, Place(call.account, call.region, identifier))
    if item is None or item.place.account != call.account:
        raise ResourceNotFoundException(
            f"There is no provisioned model {identifier!r} in {call.region}."
        )
    return item


def _require_end_of_commitment(item: Item[ProvisionedModel], now: datetime) -> None:
    ends_at = item.record.commitment_ends_at
    if item.record.status == "Failed" or ends_at is None or ends_at <= now:
        return
    raise ConflictException(
        f"The provisioned model {item.name!r} is committed until {ends_at:%Y-%m-%dT%H:%M:%SZ} and "
        "cannot be deleted before. The operator of this deployment can end the commitment: "
        f"outcrop capacity release {item.arn}"
    )


def _passes(item: Item[ProvisionedModel], filters: Mapping[str, Any]) -> bool:
    after = cast("datetime | None", filters.get("creationTimeAfter"))
    before = cast("datetime | None", filters.get("creationTimeBefore"))
    return (
        (after is None or item.created_at > after)
        and (before is None or item.created_at < before)
        and filters.get("statusEquals", item.record.status) == item.record.status
        and filters.get("modelArnEquals", item.record.model) == item.record.model
        and filters.get("nameContains", "") in item.name
    )


def _summary(item: Item[ProvisionedModel]) -> dict[str, Any]:
    record = item.record
    summary: dict[str, Any] = {
        "provisionedModelName": item.name,
        "provisionedModelArn": item.arn,
        "modelArn": record.model,
        "desiredModelArn": record.desired_model,
        "foundationModelArn": foundation_model_arn(item.place.region, record.foundation_model),
        "modelUnits": record.units,
        "desiredModelUnits": record.desired_units,
        "status": record.status,
        "creationTime": item.created_at,
        "lastModifiedTime": item.changed_at,
    }
    if record.commitment is not None:
        summary["commitmentDuration"] = record.commitment
        summary["commitmentExpirationTime"] = record.commitment_ends_at
    return summary
