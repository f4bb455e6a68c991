"""Roles: who may assume them (the trust policy), and what bounds their sessions."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.attachments import check_boundary, render_boundary
from outcrop.services.iam.departed import rename_principal
from outcrop.services.iam.documents import (
    TRUST_POLICY_CHARACTERS,
    encoded,
    limit_exceeded,
    size_of,
)
from outcrop.services.iam.listing import listed, starts_with
from outcrop.services.iam.refusals import check_free, delete_conflict, no_such
from outcrop.services.iam.tagging import parse_tags, render_tags, with_tags, without_tags
from outcrop.services.iam.trust import check_trust
from outcrop.services.operation import operation
from outcrop.stores.iam_names import iam_arn, new_unique_id
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.resources import Item, Place, Transaction

MAX_ROLES: Final = 1000

# The tracking period that IAM tells.
_USES_KEPT: Final = timedelta(days=400)
_SERVICE_LINKED_PATH: Final = "/aws-service-role/"


@operation
async def create_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, path = params["RoleName"], params.get("Path", "/")
    trust = _checked_trust(call, params["AssumeRolePolicyDocument"])
    if path.startswith(_SERVICE_LINKED_PATH):
        raise ServiceError("InvalidInput", f"The path {path} is reserved for service-linked roles.")
    record = RoleRecord(
        id=new_unique_id("role"),
        trust=trust,
        path=path,
        description=params.get("Description", ""),
        max_session_s=params.get("MaxSessionDuration", 3600),
    )
    tags = parse_tags(params.get("Tags", ()))
    async with call.stores.resources.writing() as transaction:
        _check_room(call, name)
        if "PermissionsBoundary" in params:
            boundary = check_boundary(call, params["PermissionsBoundary"])
            record = structs.replace(record, boundary=boundary)
        role = await transaction.add(
            record,
            Place(call.account, "", name),
            arn=iam_arn(call.account, "role", name, path),
            tags=tags,
        )
    return {"Role": _details(role)}


@operation
async def get_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    role = get_known_role(call, params["RoleName"])
    return {"Role": _details(role) | {"RoleLastUsed": render_last_use(call, role)}}


@operation
async def list_roles(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    roles = call.stores.directory.roles(call.account)
    summaries = [_summary(role) for role in roles if starts_with(role.record.path, params)]
    return listed(call, params, summaries)


@operation
async def update_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "Description" in params:
        changes["description"] = params["Description"]
    if "MaxSessionDuration" in params:
        changes["max_session_s"] = params["MaxSessionDuration"]
    await change_role(call, params["RoleName"], lambda role: structs.replace(role, **changes))
    return {}


@operation
async def update_role_description(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    description = params["Description"]
    role = await change_role(
        call, params["RoleName"], lambda role: structs.replace(role, description=description)
    )
    return {"Role": _details(role)}


@operation
async def update_assume_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    get_known_role(call, params["RoleName"])
    trust = _checked_trust(call, params["PolicyDocument"])
    await change_role(call, params["RoleName"], lambda role: structs.replace(role, trust=trust))
    return {}


@operation
async def delete_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        role = await _get(transaction, call, params["RoleName"])
        if role.record.attached:
            raise delete_conflict("detach all policies")
        if role.record.inline:
            raise delete_conflict("delete policies")
        await transaction.remove(RoleRecord, role.place)
        await rename_principal(transaction, call, role.arn or "", role.record.id)
    return {}


@operation
async def put_role_permissions_boundary(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def bound(role: RoleRecord) -> RoleRecord:
        return structs.replace(role, boundary=check_boundary(call, params["PermissionsBoundary"]))

    await change_role(call, params["RoleName"], bound)
    return {}


@operation
async def delete_role_permissions_boundary(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await change_role(call, params["RoleName"], lambda role: structs.replace(role, boundary=None))
    return {}


@operation
async def tag_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        role = await _get(transaction, call, params["RoleName"])
        await transaction.put(replace(role, tags=with_tags(role.tags, params["Tags"])))
    return {}


@operation
async def untag_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        role = await _get(transaction, call, params["RoleName"])
        await transaction.put(replace(role, tags=without_tags(role.tags, params["TagKeys"])))
    return {}


@operation
async def list_role_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    role = get_known_role(call, params["RoleName"])
    return listed(call, params, render_tags(role.tags))


@operation
async def list_instance_profiles_for_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Terraform asks before it deletes a role. There are no instances here, so no profiles."""
    get_known_role(call, params["RoleName"])
    return listed(call, params, [])


@operation
async def create_service_linked_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """None of the services here has one: those of Bedrock act with roles passed to them."""
    raise ServiceError(
        "InvalidInput",
        f"Service linked roles are not supported for {params['AWSServiceName']}.",
    )


def get_known_role(call: Call, name: str) -> Item[RoleRecord]:
    role = call.stores.directory.find_role(call.account, name)
    if role is None:
        raise no_such("role", name)
    return role


async def change_role(
    call: Call, name: str, change: Callable[[RoleRecord], RoleRecord]
) -> Item[RoleRecord]:
    """``change`` runs alone: what it checks holds until its result is written."""
    async with call.stores.resources.writing() as transaction:
        role = await _get(transaction, call, name)
        return await transaction.put(replace(role, record=change(role.record)))


async def _get(transaction: Transaction, call: Call, name: str) -> Item[RoleRecord]:
    role = await transaction.find(RoleRecord, Place(call.account, "", name))
    if role is None:
        raise no_such("role", name)
    return role


def _checked_trust(call: Call, text: str) -> str:
    check_trust(call.stores.directory, text)
    if size_of(text) > TRUST_POLICY_CHARACTERS:
        raise limit_exceeded("ACLSizePerRole", TRUST_POLICY_CHARACTERS)
    return text


def _check_room(call: Call, name: str) -> None:
    roles = call.stores.directory.roles(call.account)
    check_free("role", name, roles)
    if len(roles) >= MAX_ROLES:
        raise limit_exceeded("RolesPerAccount", MAX_ROLES)


def render_last_use(call: Call, role: Item[RoleRecord]) -> dict[str, Any]:
    """Empty for a role that nobody has used in the time that AWS looks back."""
    use = call.stores.directory.last_use(role.record.id)
    if use is None or call.now - use.time > _USES_KEPT:
        return {}
    return {"LastUsedDate": use.time.replace(microsecond=0), "Region": use.region}


def _details(role: Item[RoleRecord]) -> dict[str, Any]:
    details = _summary(role) | render_boundary(role.record.boundary)
    if role.tags:
        details["Tags"] = render_tags(role.tags)
    return details


def _summary(role: Item[RoleRecord]) -> dict[str, Any]:
    """Lists leave boundary and tags out, as AWS's do."""
    record = role.record
    summary: dict[str, Any] = {
        "Path": record.path,
        "RoleName": role.name,
        "RoleId": record.id,
        "Arn": role.arn,
        "CreateDate": role.created_at.replace(microsecond=0),
        "AssumeRolePolicyDocument": encoded(record.trust),
        "MaxSessionDuration": record.max_session_s,
    }
    if record.description:
        summary["Description"] = record.description
    return summary
