"""Trails: what is delivered where. Whether a trail is logging is set apart (``logging_states``)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.cloudtrail.destinations import (
    Checking,
    check_bucket,
    check_log_group,
    read_key,
    read_topic,
)
from outcrop.services.cloudtrail.named import (
    check_name,
    find_trail,
    get_trail as get_named,
    get_trail_at_home,
)
from outcrop.services.cloudtrail.tagging import read_tags
from outcrop.services.operation import operation
from outcrop.stores.failures import NameTaken
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.stores.trail_records import LogFile, Trail, TrailState, trail_arn
from outcrop.trail.states import change_state, forget_chain
from outcrop.wire.paging import page

_MOST_TRAILS: Final = 5
"""In a region, as in AWS."""

Params = Mapping[str, Any]


@operation
async def create_trail(call: Call, params: Params) -> dict[str, Any]:
    name = params["Name"]
    check_name(name)
    arn = trail_arn(call.region, call.account, name)
    tags = read_tags(params.get("TagsList", ()))
    record = await _checked(call, arn, params, Trail(bucket=params["S3BucketName"]))
    async with call.stores.resources.writing() as transaction:
        own = await transaction.list(Trail, account=call.account)
        here = [each for each in own if each.place.region == call.region]
        if any(_knows(each, call.region, name) for each in own):
            raise _taken(arn, call)
        if len(here) >= _MOST_TRAILS:
            raise ServiceError(
                "MaximumNumberOfTrailsExceededException",
                f"User: {call.account} already has {len(here)} trails in {call.region}.",
            )
        try:
            item = await transaction.add(
                record, Place(call.account, call.region, name), arn=arn, tags=tags
            )
        except NameTaken as error:
            raise _taken(arn, call) from error
        await change_state(transaction, item.place)
    return _settings(item)


@operation
async def update_trail(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await get_trail_at_home(view, call, params["Name"])
    record = await _checked(call, item.arn or "", params, item.record)
    async with call.stores.resources.writing() as transaction:
        now = await get_trail_at_home(transaction, call, params["Name"])
        # What was not asked for stays as it has become meanwhile.
        kept = {
            name: getattr(now.record, name)
            for name in ("is_logging", "started_at", "stopped_at", "selectors")
        }
        item = await transaction.put(_with(now, msgspec.structs.replace(record, **kept)))
        await _change_validation(transaction, call, now.record, item)
    return _settings(item)


@operation
async def delete_trail(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        item = await get_trail_at_home(transaction, call, params["Name"])
        await transaction.remove(Trail, item.place)
        if await transaction.find(TrailState, item.place) is not None:
            await transaction.remove(TrailState, item.place)
        for file in await transaction.list(LogFile, account=call.account, parent=item.arn):
            await transaction.remove(LogFile, file.place)
    return {}


@operation
async def describe_trails(call: Call, params: Params) -> dict[str, Any]:
    """Those of the region, and of all regions; names that there are none of are left out."""
    names = params.get("trailNameList")
    with_shadows = params.get("includeShadowTrails", True)
    async with call.stores.resources.reading() as view:
        if names:
            asked = [await find_trail(view, call, name) for name in names]
            found = [each for each in asked if each is not None]
        else:
            found = await view.list(Trail, account=call.account)
    by_name = bool(names)
    shown = [
        each
        for each in found
        if each.place.region == call.region
        or (with_shadows and (each.record.is_multi_region or by_name))
    ]
    return {"trailList": [_described(each) for each in shown]}


@operation
async def get_trail(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        return {"Trail": _described(await get_named(view, call, params["Name"]))}


@operation
async def list_trails(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        found = await view.list(Trail, account=call.account)
    told = [
        {"TrailARN": each.arn, "Name": each.name, "HomeRegion": each.place.region} for each in found
    ]
    return page(call.operation, params, told)


async def _checked(call: Call, arn: str, params: Params, before: Trail) -> Trail:
    """What the request makes of the trail. An empty text takes a destination away."""
    if params.get("IsOrganizationTrail"):
        raise ServiceError(
            "OrganizationsNotInUseException",
            "The account is not a member of an organization: Outcrop has none.",
        )
    if params.get("RecursiveLogging") is not None:
        raise ServiceError(
            "UnsupportedOperationException", "Outcrop does not have the parameter RecursiveLogging."
        )
    given = {field: params[name] for name, field in _PLAIN.items() if name in params}
    trail = msgspec.structs.replace(before, **given)
    if trail.is_multi_region and not trail.global_events:
        raise ServiceError(
            "InvalidParameterCombinationException",
            "Multi-Region trail must include global service events.",
        )
    checking = Checking(call, arn)
    await check_bucket(checking, trail)
    return await _with_destinations(checking, params, trail)


async def _with_destinations(checking: Checking, params: Params, trail: Trail) -> Trail:
    changes: dict[str, str | None] = {}
    if "SnsTopicName" in params:
        topic = params["SnsTopicName"]
        changes["topic_arn"] = await read_topic(checking, topic) if topic else None
    key = params.get("KmsKeyId", trail.kms_key)
    changes["kms_key"] = await read_key(checking, key, trail.bucket) if key else None
    group = params.get("CloudWatchLogsLogGroupArn", trail.log_group)
    role = params.get("CloudWatchLogsRoleArn", trail.log_role)
    if bool(group) != bool(role):
        missing = "CloudWatchLogsRoleArn" if group else "CloudWatchLogsLogGroupArn"
        raise ServiceError(
            "InvalidParameterCombinationException",
            f"A log group and a role go together: {missing} is missing.",
        )
    if group and role and (group, role) != (trail.log_group, trail.log_role):
        await check_log_group(checking, group, role)
    changes |= {"log_group": group or None, "log_role": role or None}
    return msgspec.structs.replace(trail, **changes)


_PLAIN: Final = {
    "S3BucketName": "bucket",
    "S3KeyPrefix": "prefix",
    "IncludeGlobalServiceEvents": "global_events",
    "IsMultiRegionTrail": "is_multi_region",
    "EnableLogFileValidation": "is_validated",
}


async def _change_validation(
    transaction: Transaction, call: Call, before: Trail, item: Item[Trail]
) -> None:
    if before.is_validated and not item.record.is_validated:
        await forget_chain(transaction, item)
    elif item.record.is_validated and not before.is_validated and item.record.is_logging:
        began_at = call.now.replace(microsecond=0)
        await change_state(transaction, item.place, digested_at=began_at)


def _with(item: Item[Trail], record: Trail) -> Item[Trail]:
    return Item(record, item.place, item.parent, item.arn, item.tags, item.created_at)


def _knows(trail: Item[Trail], region: str, name: str) -> bool:
    return trail.name == name and (trail.place.region == region or trail.record.is_multi_region)


def _taken(arn: str, call: Call) -> ServiceError:
    return ServiceError(
        "TrailAlreadyExistsException", f"Trail {arn} already exists for customer: {call.account}"
    )


def _settings(item: Item[Trail]) -> dict[str, Any]:
    trail = item.record
    told: dict[str, Any] = {
        "Name": item.name,
        "S3BucketName": trail.bucket,
        "S3KeyPrefix": trail.prefix or None,
        "SnsTopicName": trail.topic_arn.rpartition(":")[2] if trail.topic_arn else None,
        "SnsTopicARN": trail.topic_arn,
        "IncludeGlobalServiceEvents": trail.global_events,
        "IsMultiRegionTrail": trail.is_multi_region,
        "TrailARN": item.arn,
        "LogFileValidationEnabled": trail.is_validated,
        "CloudWatchLogsLogGroupArn": trail.log_group,
        "CloudWatchLogsRoleArn": trail.log_role,
        "KmsKeyId": trail.kms_key,
        "IsOrganizationTrail": False,
    }
    return {name: value for name, value in told.items() if value is not None}


def _described(item: Item[Trail]) -> dict[str, Any]:
    return {
        **_settings(item),
        "HomeRegion": item.place.region,
        "HasCustomEventSelectors": item.record.selectors is not None,
        "HasInsightSelectors": False,
    }
