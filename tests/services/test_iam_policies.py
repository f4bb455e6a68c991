"""Managed policies as boto3 sees them: versions, uses, listings; AWS's own cannot be changed."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_gateways import ACCOUNT

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def document(action: str = "s3:GetObject", sid: str = "") -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture
def name() -> str:
    return f"policy-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def policy(iam: Any, name: str) -> Iterator[str]:
    """Its ARN."""
    arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document()))["Policy"]["Arn"]
    yield arn
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)


@pytest.fixture
def role(iam: Any, name: str) -> Iterator[str]:
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    yield name
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
    iam.delete_role(RoleName=name)


def refusal(act: Any, **params: Any) -> tuple[int, str, str]:
    """Status, code and text."""
    with pytest.raises(ClientError) as caught:
        act(**params)
    answer: Any = caught.value.response
    error = answer["Error"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def test_a_policy_is_shown_as_it_was_made(iam: Any, name: str) -> None:
    made = iam.create_policy(
        PolicyName=name,
        Path="/team/",
        PolicyDocument=json.dumps(document()),
        Description="Reads",
        Tags=[{"Key": "team", "Value": "ml"}],
    )["Policy"]
    arn = f"arn:aws:iam::{ACCOUNT}:policy/team/{name}"
    assert (made["Arn"], made["DefaultVersionId"], made["IsAttachable"]) == (arn, "v1", True)
    assert "Description" not in made
    shown = iam.get_policy(PolicyArn=arn)["Policy"]
    assert shown == made | {"Description": "Reads"}
    assert shown["PolicyId"].startswith("ANPA")
    iam.delete_policy(PolicyArn=arn)


def test_a_name_is_taken_whatever_its_case_and_path(iam: Any, policy: str, name: str) -> None:
    assert refusal(
        iam.create_policy,
        PolicyName=name.upper(),
        Path="/other/",
        PolicyDocument=json.dumps(document()),
    ) == (
        409,
        "EntityAlreadyExists",
        f"A policy called {name.upper()} already exists. Duplicate names are not allowed.",
    )


def test_the_quota_counts_no_white_space(iam: Any, policy: str) -> None:
    def of(size: int) -> str:
        sid = "a" * (size - sum(map(len, json.dumps(document()).split())))
        return json.dumps(document(sid=sid), indent=40)

    assert len(of(6144)) > 6144
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=of(6144))
    assert refusal(iam.create_policy_version, PolicyArn=policy, PolicyDocument=of(6145)) == (
        409,
        "LimitExceeded",
        "Cannot exceed quota for PolicySize: 6144",
    )


def test_the_default_version_is_the_policy(iam: Any, policy: str) -> None:
    made = iam.create_policy_version(
        PolicyArn=policy, PolicyDocument=json.dumps(document("s3:PutObject"))
    )["PolicyVersion"]
    assert (made["VersionId"], made["IsDefaultVersion"]) == ("v2", False)
    assert iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"] == "v1"
    iam.set_default_policy_version(PolicyArn=policy, VersionId="v2")
    third = iam.create_policy_version(
        PolicyArn=policy, PolicyDocument=json.dumps(document("s3:*")), SetAsDefault=True
    )["PolicyVersion"]
    assert (third["VersionId"], third["IsDefaultVersion"]) == ("v3", True)
    listed = iam.list_policy_versions(PolicyArn=policy)["Versions"]
    assert [(each["VersionId"], each["IsDefaultVersion"]) for each in listed] == [
        ("v3", True),
        ("v2", False),
        ("v1", False),
    ]
    shown = iam.get_policy_version(PolicyArn=policy, VersionId="v2")["PolicyVersion"]
    assert shown["Document"] == document("s3:PutObject")


def test_five_versions_are_kept_and_numbers_never_come_back(iam: Any, policy: str) -> None:
    def add() -> str:
        return iam.create_policy_version(PolicyArn=policy, PolicyDocument=json.dumps(document()))[
            "PolicyVersion"
        ]["VersionId"]

    assert [add() for _ in range(4)] == ["v2", "v3", "v4", "v5"]
    assert refusal(
        iam.create_policy_version, PolicyArn=policy, PolicyDocument=json.dumps(document())
    ) == (
        409,
        "LimitExceeded",
        "A managed policy can have up to 5 versions. Before you create a new version, you must "
        "delete an existing version.",
    )
    iam.delete_policy_version(PolicyArn=policy, VersionId="v5")
    assert add() == "v6"


def test_a_default_version_is_not_deleted(iam: Any, policy: str) -> None:
    assert refusal(iam.delete_policy_version, PolicyArn=policy, VersionId="v1") == (
        409,
        "DeleteConflict",
        "Cannot delete the default version of a policy.",
    )


@pytest.mark.parametrize(
    "operation", ["get_policy_version", "delete_policy_version", "set_default_policy_version"]
)
def test_a_version_that_is_not_there_is_named(iam: Any, policy: str, operation: str) -> None:
    assert refusal(getattr(iam, operation), PolicyArn=policy, VersionId="v9") == (
        404,
        "NoSuchEntity",
        f"Policy {policy} version v9 does not exist or is not attachable.",
    )


def test_a_used_policy_is_not_deleted(iam: Any, policy: str, role: str) -> None:
    in_use = (409, "DeleteConflict", "Cannot delete a policy attached to entities.")
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    assert refusal(iam.delete_policy, PolicyArn=policy) == in_use
    iam.detach_role_policy(RoleName=role, PolicyArn=policy)
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=policy)
    assert refusal(iam.delete_policy, PolicyArn=policy) == in_use
    iam.delete_role_permissions_boundary(RoleName=role)
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=json.dumps(document()))
    status, code, text = refusal(iam.delete_policy, PolicyArn=policy)
    assert (status, code) == (409, "DeleteConflict")
    assert text.startswith("This policy has more than one version.")


def test_uses_are_counted_and_listed(iam: Any, policy: str, role: str) -> None:
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=policy)
    shown = iam.get_policy(PolicyArn=policy)["Policy"]
    assert (shown["AttachmentCount"], shown["PermissionsBoundaryUsageCount"]) == (1, 1)
    role_id = iam.get_role(RoleName=role)["Role"]["RoleId"]
    for usage in ("PermissionsPolicy", "PermissionsBoundary"):
        entities = iam.list_entities_for_policy(PolicyArn=policy, PolicyUsageFilter=usage)
        assert entities["PolicyRoles"] == [{"RoleName": role, "RoleId": role_id}]
        assert (entities["PolicyUsers"], entities["PolicyGroups"]) == ([], [])
    users = iam.list_entities_for_policy(PolicyArn=policy, EntityFilter="User")
    assert users["PolicyRoles"] == []
    elsewhere = iam.list_entities_for_policy(PolicyArn=policy, PathPrefix="/elsewhere/")
    assert elsewhere["PolicyRoles"] == []
    iam.delete_role_permissions_boundary(RoleName=role)


def _names(iam: Any, **filters: Any) -> list[str]:
    pages = iam.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": 7}, **filters)
    return [policy["PolicyName"] for page in pages for policy in page["Policies"]]


def test_policies_are_listed_by_scope_path_and_use(
    iam: Any, policy: str, name: str, role: str
) -> None:
    assert name in _names(iam, Scope="Local")
    assert "AdministratorAccess" not in _names(iam, Scope="Local")
    assert name not in _names(iam, Scope="AWS")
    assert {name, "AdministratorAccess", "AmazonBedrockFullAccess"} <= set(_names(iam))
    assert _names(iam, PathPrefix="/job-function/") == ["ViewOnlyAccess"]
    assert name not in _names(iam, Scope="Local", OnlyAttached=True)
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    assert name in _names(iam, Scope="Local", OnlyAttached=True)
    assert name not in _names(iam, Scope="Local", PolicyUsageFilter="PermissionsBoundary")


def test_what_aws_manages_is_read(iam: Any) -> None:
    shown = iam.get_policy(PolicyArn=ADMINISTRATOR)["Policy"]
    assert shown["PolicyId"] == "ANPAIWMBCKSKIEE64ZLYK"
    assert shown["Description"] == "Provides full access to AWS services and resources."
    version = iam.get_policy_version(PolicyArn=ADMINISTRATOR, VersionId="v1")["PolicyVersion"]
    assert version["Document"]["Statement"] == [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    bedrock = "arn:aws:iam::aws:policy/AmazonBedrockFullAccess"
    assert iam.get_policy(PolicyArn=bedrock)["Policy"]["DefaultVersionId"] == "v11"


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("delete_policy", {}),
        ("create_policy_version", {"PolicyDocument": json.dumps(document())}),
        ("delete_policy_version", {"VersionId": "v1"}),
        ("set_default_policy_version", {"VersionId": "v1"}),
        ("tag_policy", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("untag_policy", {"TagKeys": ["a"]}),
    ],
)
def test_what_aws_manages_is_changed_by_nobody(
    iam: Any, operation: str, params: dict[str, Any]
) -> None:
    before = iam.get_policy(PolicyArn=ADMINISTRATOR)["Policy"]
    status, code, _ = refusal(getattr(iam, operation), PolicyArn=ADMINISTRATOR, **params)
    assert (status, code) == (403, "AccessDenied")
    assert iam.get_policy(PolicyArn=ADMINISTRATOR)["Policy"] == before


def test_tags_of_a_policy(iam: Any, policy: str) -> None:
    iam.tag_policy(PolicyArn=policy, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    iam.untag_policy(PolicyArn=policy, TagKeys=["a"])
    assert iam.list_policy_tags(PolicyArn=policy)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert iam.get_policy(PolicyArn=policy)["Policy"]["Tags"] == [{"Key": "b", "Value": "2"}]


def test_a_text_that_is_no_arn_is_refused(iam: Any) -> None:
    assert refusal(iam.get_policy, PolicyArn="AdministratorAccess-of-AWS") == (
        400,
        "InvalidInput",
        "ARN AdministratorAccess-of-AWS is not valid.",
    )


def test_the_details_of_an_account_hold_everything_once(
    iam: Any, policy: str, name: str, role: str
) -> None:
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    pages = list(
        iam.get_paginator("get_account_authorization_details").paginate(
            PaginationConfig={"PageSize": 2}
        )
    )
    roles = {each["RoleName"]: each for page in pages for each in page["RoleDetailList"]}
    shown = roles[role]
    assert shown["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert shown["AttachedManagedPolicies"] == [{"PolicyName": name, "PolicyArn": policy}]
    policies = {each["PolicyName"]: each for page in pages for each in page["Policies"]}
    (version,) = policies[name]["PolicyVersionList"]
    assert version["Document"] == document()
    users = [each["UserName"] for page in pages for each in page["UserDetailList"]]
    assert users.count("admin") == 1
    assert "root" not in users
    assert "AdministratorAccess" in policies
    assert "AmazonVPCFullAccess" not in policies


def test_the_details_of_an_account_are_filtered(iam: Any, policy: str, name: str) -> None:
    details = iam.get_account_authorization_details(Filter=["LocalManagedPolicy"])
    assert name in [each["PolicyName"] for each in details["Policies"]]
    assert "AdministratorAccess" not in [each["PolicyName"] for each in details["Policies"]]
    assert (details["UserDetailList"], details["RoleDetailList"]) == ([], [])
