"""Grants and removes an account's access to a model in a region, for all of its users at once.

A variant opens and closes with its base model. Operators do the same without these conditions.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from outcrop.authorization.access import Access
from outcrop.catalog.model import Model
from outcrop.catalog.terms import terms_of
from outcrop.errors import AccessDeniedException, ConflictException, ResourceNotFoundException
from outcrop.services.bedrock.dependents import find_dependents
from outcrop.services.bedrock.foundation_models import get_foundation
from outcrop.services.call import Call
from outcrop.services.model_access import access_place, is_granted
from outcrop.stores.model_access import put_access
from outcrop.stores.model_records import ModelAccess, UseCase
from outcrop.stores.resources import Place, View

_NO_USE_CASE: Final = (
    "Model use case details have not been submitted for this account. Fill out the {} use case "
    "details form (PutUseCaseForModelAccess) before using the model."
)
_NO_MARKETPLACE: Final = (
    "Model access is denied due to IAM user or service role is not authorized to perform the "
    "required AWS Marketplace actions ({}) to enable access to this model."
)
_NO_UNSUBSCRIBE: Final = (
    "Model access is not removed: the IAM user or service role is not authorized to perform the "
    "required AWS Marketplace action (aws-marketplace:Unsubscribe)."
)
_IN_USE: Final = (
    "Access to the model {} cannot be removed while resources use it. Delete these, or take the "
    "model out of them, first: {}"
)
_VIEW: Final = "aws-marketplace:ViewSubscriptions"
_SUBSCRIBE: Final = "aws-marketplace:Subscribe"
_UNSUBSCRIBE: Final = "aws-marketplace:Unsubscribe"


def use_case_place(account: str) -> Place:
    return Place(account, "", "use-case")


async def grant_access(call: Call, model: Model, offer: str | None = None) -> None:
    """``offer`` is the one agreed to; without it the access is an entitlement alone."""
    terms = terms_of(model.provider)
    if terms.marketplace and not await may_subscribe(call, model):
        raise AccessDeniedException(_NO_MARKETPLACE.format(f"{_VIEW}, {_SUBSCRIBE}"))
    place = access_place(call, model, call.region)
    async with call.stores.resources.writing() as transaction:
        if terms.use_case and not await has_use_case(transaction, call.account):
            raise ResourceNotFoundException(_NO_USE_CASE.format(model.provider))
        found = await transaction.find(ModelAccess, place)
        known = found.record if found and found.record.status == "granted" else None
        if known and known.offer and offer:
            raise ConflictException("Agreement already exists.")
        if known and not offer:
            return
        await put_access(
            transaction, place, ModelAccess(status="granted", by=call.caller.arn, offer=offer)
        )


async def remove_access(call: Call, model: Model) -> bool:
    """False where there was none. The check and the removal are one transaction."""
    if terms_of(model.provider).marketplace and not await _may(call, model, _UNSUBSCRIBE):
        raise AccessDeniedException(_NO_UNSUBSCRIBE)
    place = access_place(call, model, call.region)
    async with call.stores.resources.writing() as transaction:
        found = await transaction.find(ModelAccess, place)
        if not is_granted(call, found):
            return False
        base = get_foundation(call, place.name)
        dependents = await find_dependents(
            transaction, call.catalog, call.account, call.region, base
        )
        if dependents:
            raise ConflictException(_IN_USE.format(base.id, ", ".join(dependents)))
        await put_access(transaction, place, ModelAccess(status="removed", by=call.caller.arn))
    return True


async def has_use_case(view: View, account: str) -> bool:
    return await view.find(UseCase, use_case_place(account)) is not None


async def may_subscribe(call: Call, model: Model) -> bool:
    return await _may(call, model, _VIEW) and await _may(call, model, _SUBSCRIBE)


async def _may(call: Call, model: Model, action: str) -> bool:
    """Bedrock asks the Marketplace on the caller's behalf."""
    via = (*call.caller.via, f"bedrock.{call.region}.amazonaws.com")
    asking = replace(call, caller=replace(call.caller, via=via))
    for product_id in _products(call, model):
        keys = {"aws-marketplace:productid": product_id} if product_id else {}
        if not await asking.may(Access(action, keys=keys)):
            return False
    return True


def _products(call: Call, model: Model) -> Iterator[str | None]:
    """A variant opens its base model too, so that it takes leave for both of their products."""
    yield model.product_id
    if model.base_id is not None:
        base = get_foundation(call, model.base_id)
        if base.product_id != model.product_id:
            yield base.product_id
