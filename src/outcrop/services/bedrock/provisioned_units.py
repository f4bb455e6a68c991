"""How many model units an account may hold: by commitment, and by the kind of model bought for."""

from collections.abc import Iterable
from typing import Final

from outcrop.errors import ServiceQuotaExceededException, ValidationException
from outcrop.quotas.book import BASE_MODEL_UNITS, CUSTOM_MODEL_UNITS, NO_COMMITMENT_UNITS
from outcrop.services.call import Call
from outcrop.stores.model_records import ProvisionedModel
from outcrop.stores.resources import Item

_UNITS_WITHOUT_COMMITMENT: Final = 1


def check_terms(wanted: ProvisionedModel) -> None:
    """What may be had without commitment: one unit, of a custom model."""
    if wanted.commitment is not None:
        return
    if wanted.bought_for == "base":
        raise ValidationException(
            "Provisioned throughput without commitment is not available for base models. Give the "
            "commitmentDuration OneMonth or SixMonths."
        )
    if wanted.units != _UNITS_WITHOUT_COMMITMENT:
        raise ValidationException(
            f"Provisioned throughput without commitment has 1 model unit, not {wanted.units}. Give "
            "modelUnits 1, or a commitmentDuration."
        )


def require_units(
    call: Call, wanted: ProvisionedModel, existing: Iterable[Item[ProvisionedModel]]
) -> None:
    """``existing`` are those of the account in the region. A failed one holds nothing."""
    key = _quota_key(wanted)
    held = sum(
        item.record.desired_units
        for item in existing
        if item.record.status != "Failed" and _quota_key(item.record) == key
    )
    allowed = call.serving.book.value(call.account, call.region, key)
    if held + wanted.units > allowed:
        raise ServiceQuotaExceededException(
            f"The account {call.account} has a quota of {allowed:g} in {call.region} for "
            f"{_name(call, key)!r}, of which {held} are in use; {wanted.units} more were asked "
            "for. Request an increase with Service Quotas."
        )


def _quota_key(record: ProvisionedModel) -> str:
    if record.commitment is None:
        return NO_COMMITMENT_UNITS
    return BASE_MODEL_UNITS if record.bought_for == "base" else CUSTOM_MODEL_UNITS


def _name(call: Call, key: str) -> str:
    quota = call.serving.book.find_key(key)
    return key if quota is None else quota.name
