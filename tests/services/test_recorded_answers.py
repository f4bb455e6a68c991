"""Every recorded answer of IAM, KMS, Secrets Manager and STS whose operation is here: what AWS sent
is in an answer of ours, of the same type. What is not is listed, with the reason."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from in_process import ADMIN, Client, Keys, running_inside
from kms_requests import owned
from statements import ACCOUNT, allow, document, root_arn, to, user_arn

from outcrop.services import handlers
from outcrop.services.operation import find_handler
from outcrop.wire.spec import load_service

RECORDINGS = Path(__file__).resolve().parents[2] / "../shared/real-control-plane.jsonl"
SERVICES = ("iam", "kms", "secretsmanager", "sts")
Members = set[tuple[str, str]]

# What these operations answered is about what accounts do not have here (services/iam/absent.py).
ABSENT = {
    *("DeleteInstanceProfile", "DeleteLoginProfile", "GetAccountPasswordPolicy"),
    "GetSAMLProvider",
}
# Members of keys are keys of a map: one stands for all.
MAPS = ("VersionIdsToStages", "SecretVersionsToStages")
DOCUMENTS = ("AssumeRolePolicyDocument", "Document", "PolicyDocument")

NOT_HERE = {
    # There are no instance profiles, passwords, SSH keys, certificates and devices.
    "iam:ListInstanceProfiles": ("InstanceProfiles[]",),
    "iam:ListInstanceProfilesForRole": ("InstanceProfiles[]",),
    "iam:ListSSHPublicKeys": ("SSHPublicKeys[]",),
    "iam:ListServerCertificates": ("ServerCertificateMetadataList[]",),
    "iam:ListVirtualMFADevices": ("VirtualMFADevices[]",),
    "iam:ListUsers": ("Users[].PasswordLastUsed",),
    "iam:GetUser": ("User.PasswordLastUsed",),
    "iam:GetGroup": ("Users[].PasswordLastUsed",),
    "iam:GetAccountSummary": (
        "SummaryMap.InstanceProfilesQuota",
        "SummaryMap.PolicyVersionsInUseQuota",
        "SummaryMap.ServerCertificatesQuota",
        "SummaryMap.SigningCertificatesPerUserQuota",
    ),
    # Keys of CodeCommit have a user name, those of Bedrock an alias.
    "iam:ListServiceSpecificCredentials": ("ServiceSpecificCredentials[].ServiceUserName",),
    # No organization bounds the account.
    "iam:SimulatePrincipalPolicy": ("EvaluationResults[].OrganizationsDecisionDetail",),
    # Of imported material; and two members that somebody wrote into the recording.
    "kms:ListKeyRotations": (
        *("Rotations[].ExpirationModel", "Rotations[].KeyMaterialDescription"),
        *("NextToken", "Rotations[].RotationDate"),
    ),
    # Secrets are rotated by functions, replicated to regions and owned by services elsewhere.
    "secretsmanager:DescribeSecret": (
        *("RotationEnabled", "RotationLambdaARN", "RotationRules", "LastRotatedDate"),
        *("NextRotationDate", "PrimaryRegion", "ReplicationStatus", "OwningService"),
    ),
    "secretsmanager:ListSecrets": tuple(
        f"SecretList[].{name}"
        for name in (
            *("RotationEnabled", "RotationLambdaARN", "RotationRules", "LastRotatedDate"),
            *("NextRotationDate", "PrimaryRegion", "OwningService"),
        )
    ),
}


def members(value: Any, path: str = "", name: str = "") -> Members:
    """The path and type of everything in an answer."""
    if isinstance(value, dict) and "__class__" in value:
        return {(path, "datetime")}
    if name in DOCUMENTS:
        return {(path, "document")}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return {(path, "list")}.union(*(members(item, f"{path}[]") for item in items))
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        below = (_member(path, name, key, item) for key, item in fields.items())
        return {(path, "dict")}.union(*below)
    return {(path, "datetime" if isinstance(value, datetime) else type(value).__name__)}


def _member(path: str, name: str, key: str, item: Any) -> Members:
    if key == "ResponseMetadata" and not path:
        return set()
    shown = "*" if name in MAPS else key
    return members(item, f"{path}.{shown}".lstrip("."), key)


@cache
def recorded() -> dict[str, Members]:
    """By ``service:Operation``, of those that are here."""
    handlers.load_all()
    found: dict[str, Members] = {}
    for line in RECORDINGS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        service, operation = row["service"], row["op"]
        if service not in SERVICES or row["status"] != 200 or operation in ABSENT:
            continue
        model = load_service(service).operations[operation]
        if find_handler(service, model.handler_name):
            found.setdefault(f"{service}:{operation}", set()).update(members(row["data"]))
    return found


TRUST = document({"Effect": "Allow", "Principal": {"AWS": root_arn()}, "Action": "sts:AssumeRole"})
READS = document(allow("s3:GetObject"))
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ARN = f"arn:aws:iam::{ACCOUNT}:"
TAGS = [{"Key": "a", "Value": "b"}]
Ask = Callable[..., Any]


async def _people(ask: Ask) -> None:
    await ask("CreateUser", UserName="ann", Tags=TAGS, PermissionsBoundary=READ_ONLY)
    await ask("PutUserPermissionsBoundary", UserName="ann", PermissionsBoundary=READ_ONLY)
    await ask("UntagUser", UserName="ann", TagKeys=["z"])
    await ask("CreateGroup", GroupName="all")
    await ask("AddUserToGroup", UserName="ann", GroupName="all")
    await ask("PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=READS)
    await ask("AttachUserPolicy", UserName="ann", PolicyArn=READ_ONLY)
    await ask("PutGroupPolicy", GroupName="all", PolicyName="p", PolicyDocument=READS)
    await ask("AttachGroupPolicy", GroupName="all", PolicyArn=READ_ONLY)
    await ask("CreateAccountAlias", AccountAlias="recorded")
    bedrock = {"UserName": "ann", "ServiceName": "bedrock.amazonaws.com"}
    await ask("CreateServiceSpecificCredential", **bedrock)
    await ask("CreateServiceSpecificCredential", **bedrock)
    await ask("ListServiceSpecificCredentials", UserName="ann", MaxItems=1)
    key = (await ask("CreateAccessKey", UserName="ann"))["AccessKey"]["AccessKeyId"]
    for operation in (
        *("GetUser", "ListAccessKeys", "ListAttachedUserPolicies", "ListGroupsForUser"),
        *("ListServiceSpecificCredentials", "ListUserPolicies", "ListMFADevices"),
        *("ListSSHPublicKeys", "ListSigningCertificates"),
    ):
        await ask(operation, UserName="ann")
    for operation in ("GetGroup", "ListAttachedGroupPolicies", "ListGroupPolicies"):
        await ask(operation, GroupName="all")
    for operation in (
        *("GetAccountSummary", "ListAccountAliases", "ListGroups", "ListInstanceProfiles"),
        *("ListServerCertificates", "ListUsers", "ListVirtualMFADevices"),
    ):
        await ask(operation)
    await ask("ListUsers", MaxItems=1)
    await ask("UpdateAccessKey", UserName="ann", AccessKeyId=key, Status="Inactive")
    await ask("DeleteAccessKey", UserName="ann", AccessKeyId=key)
    await ask("DeleteGroupPolicy", GroupName="all", PolicyName="p")
    await ask("DetachGroupPolicy", GroupName="all", PolicyArn=READ_ONLY)
    await ask("RemoveUserFromGroup", UserName="ann", GroupName="all")
    await ask("DeleteGroup", GroupName="all")
    await ask("CreateUser", UserName="eve")
    await ask("DeleteUser", UserName="eve")


async def _roles(ask: Ask) -> None:
    role = {"RoleName": "tried"}
    bounded = {"PermissionsBoundary": READ_ONLY, "Description": "d", "Tags": TAGS}
    await ask("CreateRole", **role, AssumeRolePolicyDocument=TRUST, **bounded)
    await ask("CreateRole", RoleName="other", AssumeRolePolicyDocument=TRUST)
    policy = {"PolicyArn": f"{ARN}policy/tried"}
    await ask("CreatePolicy", PolicyName="tried", PolicyDocument=READS, Description="d", Tags=TAGS)
    await ask("AttachRolePolicy", **role, **policy)
    await ask("PutRolePolicy", **role, PolicyName="p", PolicyDocument=document(allow("*")))
    await ask("TagRole", **role, Tags=TAGS)
    await ask("UntagRole", **role, TagKeys=["z"])
    for operation in (
        *("GetRole", "ListAttachedRolePolicies", "ListInstanceProfilesForRole"),
        "ListRolePolicies",
    ):
        await ask(operation, **role)
    await ask("ListRoles")
    await ask("ListRoles", MaxItems=1)
    await ask("CreatePolicyVersion", **policy, PolicyDocument=READS)
    await ask("GetPolicy", **policy)
    await ask("GetPolicyVersion", **policy, VersionId="v1")
    await ask("ListPolicies", MaxItems=5)
    simulated = {"ActionNames": ["s3:GetObject"], "PolicySourceArn": f"{ARN}role/tried"}
    await ask("SimulatePrincipalPolicy", **simulated)
    await ask("SimulateCustomPolicy", PolicyInputList=[READS], ActionNames=["s3:GetObject"])


async def _undo_roles(ask: Ask) -> None:
    role, policy = {"RoleName": "tried"}, {"PolicyArn": f"{ARN}policy/tried"}
    await ask("GetRole", **role)
    await ask("DetachRolePolicy", **role, **policy)
    await ask("DeleteRolePolicy", **role, PolicyName="p")
    await ask("DeleteRole", **role)
    await ask("DeletePolicyVersion", **policy, VersionId="v2")
    await ask("DeletePolicy", **policy)


async def _keys(ask: Ask) -> None:
    tags = [{"TagKey": "a", "TagValue": "b"}]
    made = await ask("CreateKey", Tags=tags, Description="d")
    key = {"KeyId": made["KeyMetadata"]["KeyId"]}
    await ask("CreateAlias", AliasName="alias/a", TargetKeyId=key["KeyId"])
    await ask("CreateAlias", AliasName="alias/b", TargetKeyId=key["KeyId"])
    await ask("CreateGrant", **key, GranteePrincipal=user_arn("admin"), Operations=["Decrypt"])
    await ask("EnableKeyRotation", **key, RotationPeriodInDays=365)
    await ask("RotateKeyOnDemand", **key)
    for operation in (
        *("DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListGrants"),
        *("ListKeyRotations", "ListResourceTags"),
    ):
        await ask(operation, **key)
    await ask("PutKeyPolicy", **key, Policy=owned())
    await ask("ListAliases")
    await ask("ListAliases", Limit=1)
    await ask("ListKeys")
    await ask("ListKeys", Limit=1)
    await ask("DisableKey", **key)
    await ask("ScheduleKeyDeletion", **key)
    await ask("DescribeKey", **key)


async def _secrets(ask: Ask) -> None:
    secret = {"SecretId": "db"}
    await ask("CreateSecret", Name="db", SecretString="x", Description="d", KmsKeyId="alias/k")
    await ask("TagResource", **secret, Tags=TAGS)
    policy = document(to(user_arn("admin"), "secretsmanager:GetSecretValue"))
    await ask("PutResourcePolicy", **secret, ResourcePolicy=policy)
    await ask("GetResourcePolicy", **secret)
    await ask("GetSecretValue", **secret)
    await ask("UpdateSecret", **secret, SecretString="y")
    await ask("CreateSecret", Name="other", SecretString="x")
    await ask("DescribeSecret", **secret)
    await ask("ListSecretVersionIds", **secret)
    await ask("ListSecrets", MaxResults=1)
    await ask("ListSecrets")
    await ask("DeleteSecret", **secret)
    await ask("DescribeSecret", **secret)
    await ask("ListSecrets", IncludePlannedDeletion=True)


@pytest.fixture
async def answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mapping[str, Members]]:
    """The members of our answers, of everything that was recorded."""
    found: dict[str, Members] = {}

    def asking(client: Client, service: str) -> Ask:
        async def ask(operation: str, **params: Any) -> Any:
            answer = await client.ask(service, operation, **params)
            found.setdefault(f"{service}:{operation}", set()).update(members(answer))
            return answer

        return ask

    async with running_inside(tmp_path, monkeypatch) as inside:
        admin = inside.client(ADMIN)
        await _people(asking(admin, "iam"))
        await _roles(asking(admin, "iam"))
        assumed = await admin.ask(
            "sts", "AssumeRole", RoleArn=f"{ARN}role/tried", RoleSessionName="one"
        )
        session = inside.client(Keys.answered(assumed))
        await asking(session, "sts")("GetCallerIdentity")
        await _undo_roles(asking(admin, "iam"))
        await _keys(asking(admin, "kms"))
        key = (await admin.ask("kms", "CreateKey"))["KeyMetadata"]["KeyId"]
        await admin.ask("kms", "CreateAlias", AliasName="alias/k", TargetKeyId=key)
        await _secrets(asking(admin, "secretsmanager"))
        yield found


def _is_listed(operation: str, path: str) -> bool:
    return any(
        path == listed or path.startswith((f"{listed}.", f"{listed}["))
        for listed in NOT_HERE.get(operation, ())
    )


async def test_every_recorded_member_is_in_an_answer_of_ours(
    answered: Mapping[str, Members],
) -> None:
    assert set(recorded()) <= set(answered)
    missing = {
        (operation, *member)
        for operation, theirs in recorded().items()
        for member in theirs - answered[operation]
        if not _is_listed(operation, member[0])
    }
    assert missing == set()


async def test_nothing_is_listed_that_is_here(answered: Mapping[str, Members]) -> None:
    paths = {
        operation: {path for path, _ in theirs - answered[operation]}
        for operation, theirs in recorded().items()
    }
    needless = {
        (operation, listed)
        for operation, listing in NOT_HERE.items()
        for listed in listing
        if listed not in paths[operation]
    }
    assert needless == set()
