"""Users: made, renamed, tagged, bounded, deleted when nothing hangs on them any more.

The root user is none of these. A user's keys and groups follow its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.attachments import check_boundary, render_boundary
from outcrop.services.iam.departed import rename_principal
from outcrop.services.iam.documents import limit_exceeded
from outcrop.services.iam.listing import listed, starts_with
from outcrop.services.iam.refusals import check_free, delete_conflict, no_such, taken
from outcrop.services.iam.tagging import parse_tags, render_tags, with_tags, without_tags
from outcrop.services.operation import operation
from outcrop.stores.failures import NameTaken
from outcrop.stores.iam_names import ROOT_NAME, iam_arn, new_unique_id
from outcrop.stores.iam_records import UserRecord
from outcrop.stores.resources import Item, Place, Transaction

MAX_USERS: Final = 5000


@operation
async def create_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, path = params["UserName"], params.get("Path", "/")
    record = UserRecord(id=new_unique_id("user"), path=path)
    tags = parse_tags(params.get("Tags", ()))
    async with call.stores.resources.writing() as transaction:
        users = call.stores.directory.users(call.account)
        check_free("user", name, users)
        if len(users) >= MAX_USERS:
            raise limit_exceeded("UsersPerAccount", MAX_USERS)
        if "PermissionsBoundary" in params:
            boundary = check_boundary(call, params["PermissionsBoundary"])
            record = structs.replace(record, boundary=boundary)
        place = Place(call.account, "", name)
        arn = iam_arn(call.account, "user", name, path)
        try:
            user = await transaction.add(record, place, arn=arn, tags=tags)
        except NameTaken as error:
            raise taken("user", name) from error
    return {"User": _details(user)}


@operation
async def get_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Without a name, whoever asks."""
    if "UserName" not in params and call.caller.principal.kind == "root":
        return {"User": _root(call)}
    return {"User": _details(get_known_user(call, named_user(call, params)))}


@operation
async def list_users(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    users = call.stores.directory.users(call.account)
    found = [summarize(user) for user in users if starts_with(user.record.path, params)]
    return listed(call, params, found)


@operation
async def update_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        user = await get_user_in(transaction, call, params["UserName"])
        name = params.get("NewUserName", user.name)
        path = params.get("NewPath", user.record.path)
        if name.lower() != user.name.lower():
            check_free("user", name, call.stores.directory.users(call.account))
        former, arn = user.arn or "", iam_arn(call.account, "user", name, path)
        if name != user.name:
            await _move_keys(transaction, call, user.name, name)
            try:
                user = await transaction.rename(user, name, arn=arn)
            except NameTaken as error:
                raise taken("user", name) from error
        if arn != former:
            await rename_principal(transaction, call, former, arn)
        record = structs.replace(user.record, path=path)
        await transaction.put(replace(user, record=record, arn=arn))
    return {}


@operation
async def delete_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        user = await get_user_in(transaction, call, params["UserName"])
        obstacle = _find_obstacle(call, user)
        if obstacle is not None:
            raise delete_conflict(obstacle)
        await transaction.remove(UserRecord, user.place)
        await rename_principal(transaction, call, user.arn or "", user.record.id)
    return {}


@operation
async def put_user_permissions_boundary(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def bound(user: UserRecord) -> UserRecord:
        return structs.replace(user, boundary=check_boundary(call, params["PermissionsBoundary"]))

    await change_user(call, params["UserName"], bound)
    return {}


@operation
async def delete_user_permissions_boundary(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def unbound(user: UserRecord) -> UserRecord:
        if user.boundary is None:
            raise ServiceError(
                "NoSuchEntity",
                f"User {params['UserName']} does not have a permissions boundary.",
            )
        return structs.replace(user, boundary=None)

    await change_user(call, params["UserName"], unbound)
    return {}


@operation
async def tag_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        user = await get_user_in(transaction, call, params["UserName"])
        await transaction.put(replace(user, tags=with_tags(user.tags, params["Tags"])))
    return {}


@operation
async def untag_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        user = await get_user_in(transaction, call, params["UserName"])
        await transaction.put(replace(user, tags=without_tags(user.tags, params["TagKeys"])))
    return {}


@operation
async def list_user_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    user = get_known_user(call, params["UserName"])
    return listed(call, params, render_tags(user.tags))


@operation
async def list_mfa_devices(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Nobody has one: there are none here, and scripts that delete users ask."""
    if "UserName" in params:
        get_known_user(call, params["UserName"])
    return listed(call, params, [])


def get_known_user(call: Call, name: str) -> Item[UserRecord]:
    user = call.stores.directory.find_user(call.account, name)
    if user is None:
        raise no_such("user", name)
    return user


async def get_user_in(transaction: Transaction, call: Call, name: str) -> Item[UserRecord]:
    user = await transaction.find(UserRecord, Place(call.account, "", name))
    if user is None or user.record.kind != "user":
        raise no_such("user", name)
    return user


async def change_user(
    call: Call, name: str, change: Callable[[UserRecord], UserRecord]
) -> Item[UserRecord]:
    """``change`` runs alone: what it checks holds until its result is written."""
    async with call.stores.resources.writing() as transaction:
        user = await get_user_in(transaction, call, name)
        return await transaction.put(replace(user, record=change(user.record)))


def named_user(call: Call, params: Mapping[str, Any]) -> str:
    """Whom a request without ``UserName`` means: the user whose key signed it."""
    if "UserName" in params:
        return params["UserName"]
    if call.caller.principal.kind != "user" or call.caller.session is not None:
        raise ServiceError(
            "ValidationError", "Must specify userName when calling with non-User credentials"
        )
    return call.caller.principal.name


def owner_of_keys(call: Call, params: Mapping[str, Any]) -> str:
    """The same where the root user may mean itself."""
    if "UserName" not in params and call.caller.principal.kind == "root":
        return ROOT_NAME
    return get_known_user(call, named_user(call, params)).name


def summarize(user: Item[UserRecord]) -> dict[str, Any]:
    return {
        "Path": user.record.path,
        "UserName": user.name,
        "UserId": user.record.id,
        "Arn": user.arn,
        "CreateDate": user.created_at.replace(microsecond=0),
    }


def _find_obstacle(call: Call, user: Item[UserRecord]) -> str | None:
    directory, account, name = call.stores.directory, call.account, user.name
    obstacles = {
        "delete access keys": directory.access_keys_of(account, name),
        "detach all policies": user.record.attached,
        "delete policies": user.record.inline,
        "remove users from group": user.record.groups,
        "delete service specific credentials": directory.credentials_of(account, name),
    }
    return next((obstacle for obstacle, found in obstacles.items() if found), None)


async def _move_keys(transaction: Transaction, call: Call, old: str, new: str) -> None:
    for key in call.stores.directory.access_keys_of(call.account, old):
        await transaction.put(replace(key, parent=new))
    for credential in call.stores.directory.credentials_of(call.account, old):
        await transaction.put(replace(credential, parent=new))


def _root(call: Call) -> dict[str, Any]:
    account = call.stores.directory.find_account(call.account)
    return {
        "UserId": call.account,
        "Arn": call.caller.arn,
        "CreateDate": (account.created_at if account else call.now).replace(microsecond=0),
    }


def _details(user: Item[UserRecord]) -> dict[str, Any]:
    tags = {"Tags": render_tags(user.tags)} if user.tags else {}
    return {**summarize(user), **render_boundary(user.record.boundary), **tags}
