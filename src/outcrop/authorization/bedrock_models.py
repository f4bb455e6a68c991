"""Which resources a model identifier stands for, and what is known of those that an account owns.

An inference profile is itself and its models, in every region that it may send a call to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from outcrop.authorization.access import Access, Asked, Facts
from outcrop.authorization.bedrock_jobs import find_job_facts, is_job
from outcrop.catalog.account_arns import application_profile_arn
from outcrop.catalog.arns import (
    FoundationModelArn,
    foundation_model_arn,
    inference_profile_arn,
    parse_arn,
    partition_of,
)
from outcrop.catalog.catalog import Catalog, WrongRegion
from outcrop.catalog.profiles import EVERYWHERE
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import (
    CustomModel,
    CustomModelDeployment,
    InferenceProfile,
    ProvisionedModel,
)
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Place

Named = type[ProvisionedModel] | type[CustomModel] | type[CustomModelDeployment]

_OWNED: Final = (
    *("provisioned-model/", "custom-model/", "custom-model-deployment/"),
    "application-inference-profile/",
)
_REGIONLESS: Final = "unspecified"
"""What AWS says is the region of a call that may go to any."""
_ARN_PARTS: Final = 6


@dataclass(frozen=True, slots=True)
class Meant:
    """``models`` are all that must be allowed behind ``profile``, if there is one."""

    models: tuple[str, ...]
    profile: str | None = None


def meant_by(asked: Asked, identifier: str) -> Meant:
    """What inference finds by it comes first; what nobody finds stands for a foundation model."""
    found = _in_catalog(asked.catalog, asked.region, asked.account, identifier)
    if found is not None:
        return found
    arn = identifier if identifier.startswith("arn:") else _owned_arn(asked, identifier)
    if arn is None:
        return Meant((foundation_model_arn(asked.region, identifier),))
    item = asked.models.find_arn(arn)
    # Whose profile it is not learns nothing of its models.
    if (
        item is not None
        and isinstance(item.record, InferenceProfile)
        and item.place.account == asked.account
    ):
        return Meant(item.record.models, arn)
    return Meant((arn,))


def source_arn(asked: Asked, identifier: str) -> str:
    """The foundation or custom model that something is made from. A name is a custom model's,
    whatever else of the account is called so."""
    found = _in_catalog(asked.catalog, asked.region, asked.account, identifier)
    if found is not None:
        return found.models[0]
    if identifier.startswith("arn:"):
        return identifier
    place = Place(asked.account, asked.region, identifier)
    return find_owned_arn(asked.models, place, CustomModel) or foundation_model_arn(
        asked.region, identifier
    )


def find_owned_arn(models: Mirror, place: Place, kind: Named) -> str | None:
    """The ARN of what the account calls by this name."""
    item = models.find(kind, place)
    return item.arn if item else None


def region_key(arn: str, region: str) -> dict[str, str]:
    """The region that a call through a profile goes to, where that is not the caller's."""
    named = arn.split(":", 4)[3]
    if named == region:
        return {}
    return {"aws:requestedregion": _REGIONLESS if named == EVERYWHERE else named}


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    """The tags of what an account owns. What another one owns, or nobody, is like it: there are no
    policies on these resources that could give leave to use it."""
    arn = access.resource
    # The path of most requests.
    if "::foundation-model/" in arn:
        return None
    owner = _owner(arn)
    if owner is None:
        return await find_job_facts(stores, arn) if is_job(arn) else None
    item = stores.models.find_arn(arn)
    return Facts(account=owner) if item is None else Facts(account=owner, tags=item.tags)


@lru_cache(maxsize=4096)
def _owner(arn: str) -> str | None:
    """None for what is no account's, or is still to be made."""
    parts = arn.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS or not parts[-1].startswith(_OWNED) or arn.endswith("/*"):
        return None
    return parts[4]


@lru_cache(maxsize=4096)
def _in_catalog(catalog: Catalog, region: str, account: str, identifier: str) -> Meant | None:
    profile_id = catalog.find_profile_id(identifier)
    if profile_id is not None:
        profile = catalog.find_profile(profile_id, region)
        models: Sequence[str] = (
            profile.model_arns(region, catalog.regions)
            if profile is not None
            else (foundation_model_arn(region, profile_id.partition(".")[2]),)
        )
        return Meant(tuple(models), inference_profile_arn(region, account, profile_id))
    if identifier.startswith("arn:"):
        return _of_arn(catalog, region, account, identifier)
    model = catalog.find_foundation_model(identifier, region)
    # Under its own ID, whatever other spelling of it was asked for.
    return Meant((foundation_model_arn(region, model.id),)) if model else None


def _of_arn(catalog: Catalog, region: str, account: str, arn: str) -> Meant | None:
    if arn.split(":")[2:3] == ["sagemaker"]:
        # A Marketplace model behind an endpoint of SageMaker.
        prefix = f"arn:{partition_of(region)}:bedrock:{region}:{account}"
        return Meant((f"{prefix}:marketplace/model-endpoint/all-access",))
    if not isinstance(parse_arn(arn), FoundationModelArn):
        return None
    try:
        model = catalog.find_foundation_model(arn, region)
    except WrongRegion:
        return Meant((arn,))
    return Meant((foundation_model_arn(region, model.id) if model else arn,))


def _owned_arn(asked: Asked, name: str) -> str | None:
    place = Place(asked.account, asked.region, name)
    found = find_owned_arn(asked.models, place, ProvisionedModel)
    if found is not None:
        return found
    profile = application_profile_arn(asked.region, asked.account, name)
    if asked.models.find_arn(profile) is not None:
        return profile
    return find_owned_arn(asked.models, place, CustomModel)
