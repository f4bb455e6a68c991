"""Ends commitments early, which an operator may and AWS has no operation for."""

from dataclasses import replace
from datetime import datetime

import msgspec

from outcrop.stores.failures import NoSuchItem, StoreError
from outcrop.stores.model_records import ProvisionedModel
from outcrop.stores.operator_actions import record_action
from outcrop.stores.resources import Item, Resources


async def end_commitment(
    resources: Resources, arn: str, operator: str, now: datetime
) -> Item[ProvisionedModel]:
    """From now on its account can delete it. It serves, and costs, until then."""
    async with resources.writing() as transaction:
        item = await transaction.find_arn(ProvisionedModel, arn)
        if item is None:
            raise NoSuchItem(
                f"There is no provisioned throughput {arn!r}. `outcrop capacity list` shows all."
            )
        ends_at = item.record.commitment_ends_at
        if ends_at is None or ends_at <= now:
            raise StoreError(f"{arn} is not committed any more: its account can delete it.")
        record = msgspec.structs.replace(item.record, commitment_ends_at=now)
        changed = await transaction.put(replace(item, record=record))
        detail = {"commitment_ends_at": ends_at.isoformat()}
        place = replace(item.place, name=arn)
        await record_action(transaction, place, "capacity.release", operator, detail)
        return changed
