"""What a ``modelId`` means: a model, a profile of regions that hold it, reserved throughput, or a
custom model that is served on demand.

The account must have access to the model, and the caller to the key that a custom one is under;
whether the caller may ask was decided before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from outcrop.capacity.served_models import model_of_arn
from outcrop.catalog.arns import (
    foundation_model_arn,
    inference_profile_arn,
    parse_arn,
    partition_of,
)
from outcrop.catalog.catalog import NoSuchModel, WrongRegion
from outcrop.catalog.geographies import destinations, regions_of
from outcrop.catalog.model import Model
from outcrop.errors import ModelNotReadyException, ValidationException
from outcrop.services.bedrock_runtime.invocations import invocation_of
from outcrop.services.call import Call
from outcrop.services.model_access import has_access, no_access, require_access
from outcrop.services.model_keys import require_model_key
from outcrop.stores.model_records import (
    CustomModel,
    CustomModelDeployment,
    InferenceProfile,
    ProvisionedModel,
)
from outcrop.stores.resources import Item, Place, Record

R = TypeVar("R", bound=Record)

_ON_DEMAND: Final = (
    "Invocation of model ID {} with on-demand throughput isn\u2019t supported. Retry your request "
    "with the ID or ARN of an inference profile that contains this model."
)
_ARN_PARTS: Final = 6


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Target:
    """``model`` is the one whose JSON the caller speaks. ``regions`` are where it may run, the
    first choice first; ``resource`` is the ARN that use is accounted to. ``upstream_id`` is what
    AWS itself is called by: many models have no other name than that of a profile. ``custom`` are
    the custom models that may answer: two while one takes the other's place."""

    model: Model
    regions: tuple[str, ...]
    resource: str
    upstream_id: str
    provisioned: Item[ProvisionedModel] | None = None
    custom: tuple[Item[CustomModel], ...] = ()

    @property
    def crosses_regions(self) -> bool:
        return len(self.regions) > 1

    @property
    def is_deployed(self) -> bool:
        """Whether it is a custom model on demand, which ``model`` is served as."""
        return bool(self.custom) and self.provisioned is None


async def resolve(call: Call, identifier: str) -> Target:
    """Raises AWS's errors for what is not there, may not be called so, or is not accessible."""
    model = call.catalog.find(identifier, call.region)
    if model is not None:
        target = _of_catalog(call, identifier, model)
    else:
        target = _of_records(call, identifier)
    call.seen.invocation = invocation_of(identifier, target.model)
    for custom in target.custom:
        await require_model_key(call, custom.record)
    return target


async def resolve_counted(call: Call, identifier: str) -> Target:
    """The same for counting tokens, which models that are called by a profile alone allow too."""
    model = call.catalog.find_foundation_model(identifier, call.region)
    if model is None:
        return await resolve(call, identifier)
    require_access(call, model, call.region)
    arn = foundation_model_arn(call.region, model.id)
    return Target(model, (call.region,), arn, model.id)


def _of_records(call: Call, identifier: str) -> Target:
    _check_region(call, identifier)
    provisioned = _find(call, ProvisionedModel, identifier)
    if provisioned is not None:
        return _of_throughput(call, provisioned)
    if identifier.startswith("arn:"):
        # Unlike throughput, it is not invoked by its name.
        deployment = _find(call, CustomModelDeployment, identifier)
        if deployment is not None:
            return _of_deployment(call, deployment)
    profile = find_application_profile(call, identifier)
    if profile is not None:
        return _of_application_profile(call, profile)
    if _find(call, CustomModel, identifier) is not None:
        raise ValidationException(_ON_DEMAND.format(identifier))
    raise NoSuchModel(identifier)


def find_application_profile(call: Call, identifier: str) -> Item[InferenceProfile] | None:
    """By its ARN or its ID."""
    if not identifier.startswith("arn:"):
        prefix = f"arn:{partition_of(call.region)}:bedrock:{call.region}:{call.account}"
        identifier = f"{prefix}:application-inference-profile/{identifier}"
    return _find(call, InferenceProfile, identifier)


def _of_catalog(call: Call, identifier: str, model: Model) -> Target:
    profile_id = call.catalog.find_profile_id(identifier)
    if profile_id is None:
        if "ON_DEMAND" not in model.inference_types:
            raise ValidationException(_ON_DEMAND.format(identifier))
        require_access(call, model, call.region)
        arn = foundation_model_arn(call.region, model.id)
        return Target(model, (call.region,), arn, model.id)
    arn = inference_profile_arn(call.region, call.account, profile_id)
    if identifier not in (profile_id, arn):
        # Another account's.
        raise NoSuchModel(identifier)
    geography = profile_id.partition(".")[0]
    regions = destinations(model, geography, call.region, call.serving.regions)
    return Target(model, _accessible(call, model, regions), arn, profile_id)


def _of_throughput(call: Call, item: Item[ProvisionedModel]) -> Target:
    record = item.record
    if record.status == "Creating":
        raise ModelNotReadyException(f"The provisioned model {item.name!r} is still being created.")
    if record.status == "Failed":
        raise ValidationException(
            f"The provisioned model {item.name!r} failed and serves no requests."
        )
    model = call.catalog.get(record.foundation_model, call.region)
    custom = _custom_models(call, record.model, record.desired_model)
    return Target(model, (call.region,), str(item.arn), model.id, item, custom)


def _of_deployment(call: Call, item: Item[CustomModelDeployment]) -> Target:
    record = item.record
    if record.status == "Creating":
        raise ModelNotReadyException(
            f"The custom model deployment {item.name!r} is still being created."
        )
    if record.status == "Failed":
        raise ValidationException(
            f"The custom model deployment {item.name!r} failed and serves no requests."
        )
    model = model_of_arn(call.stores.models, call.catalog, record.model, call.region)
    custom = _custom_models(call, record.model)
    return Target(model, (call.region,), str(item.arn), model.id, custom=custom)


def _custom_models(call: Call, *arns: str) -> tuple[Item[CustomModel], ...]:
    """Those of the ARNs that are not of foundation models. One that is not there is no reason to
    answer without asking for its key."""
    found: list[Item[CustomModel]] = []
    for arn in dict.fromkeys(arns):
        if parse_arn(arn) is None:
            item = call.stores.models.find_arn(arn)
            if item is None or not isinstance(item.record, CustomModel):
                raise NoSuchModel(arn)
            found.append(cast("Item[CustomModel]", item))
    return tuple(found)


def _of_application_profile(call: Call, item: Item[InferenceProfile]) -> Target:
    model_id = item.record.models[0].rpartition("/")[2]
    # The calling region need not offer it: it runs where the profile says and the model is.
    offered = {
        region: model
        for region in regions_of(item.record.models, call.region, call.serving.regions)
        if (model := call.catalog.find_foundation_model(model_id, region)) is not None
    }
    if not offered:
        raise NoSuchModel(str(item.arn))
    model = next(iter(offered.values()))
    upstream_id = call.catalog.find_profile_id(item.record.source) or model.id
    return Target(model, _accessible(call, model, tuple(offered)), str(item.arn), upstream_id)


def _accessible(call: Call, model: Model, regions: Sequence[str]) -> tuple[str, ...]:
    """A region without an engine for the model is passed over, unless no region has one."""
    accessible = tuple(region for region in regions if has_access(call, model, region))
    if not accessible:
        raise no_access()
    served = tuple(
        region for region in accessible if call.catalog.get(model.id, region).engine is not None
    )
    return served or accessible


def _find(call: Call, type: type[R], identifier: str) -> Item[R] | None:
    """By ARN, or by name."""
    if not identifier.startswith("arn:"):
        return call.stores.models.find(type, Place(call.account, call.region, identifier))
    found = call.stores.models.find_arn(identifier)
    if found is None or not isinstance(found.record, type) or found.place.account != call.account:
        return None
    return found


def _check_region(call: Call, identifier: str) -> None:
    parts = identifier.split(":", _ARN_PARTS - 1)
    is_elsewhere = len(parts) == _ARN_PARTS and parts[2:4] != ["bedrock", call.region]
    if parts[0] == "arn" and is_elsewhere:
        raise WrongRegion(identifier, call.region)
