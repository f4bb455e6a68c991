"""Groups, and who is in them: a user's record names its groups."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.documents import limit_exceeded
from outcrop.services.iam.listing import listed, starts_with
from outcrop.services.iam.refusals import check_free, delete_conflict, no_such, taken
from outcrop.services.iam.users import (
    change_user,
    get_known_user,
    summarize as summarize_user,
)
from outcrop.services.operation import operation
from outcrop.stores.failures import NameTaken
from outcrop.stores.iam_names import iam_arn, new_unique_id
from outcrop.stores.iam_records import GroupRecord, UserRecord
from outcrop.stores.resources import Item, Place, Transaction

MAX_GROUPS: Final = 300
MAX_GROUPS_OF_USER: Final = 10


@operation
async def create_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, path = params["GroupName"], params.get("Path", "/")
    record = GroupRecord(id=new_unique_id("group"), path=path)
    async with call.stores.resources.writing() as transaction:
        groups = call.stores.directory.groups(call.account)
        check_free("group", name, groups)
        if len(groups) >= MAX_GROUPS:
            raise limit_exceeded("GroupsPerAccount", MAX_GROUPS)
        place = Place(call.account, "", name)
        arn = iam_arn(call.account, "group", name, path)
        try:
            group = await transaction.add(record, place, arn=arn)
        except NameTaken as error:
            raise taken("group", name) from error
    return {"Group": _summarize(group)}


@operation
async def get_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """With its users, a page at a time."""
    group = get_known_group(call, params["GroupName"])
    members = [summarize_user(user) for user in _members(call, group.name)]
    return {"Group": _summarize(group), **listed(call, params, members)}


@operation
async def list_groups(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    groups = call.stores.directory.groups(call.account)
    found = [_summarize(group) for group in groups if starts_with(group.record.path, params)]
    return listed(call, params, found)


@operation
async def list_groups_for_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    user = get_known_user(call, params["UserName"])
    groups = [get_known_group(call, name) for name in user.record.groups]
    return listed(call, params, [_summarize(group) for group in groups])


@operation
async def update_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        group = await _get(transaction, call, params["GroupName"])
        name = params.get("NewGroupName", group.name)
        path = params.get("NewPath", group.record.path)
        if name.lower() != group.name.lower():
            check_free("group", name, call.stores.directory.groups(call.account))
        arn = iam_arn(call.account, "group", name, path)
        if name != group.name:
            for user in _members(call, group.name):
                await _rename_membership(transaction, user, group.name, name)
            try:
                group = await transaction.rename(group, name, arn=arn)
            except NameTaken as error:
                raise taken("group", name) from error
        record = structs.replace(group.record, path=path)
        await transaction.put(replace(group, record=record, arn=arn))
    return {}


@operation
async def delete_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        group = await _get(transaction, call, params["GroupName"])
        if group.record.attached:
            raise delete_conflict("detach all policies")
        if group.record.inline:
            raise delete_conflict("delete policies")
        if _members(call, group.name):
            raise delete_conflict("remove users from group")
        await transaction.remove(GroupRecord, group.place)
    return {}


@operation
async def add_user_to_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def join(user: UserRecord) -> UserRecord:
        group = get_known_group(call, params["GroupName"]).name
        if group in user.groups:
            return user
        if len(user.groups) >= MAX_GROUPS_OF_USER:
            raise limit_exceeded("GroupsPerUser", MAX_GROUPS_OF_USER)
        return structs.replace(user, groups=(*user.groups, group))

    get_known_group(call, params["GroupName"])
    await change_user(call, params["UserName"], join)
    return {}


@operation
async def remove_user_from_group(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params["GroupName"]

    def leave(user: UserRecord) -> UserRecord:
        if name not in user.groups:
            raise ServiceError("NoSuchEntity", f"User {params['UserName']} not in group {name}")
        return structs.replace(user, groups=tuple(each for each in user.groups if each != name))

    get_known_group(call, name)
    await change_user(call, params["UserName"], leave)
    return {}


def get_known_group(call: Call, name: str) -> Item[GroupRecord]:
    group = call.stores.directory.find_group(call.account, name)
    if group is None:
        raise no_such("group", name)
    return group


async def change_group(
    call: Call, name: str, change: Callable[[GroupRecord], GroupRecord]
) -> Item[GroupRecord]:
    """``change`` runs alone: what it checks holds until its result is written."""
    async with call.stores.resources.writing() as transaction:
        group = await _get(transaction, call, name)
        return await transaction.put(replace(group, record=change(group.record)))


async def _get(transaction: Transaction, call: Call, name: str) -> Item[GroupRecord]:
    group = await transaction.find(GroupRecord, Place(call.account, "", name))
    if group is None:
        raise no_such("group", name)
    return group


def _members(call: Call, group: str) -> list[Item[UserRecord]]:
    users = call.stores.directory.users(call.account)
    return [user for user in users if group in user.record.groups]


async def _rename_membership(
    transaction: Transaction, user: Item[UserRecord], old: str, new: str
) -> None:
    groups = tuple(new if each == old else each for each in user.record.groups)
    await transaction.put(replace(user, record=structs.replace(user.record, groups=groups)))


def _summarize(group: Item[GroupRecord]) -> dict[str, Any]:
    return {
        "Path": group.record.path,
        "GroupName": group.name,
        "GroupId": group.record.id,
        "Arn": group.arn,
        "CreateDate": group.created_at.replace(microsecond=0),
    }
