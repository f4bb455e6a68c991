"""Model customization jobs. A job is a record and work that others do: what it says comes from
``customization.states``, where whoever works on it writes how far it is."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from outcrop.catalog.arns import foundation_model_arn
from outcrop.errors import AWSError, ConflictException
from outcrop.jobs.queue import submit
from outcrop.services.bedrock.customization.keys import drop_data_key, make_data_key
from outcrop.services.bedrock.customization.kinds import CUSTOMIZE
from outcrop.services.bedrock.customization.results import render_results
from outcrop.services.bedrock.customization.states import add_job, change_job, is_ended
from outcrop.services.bedrock.customization_requests import (
    JobRequest,
    check_request,
    require_room,
)
from outcrop.services.bedrock.owned import get_owned, is_between, page_owned
from outcrop.services.call import Call
from outcrop.services.idempotency import remember, replay
from outcrop.services.operation import operation
from outcrop.stores.customization_records import CustomizationJob, Phase
from outcrop.stores.model_records import DataKey
from outcrop.stores.resources import Item, Place

log = logging.getLogger(__name__)

_MOST_FAILURE: Final = 2048


@operation
async def create_model_customization_job(call: Call, params: Any) -> dict[str, Any]:
    """What can be wrong is found out before the key is made: a grant is not made for nothing."""
    async with call.stores.resources.writing() as transaction:
        replayed = await replay(transaction, call, params)
    if replayed is not None:
        return replayed
    request = await check_request(call, params)
    async with call.stores.resources.writing() as transaction:
        # The same request may have been answered meanwhile: the room it took is its own.
        replayed = await replay(transaction, call, params)
        if replayed is not None:
            return replayed
        await require_room(transaction, call, request)
    data_key = await make_data_key(call, request.arn, request.customer_key)
    try:
        return await _add(call, params, request, data_key)
    finally:
        # Another request with the same token or name, or whoever waited is gone.
        if not await _is_there(call, request.arn):
            await _drop(call, data_key)


@operation
async def get_model_customization_job(call: Call, params: Any) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await get_owned(view, call, CustomizationJob, params["jobIdentifier"])
    job = item.record
    answer: dict[str, Any] = {
        "jobArn": item.arn,
        "jobName": item.name,
        "outputModelName": job.model_name,
        "outputModelArn": job.model_arn if job.status == "Completed" else None,
        "clientRequestToken": job.client_token,
        "roleArn": job.role_arn,
        "status": job.status,
        "statusDetails": _status_details(job),
        "failureMessage": job.failure and job.failure[:_MOST_FAILURE],
        "creationTime": item.created_at,
        "lastModifiedTime": item.changed_at,
        "endTime": job.ended_at,
        "baseModelArn": _base_arn(item),
        "outputModelKmsKeyArn": job.kms_key,
    }
    if job.subnets:
        network = {"subnetIds": list(job.subnets), "securityGroupIds": list(job.groups)}
        answer["vpcConfig"] = network
    return _present(answer) | render_results(job)


@operation
async def list_model_customization_jobs(call: Call, params: Any) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        items = await view.list(CustomizationJob, account=call.account, region=call.region)
    return page_owned(call, params, [item for item in items if _passes(item, params)], _summary)


@operation
async def stop_model_customization_job(call: Call, params: Any) -> dict[str, Any]:
    """The job's work sees it and ends; asking again while it does changes nothing."""
    async with call.stores.resources.writing() as transaction:
        item = await get_owned(transaction, call, CustomizationJob, params["jobIdentifier"])
        if is_ended(item.record):
            raise ConflictException(
                f"The model customization job {item.arn} has the status {item.record.status} and "
                "cannot be stopped."
            )
        if item.record.status == "InProgress":
            await change_job(transaction, call.observing.events, item, call.now, status="Stopping")
    return {}


async def _add(
    call: Call, params: Mapping[str, Any], request: JobRequest, data_key: DataKey
) -> dict[str, Any]:
    """Or what the same request was answered meanwhile."""
    answer = {"jobArn": request.arn}
    async with call.stores.resources.writing() as transaction:
        replayed = await replay(transaction, call, params)
        if replayed is not None:
            return replayed
        await require_room(transaction, call, request)
        await add_job(
            transaction,
            call.observing.events,
            request.record(data_key),
            Place(call.account, call.region, request.name),
            arn=request.arn,
            tags=request.tags,
        )
        await submit(transaction, CUSTOMIZE, request.arn)
        await remember(transaction, call, params, answer)
    return answer


async def _drop(call: Call, data_key: DataKey) -> None:
    """What came of the request is its answer all the same."""
    try:
        await drop_data_key(call.observing.background, data_key)
    except AWSError as error:
        log.warning("the grant for %s was not retired: %s", data_key.context, error.message)


async def _is_there(call: Call, arn: str) -> bool:
    """Writers wait for a commit that somebody was cancelled in, readers would not."""
    async with call.stores.resources.writing() as transaction:
        return await transaction.find_arn(CustomizationJob, arn) is not None


def _passes(item: Item[CustomizationJob], filters: Mapping[str, Any]) -> bool:
    return (
        is_between(
            item.created_at, filters.get("creationTimeAfter"), filters.get("creationTimeBefore")
        )
        and filters.get("statusEquals", item.record.status) == item.record.status
        and filters.get("nameContains", "") in item.name
    )


def _summary(item: Item[CustomizationJob]) -> dict[str, Any]:
    job = item.record
    return _present(
        {
            "jobArn": item.arn,
            "baseModelArn": _base_arn(item),
            "jobName": item.name,
            "status": job.status,
            "statusDetails": _status_details(job),
            "lastModifiedTime": item.changed_at,
            "creationTime": item.created_at,
            "endTime": job.ended_at,
            "customModelArn": job.model_arn if job.status == "Completed" else None,
            "customModelName": job.model_name,
            "customizationType": job.type,
        }
    )


def _status_details(job: CustomizationJob) -> dict[str, Any]:
    return {
        "validationDetails": _phase(job.validation),
        "dataProcessingDetails": _phase(job.processing),
        "trainingDetails": _phase(job.training),
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return _present(
        {
            "status": phase.status,
            "creationTime": phase.began_at,
            "lastModifiedTime": phase.changed_at,
        }
    )


def _base_arn(item: Item[CustomizationJob]) -> str:
    return foundation_model_arn(item.place.region, item.record.base_model)


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
