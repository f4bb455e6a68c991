"""GetAccountAuthorizationDetails: every identity and policy of the account, with its documents."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from outcrop.authorization import managed
from outcrop.services.call import Call
from outcrop.services.iam.attachments import Uses, render_attached, render_boundary, uses_in
from outcrop.services.iam.documents import encoded
from outcrop.services.iam.listing import listed_together
from outcrop.services.iam.policies import Policy, describe, summarize
from outcrop.services.iam.policy_versions import render_version, versions_of
from outcrop.services.iam.roles import render_last_use
from outcrop.services.iam.tagging import render_tags
from outcrop.services.operation import operation
from outcrop.stores.iam_records import GroupRecord, RoleRecord, UserRecord
from outcrop.stores.identities import principal_of
from outcrop.stores.resources import Item

_LISTS: Final = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}


@operation
async def get_account_authorization_details(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    wanted = params.get("Filter") or _LISTS
    lists: dict[str, list[dict[str, Any]]] = {name: [] for name in _LISTS.values()}
    for kind, name in _LISTS.items():
        if kind in wanted:
            lists[name] += _details(call, kind)
    return listed_together(call, params, lists)


def _details(call: Call, kind: str) -> list[dict[str, Any]]:
    directory, account = call.stores.directory, call.account
    match kind:
        case "User":
            return [_user(user) for user in directory.users(account)]
        case "Group":
            return [_group(group) for group in directory.groups(account)]
        case "Role":
            return [_role(call, role) for role in directory.roles(account)]
        case "LocalManagedPolicy":
            return _policies(directory.policies(account), uses_in(directory, account))
        case _:
            uses = uses_in(directory, account)
            return _policies((each for each in managed.policies() if uses.of(each.arn)), uses)


def _user(user: Item[UserRecord]) -> dict[str, Any]:
    record = user.record
    return {
        "Path": record.path,
        "UserName": user.name,
        "UserId": record.id,
        "Arn": principal_of(user).arn,
        "CreateDate": user.created_at.replace(microsecond=0),
        **_inline("UserPolicyList", record.inline),
        "GroupList": list(record.groups),
        "AttachedManagedPolicies": render_attached(record.attached),
        **render_boundary(record.boundary),
        "Tags": render_tags(user.tags),
    }


def _group(group: Item[GroupRecord]) -> dict[str, Any]:
    return {
        "Path": group.record.path,
        "GroupName": group.name,
        "GroupId": group.record.id,
        "Arn": group.arn,
        "CreateDate": group.created_at.replace(microsecond=0),
        "GroupPolicyList": _documents(group.record.inline),
        "AttachedManagedPolicies": render_attached(group.record.attached),
    }


def _role(call: Call, role: Item[RoleRecord]) -> dict[str, Any]:
    record = role.record
    return {
        "Path": record.path,
        "RoleName": role.name,
        "RoleId": record.id,
        "Arn": role.arn,
        "CreateDate": role.created_at.replace(microsecond=0),
        "AssumeRolePolicyDocument": encoded(record.trust),
        "InstanceProfileList": [],
        "RolePolicyList": _documents(record.inline),
        "AttachedManagedPolicies": render_attached(record.attached),
        **render_boundary(record.boundary),
        "Tags": render_tags(role.tags),
        "RoleLastUsed": render_last_use(call, role),
    }


def _policies(policies: Iterable[Policy], uses: Uses) -> list[dict[str, Any]]:
    return [
        {
            **summarize(policy, uses),
            **describe(policy),
            "PolicyVersionList": [
                render_version(policy, name, version)
                for name, version in versions_of(policy).items()
            ],
        }
        for policy in policies
    ]


def _inline(member: str, policies: Mapping[str, str]) -> dict[str, Any]:
    """AWS leaves the list out for users without inline policies."""
    return {member: _documents(policies)} if policies else {}


def _documents(policies: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"PolicyName": name, "PolicyDocument": encoded(text)} for name, text in policies.items()
    ]
