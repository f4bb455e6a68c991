"""Versions of a managed policy: the default one is the policy; at most five are kept."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from msgspec import structs

from outcrop.authorization.managed import ManagedPolicy
from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.documents import check_managed, encoded
from outcrop.services.iam.listing import listed
from outcrop.services.iam.policies import Policy, get_any_policy, get_own_policy
from outcrop.services.operation import operation
from outcrop.stores.iam_records import PolicyRecord, PolicyVersion
from outcrop.stores.resources import Item

MAX_VERSIONS: Final = 5


@operation
async def create_policy_version(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    is_default = params.get("SetAsDefault", False)
    check_managed(params["PolicyDocument"])
    version = PolicyVersion(document=params["PolicyDocument"], created_at=call.now)
    async with call.stores.resources.writing() as transaction:
        policy = await get_own_policy(transaction, call, params["PolicyArn"])
        record = policy.record
        if len(record.versions) >= MAX_VERSIONS:
            raise ServiceError(
                "LimitExceeded",
                f"A managed policy can have up to {MAX_VERSIONS} versions. Before you create a new "
                "version, you must delete an existing version.",
            )
        latest = record.latest + 1
        name = f"v{latest}"
        record = structs.replace(
            record,
            latest=latest,
            versions={**record.versions, name: version},
            default_version=name if is_default else record.default_version,
        )
        await transaction.put(replace(policy, record=record))
    return {"PolicyVersion": _summary(name, version.created_at, is_default)}


@operation
async def get_policy_version(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    policy, name = get_any_policy(call, params["PolicyArn"]), params["VersionId"]
    version = versions_of(policy).get(name)
    if version is None:
        raise _no_such_version(params["PolicyArn"], name)
    return {"PolicyVersion": render_version(policy, name, version)}


@operation
async def list_policy_versions(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    policy = get_any_policy(call, params["PolicyArn"])
    found = [
        _summary(name, version.created_at, name == default_version(policy))
        for name, version in versions_of(policy).items()
    ]
    return listed(call, params, found)


@operation
async def delete_policy_version(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    gone = params["VersionId"]
    async with call.stores.resources.writing() as transaction:
        policy = await get_own_policy(transaction, call, params["PolicyArn"])
        _check_version(policy, gone)
        if gone == policy.record.default_version:
            raise ServiceError("DeleteConflict", "Cannot delete the default version of a policy.")
        kept = {name: each for name, each in policy.record.versions.items() if name != gone}
        record = structs.replace(policy.record, versions=kept)
        await transaction.put(replace(policy, record=record))
    return {}


@operation
async def set_default_policy_version(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        policy = await get_own_policy(transaction, call, params["PolicyArn"])
        _check_version(policy, params["VersionId"])
        record = structs.replace(policy.record, default_version=params["VersionId"])
        await transaction.put(replace(policy, record=record))
    return {}


def versions_of(policy: Policy) -> dict[str, PolicyVersion]:
    """The newest first. Of AWS's policies there is the default version only."""
    if isinstance(policy, ManagedPolicy):
        version = PolicyVersion(document=policy.document, created_at=policy.updated_at)
        return {policy.default_version: version}
    versions = policy.record.versions
    return {name: versions[name] for name in sorted(versions, key=_number, reverse=True)}


def default_version(policy: Policy) -> str:
    is_aws = isinstance(policy, ManagedPolicy)
    return policy.default_version if is_aws else policy.record.default_version


def render_version(policy: Policy, name: str, version: PolicyVersion) -> dict[str, Any]:
    summary = _summary(name, version.created_at, name == default_version(policy))
    return {"Document": encoded(version.document), **summary}


def _summary(name: str, created_at: datetime, is_default: bool) -> dict[str, Any]:
    return {
        "VersionId": name,
        "IsDefaultVersion": is_default,
        "CreateDate": created_at.replace(microsecond=0),
    }


def _number(name: str) -> int:
    return int(name.removeprefix("v"))


def _check_version(policy: Item[PolicyRecord], name: str) -> None:
    if name not in policy.record.versions:
        raise _no_such_version(policy.arn or "", name)


def _no_such_version(arn: str, name: str) -> ServiceError:
    return ServiceError(
        "NoSuchEntity", f"Policy {arn} version {name} does not exist or is not attachable."
    )
