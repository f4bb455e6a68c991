"""Log groups: created, described, deleted, with their retention, protection and KMS key."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError, ValidationException
from outcrop.logs.streams import remove_streams, stored_bytes
from outcrop.services.call import Call
from outcrop.services.logs.references import (
    arn_of,
    get_group,
    group_place,
    identified_place,
    invalid_parameter,
    paged,
    refuse,
)
from outcrop.services.logs.sealing import checked_key
from outcrop.services.logs.tags import refuse_reserved
from outcrop.services.operation import operation
from outcrop.stores.failures import NameTaken
from outcrop.stores.log_records import (
    LogDataKey,
    LogGroup,
    MetricFilter,
    SubscriptionFilter,
    group_arn,
)
from outcrop.stores.resources import Item, Place
from outcrop.stores.tables import to_ms

_RETENTIONS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
_STANDARD: Final = "STANDARD"


@operation
async def create_log_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params["logGroupName"]
    tags: dict[str, str] = params.get("tags") or {}
    refuse_reserved(tags)
    if params.get("logGroupClass", _STANDARD) != _STANDARD:
        raise invalid_parameter("Outcrop has log groups of the class STANDARD only.")
    place = Place(call.account, call.region, name)
    record = LogGroup(
        id=secrets.randbits(62), is_protected=params.get("deletionProtectionEnabled") or False
    )
    arn = group_arn(call.region, call.account, name)
    if "kmsKeyId" in params:
        await _refuse_taken(call, place)
        kms_key = await checked_key(call, Item(record, place), params["kmsKeyId"])
        record = msgspec.structs.replace(record, kms_key=kms_key)
    async with call.stores.resources.writing() as transaction:
        try:
            await transaction.add(record, place, arn=arn, tags=tags)
        except NameTaken as error:
            raise _exists() from error
    return {}


@operation
async def delete_log_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, group_place(call, params))
        if group.record.is_protected:
            raise ValidationException(
                "The log group is protected from deletion. Disable its deletion protection first."
            )
        await remove_streams(transaction, group.place, group.record.id)
        for kind in (MetricFilter, SubscriptionFilter):
            for item in await transaction.list(
                kind, account=call.account, region=call.region, parent=group.name
            ):
                await transaction.remove(kind, item.place)
        for key in await transaction.list(LogDataKey, parent=str(group.record.id)):
            await transaction.remove(LogDataKey, key.place)
        await transaction.remove(LogGroup, group.place)
    return {}


@operation
async def describe_log_groups(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    refuse(params, "includeLinkedAccounts")
    if "logGroupNamePrefix" in params and "logGroupNamePattern" in params:
        raise invalid_parameter(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    if any(each != call.account for each in params.get("accountIdentifiers", ())):
        raise invalid_parameter("Outcrop has no monitoring accounts: name your own account.")
    async with call.stores.resources.reading() as view:
        groups = await view.list(LogGroup, account=call.account, region=call.region)
        filters = await view.list(MetricFilter, account=call.account, region=call.region)
        sizes = await stored_bytes(view.connection, call.account, call.region)
    counts: dict[str, int] = {}
    for each in filters:
        counts[each.parent] = counts.get(each.parent, 0) + 1
    described = [
        _described(group, counts.get(group.name, 0), sizes.get(group.name, 0))
        for group in groups
        if _is_asked(call, group, params)
    ]
    return paged(call, params, described)


@operation
async def put_log_group_deletion_protection(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    place = group_place(call, params)
    return await _change(call, place, is_protected=params["deletionProtectionEnabled"])


@operation
async def put_retention_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    days = params["retentionInDays"]
    if days not in _RETENTIONS:
        allowed = ", ".join(map(str, _RETENTIONS))
        raise invalid_parameter(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy "
            f"constraint: Member must satisfy enum value set: [{allowed}]"
        )
    return await _change(call, group_place(call, params), retention_days=days)


@operation
async def delete_retention_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change(call, group_place(call, params), retention_days=None)


@operation
async def associate_kms_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """From now on; what is there stays as it is."""
    place = _associated(call, params)
    async with call.stores.resources.reading() as view:
        group = await get_group(view, place)
    kms_key = await checked_key(call, group, params["kmsKeyId"])
    return await _change(call, place, kms_key=kms_key)


@operation
async def disassociate_kms_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change(call, _associated(call, params), kms_key=None)


def _associated(call: Call, params: Mapping[str, Any]) -> Place:
    name, resource = params.get("logGroupName"), params.get("resourceIdentifier")
    if (name is None) == (resource is None):
        raise invalid_parameter("Give either logGroupName or resourceIdentifier.")
    if resource is not None and ":log-group:" not in resource:
        raise invalid_parameter(
            f"{resource} is not the ARN of a log group: Outcrop encrypts log groups, not the "
            "results of queries."
        )
    return identified_place(call, resource or name or "")


async def _change(call: Call, place: Place, **fields: Any) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        group = await get_group(transaction, place)
        record = msgspec.structs.replace(group.record, **fields)
        await transaction.put(replace(group, record=record))
    return {}


def _is_asked(call: Call, group: Item[LogGroup], params: Mapping[str, Any]) -> bool:
    if "logGroupIdentifiers" in params:
        asked = [identified_place(call, each) for each in params["logGroupIdentifiers"]]
        if group.place not in asked:
            return False
    if params.get("logGroupClass", _STANDARD) != _STANDARD:
        return False
    if not group.name.startswith(params.get("logGroupNamePrefix", "")):
        return False
    # A part of the name, in any case.
    return params.get("logGroupNamePattern", "").lower() in group.name.lower()


def _described(group: Item[LogGroup], filters: int, size_bytes: int) -> dict[str, Any]:
    record, arn = group.record, arn_of(group)
    described = {
        "logGroupName": group.name,
        "creationTime": to_ms(group.created_at),
        "retentionInDays": record.retention_days,
        "metricFilterCount": filters,
        "arn": f"{arn}:*",
        "storedBytes": size_bytes,
        "kmsKeyId": record.kms_key,
        "logGroupClass": _STANDARD,
        "logGroupArn": arn,
        "deletionProtectionEnabled": record.is_protected,
    }
    return {name: value for name, value in described.items() if value is not None}


async def _refuse_taken(call: Call, place: Place) -> None:
    async with call.stores.resources.reading() as view:
        if await view.find(LogGroup, place) is not None:
            raise _exists()


def _exists() -> ServiceError:
    return ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
