"""What CreateModelCustomizationJob asks for: checked as far as it can be at once, without a trace.

Data, and what the role may read and write, are checked by the job itself, as AWS does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outcrop.authorization.access import Asked
from outcrop.authorization.denials import denial
from outcrop.authorization.table import accesses_of
from outcrop.catalog.account_arns import (
    custom_model_arn,
    customization_job_arn,
    new_resource_id,
)
from outcrop.catalog.arns import foundation_model_arn
from outcrop.catalog.model import Model
from outcrop.errors import ConflictException, ServiceQuotaExceededException, ValidationException
from outcrop.quotas.book import CUSTOM_MODELS, CUSTOMIZATION_JOBS
from outcrop.services.bedrock.customization.bases import get_base, read_type, require_trainable
from outcrop.services.bedrock.customization.hyperparameters import read_hyperparameters
from outcrop.services.bedrock.customization.locations import (
    Location,
    read_file_uri,
    read_folder_uri,
    result_names,
)
from outcrop.services.bedrock.customization.network import check_network
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.services.bedrock.customization.states import is_ended
from outcrop.services.call import Call
from outcrop.services.model_access import require_access, require_access_in
from outcrop.services.service_roles import pass_role
from outcrop.services.tagging import most_tags, read_tags
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import CustomModel, DataKey
from outcrop.stores.resources import Place, View


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job that may be had, but for its key and for room. ``fields`` are its record's."""

    name: str
    arn: str
    base: Model
    tags: Mapping[str, str]
    customer_key: str | None
    fields: Mapping[str, Any]

    @property
    def model_name(self) -> str:
        return self.fields["model_name"]

    def record(self, data_key: DataKey) -> CustomizationJob:
        own_key = data_key.kms_key if self.customer_key else None
        return CustomizationJob(**self.fields, data_key=data_key, kms_key=own_key)


async def check_request(call: Call, params: Mapping[str, Any]) -> JobRequest:
    type = read_type(params.get("customizationType", "FINE_TUNING"))
    _refuse_unsupported(params)
    base = get_base(call, params["baseModelIdentifier"], type)
    require_access(call, base, call.region)
    await _require_not_denied(call, params, base)
    name, model_name = params["jobName"], params["customModelName"]
    resource_id = new_resource_id()
    arn = customization_job_arn(call.region, call.account, base.id, resource_id)
    validation = _validation_uris(params)
    fields: dict[str, Any] = {
        "base_model": base.id,
        "type": type,
        "role_arn": params["roleArn"],
        "model_name": model_name,
        "model_arn": custom_model_arn(call.region, call.account, base.id, new_resource_id()),
        "training_uri": _training_uri(params),
        "validation_uris": validation,
        "output_uri": _output_uri(params, resource_id, is_validated=bool(validation)),
        "hyperparameters": read_hyperparameters(
            base, params.get("hyperParameters", {}), is_validated=bool(validation)
        ),
        "engine": base.engine,
        "base": await require_trainable(call, base),
        "by": call.caller.arn,
        "model_tags": read_tags(params.get("customModelTags"), model_name, most_tags(call)),
        "client_token": params.get("clientRequestToken"),
    }
    tags = read_tags(params.get("jobTags"), name, most_tags(call))
    fields |= await _network(call, params.get("vpcConfig"))
    await pass_role(call, params["roleArn"], source_arn=arn)
    return JobRequest(name, arn, base, tags, params.get("customModelKmsKeyId"), fields)


async def require_room(view: View, call: Call, request: JobRequest) -> None:
    """Names that nobody has, quotas, and access, in the transaction that relies on them."""
    await require_access_in(view, call, request.base, call.region)
    jobs = await view.list(CustomizationJob, account=call.account, region=call.region)
    if any(job.name == request.name for job in jobs):
        raise ConflictException(
            f"There is a model customization job named {request.name!r} already. Choose another "
            "name."
        )
    running = [job for job in jobs if not is_ended(job.record)]
    named = next((job for job in running if job.record.model_name == request.model_name), None)
    if named is not None:
        raise ConflictException(
            f"The job {named.arn} is making a custom model named {request.model_name!r}. Choose "
            "another name."
        )
    if await view.find(CustomModel, Place(call.account, call.region, request.model_name)):
        raise ConflictException(
            f"There is a custom model named {request.model_name!r} already. Choose another name."
        )
    _require_quota(call, CUSTOMIZATION_JOBS, len(running), "running")
    models = await view.count(CustomModel, account=call.account, region=call.region)
    _require_quota(call, CUSTOM_MODELS, models + len(running), "there or being made")


def _require_quota(call: Call, key: str, count: int, state: str) -> None:
    allowed = call.serving.book.value(call.account, call.region, key)
    if count < allowed:
        return
    quota = call.serving.book.find_key(key)
    raise ServiceQuotaExceededException(
        f"The account {call.account} has a quota of {allowed:g} in {call.region} for "
        f"{quota.name if quota else key!r}, of which {count} are {state}. Request an increase with "
        "Service Quotas."
    )


async def _require_not_denied(call: Call, params: Mapping[str, Any], base: Model) -> None:
    """Who is denied to customize the variant does not get it by the name of its model."""
    named = {**params, "baseModelIdentifier": foundation_model_arn(call.region, base.id)}
    models = call.stores.models
    asked = Asked(named, call.caller, call.region, call.catalog, call.request, models)
    for access in accesses_of(call.operation, asked):
        decision = await call.gateway.decide(call, access)
        if decision.reason == "explicit-deny":
            raise denial(call.caller, access, decision)


def _refuse_unsupported(params: Mapping[str, Any]) -> None:
    """Members of other types of customization."""
    for refused in params.get("customizationConfig", {}):
        raise ValidationException(f"customizationConfig.{refused} is not supported. Leave it out.")
    if "invocationLogsConfig" in params["trainingDataConfig"]:
        raise ValidationException(
            "trainingDataConfig.invocationLogsConfig is not supported. Give the URI of a file in "
            "trainingDataConfig.s3Uri."
        )


def _training_uri(params: Mapping[str, Any]) -> str:
    uri = params["trainingDataConfig"].get("s3Uri")
    if uri is None:
        raise ValidationException("trainingDataConfig.s3Uri is missing. Give the URI of a file.")
    return _checked(read_file_uri, uri, "trainingDataConfig.s3Uri")


def _validation_uris(params: Mapping[str, Any]) -> tuple[str, ...]:
    validators: Sequence[Mapping[str, str]] = params.get("validationDataConfig", {}).get(
        "validators", ()
    )
    return tuple(
        _checked(read_file_uri, each["s3Uri"], f"validationDataConfig.validators[{index}].s3Uri")
        for index, each in enumerate(validators)
    )


def _output_uri(params: Mapping[str, Any], resource_id: str, *, is_validated: bool) -> str:
    """With room for the names of the results, which are not to fail after the training."""

    def read(uri: str) -> Location:
        folder = read_folder_uri(uri)
        for name in result_names(resource_id, is_validated=is_validated):
            folder.below(name)
        return folder

    return _checked(read, params["outputDataConfig"]["s3Uri"], "outputDataConfig.s3Uri")


def _checked(read: Callable[[str], Location], uri: str, member: str) -> str:
    try:
        read(uri)
    except JobRefused as error:
        raise ValidationException(f"{member}: {error}") from error
    return uri


async def _network(call: Call, config: Mapping[str, Sequence[str]] | None) -> dict[str, Any]:
    if config is None:
        return {}
    subnets, groups = tuple(config["subnetIds"]), tuple(config["securityGroupIds"])
    await check_network(call, subnets, groups)
    return {"subnets": subnets, "groups": groups}
