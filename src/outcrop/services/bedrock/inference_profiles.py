"""Inference profiles: those of the system, which follow from the catalog, and the application's
own, which only their owner's use is counted by."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from outcrop.catalog.account_arns import application_profile_arn, new_resource_id
from outcrop.catalog.arns import (
    FoundationModelArn,
    InferenceProfileArn,
    foundation_model_arn,
    inference_profile_arn,
    parse_arn,
    partition_of,
)
from outcrop.catalog.catalog import NoSuchModel, WrongRegion
from outcrop.catalog.profiles import SystemProfile
from outcrop.errors import (
    ConflictException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
    ValidationException,
)
from outcrop.services.call import Call
from outcrop.services.idempotency import remember, replay
from outcrop.services.operation import operation
from outcrop.services.tagging import most_tags, read_tags
from outcrop.stores.failures import NameTaken
from outcrop.stores.model_records import InferenceProfile
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.wire.paging import page

QUOTA: Final = "inference-profiles-per-account"

_NOT_FOUND: Final = (
    "The specified resource Amazon Resource Name (ARN) was not found. Check the Amazon Resource "
    "Name (ARN) and try your request again."
)
_CONFLICT: Final = "Error occurred because of a conflict while performing an operation."


@operation
async def list_inference_profiles(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = params.get("typeEquals")
    found: list[dict[str, Any]] = []
    if wanted in (None, "SYSTEM_DEFINED"):
        found += [_of_system(call, each) for each in call.catalog.profiles(call.region)]
    if wanted in (None, "APPLICATION"):
        own = call.stores.models.list(InferenceProfile, account=call.account, region=call.region)
        found += map(_of_application, own)
    return page(call.operation, params, found)


@operation
async def get_inference_profile(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    identifier = params["inferenceProfileIdentifier"]
    system = _find_system(call, identifier)
    if system is not None:
        return _of_system(call, system)
    item = call.stores.models.find_arn(_application_arn(call, identifier))
    if item is None:
        raise ResourceNotFoundException(_NOT_FOUND)
    return _of_application(item)


@operation
async def create_inference_profile(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, source = params["inferenceProfileName"], params["modelSource"]["copyFrom"]
    record = InferenceProfile(
        id=new_resource_id(),
        source=source,
        models=_models_of(call, source),
        description=params.get("description"),
    )
    arn = application_profile_arn(call.region, call.account, record.id)
    tags = read_tags(params.get("tags"), name, most_tags(call))
    async with call.stores.resources.writing() as transaction:
        known = await replay(transaction, call, params)
        if known is not None:
            return known
        await _require_room(call, transaction)
        try:
            place = Place(call.account, call.region, name)
            await transaction.add(record, place, arn=arn, tags=tags)
        except NameTaken as error:
            raise ConflictException(
                f"{_CONFLICT} There is an inference profile named {name!r} already."
            ) from error
        answer = {"inferenceProfileArn": arn, "status": "ACTIVE"}
        await remember(transaction, call, params, answer)
    return answer


@operation
async def delete_inference_profile(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    identifier = params["inferenceProfileIdentifier"]
    if _find_system(call, identifier) is not None:
        raise ValidationException(
            f"{identifier!r} is an inference profile of the system. Only application inference "
            "profiles can be deleted."
        )
    arn = _application_arn(call, identifier)
    async with call.stores.resources.writing() as transaction:
        item = await transaction.find_arn(InferenceProfile, arn)
        if item is None:
            raise ResourceNotFoundException(_NOT_FOUND)
        await transaction.remove(InferenceProfile, item.place)
    return {}


def _find_system(call: Call, identifier: str) -> SystemProfile | None:
    arn = parse_arn(identifier) if identifier.startswith("arn:") else None
    if isinstance(arn, InferenceProfileArn):
        _require_region(call, identifier)
        if arn.account != call.account:
            return None
        identifier = arn.profile_id
    return call.catalog.find_profile(identifier, call.region)


def _application_arn(call: Call, identifier: str) -> str:
    """Of an identifier that may be the caller's: another account's is like one that is not
    there."""
    if not identifier.startswith("arn:"):
        return application_profile_arn(call.region, call.account, identifier)
    _require_region(call, identifier)
    own = application_profile_arn(call.region, call.account, "")
    if not identifier.startswith(own):
        raise ResourceNotFoundException(_NOT_FOUND)
    return identifier


def _require_region(call: Call, arn: str) -> None:
    if not arn.startswith(f"arn:{partition_of(call.region)}:bedrock:{call.region}:"):
        raise WrongRegion(arn, call.region)


def _models_of(call: Call, source: str) -> tuple[str, ...]:
    """The models of the profile of the system that it is made from, or the one model."""
    arn = parse_arn(source)
    if isinstance(arn, InferenceProfileArn):
        system = _find_system(call, source)
        if system is None:
            raise NoSuchModel(source)
        return system.model_arns(call.region, call.catalog.regions)
    if not isinstance(arn, FoundationModelArn):
        raise NoSuchModel(source)
    model = call.catalog.find_foundation_model(source, call.region)
    if model is None:
        raise NoSuchModel(source)
    if "ON_DEMAND" not in model.inference_types:
        raise ValidationException(
            f"The model {model.id!r} cannot be called on demand in one Region. Make the profile "
            "from an inference profile of the system that contains the model."
        )
    return (foundation_model_arn(call.region, model.id),)


async def _require_room(call: Call, transaction: Transaction) -> None:
    own = await transaction.list(InferenceProfile, account=call.account, region=call.region)
    limit = int(call.serving.book.value(call.account, call.region, QUOTA))
    if len(own) >= limit:
        raise ServiceQuotaExceededException(
            f"The account has {len(own)} inference profiles in this Region, of {limit} that it may "
            "have. Delete one, or ask for a higher quota of inference profiles per account."
        )


def _of_system(call: Call, profile: SystemProfile) -> dict[str, Any]:
    regions = call.catalog.regions
    return {
        "inferenceProfileName": profile.name,
        "description": profile.description(call.region, regions),
        **_times(call),
        "inferenceProfileArn": inference_profile_arn(call.region, call.account, profile.id),
        "models": _model_list(profile.model_arns(call.region, regions)),
        "inferenceProfileId": profile.id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _times(call: Call) -> dict[str, datetime]:
    """An account has the profiles of the system since it is there."""
    account = call.stores.directory.find_account(call.account)
    if account is None:
        return {}
    return {"createdAt": account.created_at, "updatedAt": account.created_at}


def _of_application(item: Item[InferenceProfile]) -> dict[str, Any]:
    described = {} if item.record.description is None else {"description": item.record.description}
    return {
        "inferenceProfileName": item.name,
        **described,
        "createdAt": item.created_at,
        "updatedAt": item.changed_at,
        "inferenceProfileArn": item.arn,
        "models": _model_list(item.record.models),
        "inferenceProfileId": item.record.id,
        "status": "ACTIVE",
        "type": "APPLICATION",
    }


def _model_list(arns: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"modelArn": arn} for arn in arns]
