"""The account itself: its alias, and what it holds beside its quotas."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.access_keys import MAX_KEYS_OF_USER
from outcrop.services.iam.attachments import MAX_ATTACHED
from outcrop.services.iam.documents import MANAGED_POLICY_CHARACTERS, TRUST_POLICY_CHARACTERS
from outcrop.services.iam.groups import MAX_GROUPS, MAX_GROUPS_OF_USER
from outcrop.services.iam.inline_policies import QUOTA_CHARACTERS
from outcrop.services.iam.listing import listed
from outcrop.services.iam.policies import MAX_POLICIES
from outcrop.services.iam.policy_versions import MAX_VERSIONS
from outcrop.services.iam.roles import MAX_ROLES
from outcrop.services.iam.users import MAX_USERS
from outcrop.services.operation import operation
from outcrop.stores.iam_names import ROOT_NAME
from outcrop.stores.iam_records import AccountRecord
from outcrop.stores.resources import Place

_QUOTAS: Final = {
    "AccessKeysPerUserQuota": MAX_KEYS_OF_USER,
    "AssumeRolePolicySizeQuota": TRUST_POLICY_CHARACTERS,
    "AttachedPoliciesPerGroupQuota": MAX_ATTACHED,
    "AttachedPoliciesPerRoleQuota": MAX_ATTACHED,
    "AttachedPoliciesPerUserQuota": MAX_ATTACHED,
    "GroupPolicySizeQuota": QUOTA_CHARACTERS["group"],
    "GroupsPerUserQuota": MAX_GROUPS_OF_USER,
    "GroupsQuota": MAX_GROUPS,
    "PoliciesQuota": MAX_POLICIES,
    "PolicySizeQuota": MANAGED_POLICY_CHARACTERS,
    "RolePolicySizeQuota": QUOTA_CHARACTERS["role"],
    "RolesQuota": MAX_ROLES,
    "UserPolicySizeQuota": QUOTA_CHARACTERS["user"],
    "UsersQuota": MAX_USERS,
    "VersionsPerPolicyQuota": MAX_VERSIONS,
}


@operation
async def create_account_alias(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """An account has one alias: a new one replaces it."""
    alias = params["AccountAlias"]
    for account in call.stores.directory.accounts():
        if account.record.alias == alias and account.name != call.account:
            raise ServiceError("EntityAlreadyExists", f"The account alias {alias} already exists.")
    await _set_alias(call, alias)
    return {}


@operation
async def delete_account_alias(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    alias = params["AccountAlias"]
    if alias not in _aliases(call):
        raise ServiceError("NoSuchEntity", f"The account alias with name {alias} cannot be found.")
    await _set_alias(call, None)
    return {}


@operation
async def list_account_aliases(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return listed(call, params, _aliases(call))


@operation
async def get_account_summary(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """What is counted here, and zero for what does not exist here."""
    directory, account = call.stores.directory, call.account
    policies = directory.policies(account)
    counts = {
        "AccountAccessKeysPresent": int(bool(directory.access_keys_of(account, ROOT_NAME))),
        "AccountMFAEnabled": 0,
        "AccountPasswordPresent": 0,
        "AccountSigningCertificatesPresent": 0,
        "Groups": len(directory.groups(account)),
        "InstanceProfiles": 0,
        "MFADevices": 0,
        "MFADevicesInUse": 0,
        "Policies": len(policies),
        "PolicyVersionsInUse": sum(len(policy.record.versions) for policy in policies),
        "Providers": 0,
        "Roles": len(directory.roles(account)),
        "ServerCertificates": 0,
        "Users": len(directory.users(account)),
    }
    return {"SummaryMap": {**counts, **_QUOTAS}}


def _aliases(call: Call) -> list[str]:
    account = call.stores.directory.find_account(call.account)
    return [account.record.alias] if account and account.record.alias else []


async def _set_alias(call: Call, alias: str | None) -> None:
    async with call.stores.resources.writing() as transaction:
        item = await transaction.get(AccountRecord, Place(call.account, "", call.account))
        record = structs.replace(item.record, alias=alias)
        await transaction.put(replace(item, record=record))
