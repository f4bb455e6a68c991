"""Managed policies: an account's own, and those of AWS, which all may read and nobody change."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from outcrop.authorization import managed
from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.attachments import (
    Uses,
    boundary_of,
    check_arn,
    holders_in,
    path_of,
    uses_in,
)
from outcrop.services.iam.documents import check_managed, limit_exceeded
from outcrop.services.iam.listing import listed, listed_together, starts_with
from outcrop.services.iam.tagging import parse_tags, render_tags, with_tags, without_tags
from outcrop.services.operation import operation
from outcrop.stores.iam_names import AWS_POLICIES, iam_arn, new_unique_id
from outcrop.stores.iam_records import GroupRecord, PolicyRecord, PolicyVersion, RoleRecord
from outcrop.stores.resources import Item, Place, Transaction

MAX_POLICIES: Final = 1500

_BY_PERMISSIONS, _BY_BOUNDARY = "PermissionsPolicy", "PermissionsBoundary"


@operation
async def create_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, path = params["PolicyName"], params.get("Path", "/")
    check_managed(params["PolicyDocument"])
    version = PolicyVersion(document=params["PolicyDocument"], created_at=call.now)
    record = PolicyRecord(
        id=new_unique_id("policy"),
        versions={"v1": version},
        default_version="v1",
        path=path,
        description=params.get("Description", ""),
    )
    tags = parse_tags(params.get("Tags", ()))
    async with call.stores.resources.writing() as transaction:
        _check_room(call, name)
        policy = await transaction.add(
            record,
            Place(call.account, "", name),
            arn=iam_arn(call.account, "policy", name, path),
            tags=tags,
        )
    summary = summarize(policy, Uses())
    return {"Policy": summary | ({"Tags": render_tags(policy.tags)} if policy.tags else {})}


@operation
async def get_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    policy = get_any_policy(call, params["PolicyArn"])
    summary = summarize(policy, uses_in(call.stores.directory, call.account))
    return {"Policy": summary | describe(policy) | {"Tags": render_tags(_tags(policy))}}


@operation
async def list_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    uses = uses_in(call.stores.directory, call.account)
    found = [
        summarize(policy, uses)
        for policy in _in_scope(call, params.get("Scope", "All"))
        if starts_with(_path(policy), params) and _is_used_so(_arn(policy), uses, params)
    ]
    return listed(call, params, found)


@operation
async def delete_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    arn = params["PolicyArn"]
    async with call.stores.resources.writing() as transaction:
        policy = await get_own_policy(transaction, call, arn)
        if uses_in(call.stores.directory, call.account).of(arn):
            raise _conflict("Cannot delete a policy attached to entities.")
        if len(policy.record.versions) > 1:
            raise _conflict(
                "This policy has more than one version. Before you delete a policy, you must "
                "delete the policy's versions. The default version is deleted with the policy."
            )
        await transaction.remove(PolicyRecord, policy.place)
    return {}


@operation
async def list_entities_for_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    arn = params["PolicyArn"]
    get_any_policy(call, arn)
    lists: dict[str, list[dict[str, Any]]] = {
        "PolicyGroups": [],
        "PolicyUsers": [],
        "PolicyRoles": [],
    }
    usage, wanted = params.get("PolicyUsageFilter"), params.get("EntityFilter")
    for item in holders_in(call.stores.directory, call.account):
        noun = _noun(item)
        uses = (usage != _BY_BOUNDARY and arn in item.record.attached) or (
            usage != _BY_PERMISSIONS and boundary_of(item.record) == arn
        )
        if uses and wanted in (None, noun) and starts_with(item.record.path, params):
            entity = {f"{noun}Name": item.name, f"{noun}Id": item.record.id}
            lists[f"Policy{noun}s"].append(entity)
    return listed_together(call, params, lists)


@operation
async def tag_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await _retag(call, params["PolicyArn"], lambda tags: with_tags(tags, params["Tags"]))
    return {}


@operation
async def untag_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await _retag(call, params["PolicyArn"], lambda tags: without_tags(tags, params["TagKeys"]))
    return {}


@operation
async def list_policy_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    policy = get_any_policy(call, params["PolicyArn"])
    return listed(call, params, render_tags(_tags(policy)))


Policy = Item[PolicyRecord] | managed.ManagedPolicy


def get_any_policy(call: Call, arn: str) -> Policy:
    """A policy of AWS or of the caller's account."""
    check_arn(arn)
    known = managed.find_policy(arn)
    if known is not None:
        return known
    policy = call.stores.directory.find_policy(arn)
    if policy is None or policy.place.account != call.account:
        is_aws = arn.startswith(AWS_POLICIES)
        problem = "was not found" if is_aws else "does not exist or is not attachable"
        raise ServiceError("NoSuchEntity", f"Policy {arn} {problem}.")
    return policy


async def get_own_policy(transaction: Transaction, call: Call, arn: str) -> Item[PolicyRecord]:
    """To change it."""
    check_arn(arn)
    if arn.startswith(AWS_POLICIES):
        raise ServiceError(
            "AccessDenied",
            f"User: {call.caller.arn} is not authorized to perform: iam:{call.operation.name} on "
            f"resource: policy {arn}",
            status=403,
        )
    policy = await transaction.find_arn(PolicyRecord, arn)
    if policy is None or policy.place.account != call.account:
        raise ServiceError("NoSuchEntity", f"Policy {arn} was not found.")
    return policy


def summarize(policy: Policy, uses: Uses) -> dict[str, Any]:
    """What lists show; the description is shown by what describes one policy."""
    arn = _arn(policy)
    if isinstance(policy, managed.ManagedPolicy):
        default, created, updated = policy.default_version, policy.created_at, policy.updated_at
        unique_id = policy.id
    else:
        record = policy.record
        default, created, unique_id = record.default_version, policy.created_at, record.id
        updated = max(version.created_at for version in record.versions.values())
    return {
        "PolicyName": policy.name,
        "PolicyId": unique_id,
        "Arn": arn,
        "Path": _path(policy),
        "DefaultVersionId": default,
        "AttachmentCount": uses.attached[arn],
        "PermissionsBoundaryUsageCount": uses.boundaries[arn],
        "IsAttachable": True,
        "CreateDate": created.replace(microsecond=0),
        "UpdateDate": max(created, updated).replace(microsecond=0),
    }


def describe(policy: Policy) -> dict[str, str]:
    is_aws = isinstance(policy, managed.ManagedPolicy)
    text = policy.description if is_aws else policy.record.description
    return {"Description": text} if text else {}


def _in_scope(call: Call, scope: str) -> Iterable[Policy]:
    if scope in ("All", "Local"):
        yield from call.stores.directory.policies(call.account)
    if scope in ("All", "AWS"):
        yield from managed.policies()


def _is_used_so(arn: str, uses: Uses, params: Mapping[str, Any]) -> bool:
    attached, bounds = uses.attached[arn] > 0, uses.boundaries[arn] > 0
    match params.get("PolicyUsageFilter"), params.get("OnlyAttached", False):
        case "PermissionsBoundary", _:
            return bounds
        case "PermissionsPolicy", False:
            return attached or not bounds
        case "PermissionsPolicy", _:
            return attached
        case _, only_attached:
            return attached or bounds or not only_attached


def _noun(item: Item[Any]) -> str:
    if isinstance(item.record, RoleRecord):
        return "Role"
    return "Group" if isinstance(item.record, GroupRecord) else "User"


def _tags(policy: Policy) -> Mapping[str, str]:
    return dict[str, str]() if isinstance(policy, managed.ManagedPolicy) else policy.tags


def _arn(policy: Policy) -> str:
    return policy.arn or ""


def _path(policy: Policy) -> str:
    return path_of(_arn(policy))


async def _retag(
    call: Call, arn: str, change: Callable[[Mapping[str, str]], dict[str, str]]
) -> None:
    async with call.stores.resources.writing() as transaction:
        policy = await get_own_policy(transaction, call, arn)
        await transaction.put(replace(policy, tags=change(policy.tags)))


def _check_room(call: Call, name: str) -> None:
    policies = call.stores.directory.policies(call.account)
    # Names are told apart without regard to case or path.
    if any(policy.name.lower() == name.lower() for policy in policies):
        raise ServiceError(
            "EntityAlreadyExists",
            f"A policy called {name} already exists. Duplicate names are not allowed.",
        )
    if len(policies) >= MAX_POLICIES:
        raise limit_exceeded("PoliciesPerAccount", MAX_POLICIES)


def _conflict(message: str) -> ServiceError:
    return ServiceError("DeleteConflict", message)
