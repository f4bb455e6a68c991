"""Roles as boto3 sees them: made, bounded, equipped, refused and deleted in IAM's own words."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_gateways import ACCOUNT

TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
READS: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}
READ_ONLY = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"


@pytest.fixture
def name() -> str:
    return f"role-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def role(iam: Any, name: str) -> Iterator[str]:
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    yield name
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


def refusal(act: Any, **params: Any) -> tuple[int, str, str]:
    """Status, code and text."""
    with pytest.raises(ClientError) as caught:
        act(**params)
    answer: Any = caught.value.response
    error = answer["Error"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def trusting(principal: Any) -> str:
    statement = TRUST["Statement"][0] | {"Principal": principal}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def test_a_role_is_shown_as_it_was_made(iam: Any, name: str) -> None:
    made = iam.create_role(
        RoleName=name,
        Path="/service-role/",
        AssumeRolePolicyDocument=json.dumps(TRUST),
        Description="For jobs",
        MaxSessionDuration=7200,
        PermissionsBoundary=READ_ONLY,
        Tags=[{"Key": "team", "Value": "ml"}],
    )["Role"]
    shown = iam.get_role(RoleName=name)["Role"]
    assert shown == made | {"RoleLastUsed": {}}
    assert shown["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/service-role/{name}"
    assert shown["RoleId"].startswith("AROA")
    assert len(shown["RoleId"]) == 21
    assert shown["AssumeRolePolicyDocument"] == TRUST
    assert shown["MaxSessionDuration"] == 7200
    assert shown["Tags"] == [{"Key": "team", "Value": "ml"}]
    assert shown["PermissionsBoundary"] == {
        "PermissionsBoundaryType": "Policy",
        "PermissionsBoundaryArn": READ_ONLY,
    }
    assert shown["CreateDate"].microsecond == 0
    iam.delete_role(RoleName=name)


def test_names_are_one_whatever_their_case(iam: Any, role: str) -> None:
    taken = refusal(
        iam.create_role, RoleName=role.upper(), AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    assert taken == (
        409,
        "EntityAlreadyExists",
        f"Role with name {role.upper()} already exists.",
    )


@pytest.mark.parametrize("bad", ["a/b", "with space", "ünicode", "x" * 65])
def test_a_name_that_iam_does_not_take_is_refused(iam: Any, bad: str) -> None:
    status, code, _ = refusal(
        iam.create_role, RoleName=bad, AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    assert (status, code) == (400, "ValidationError")


@pytest.mark.parametrize("path", ["no-slash", "/unfinished", "/aws-service-role/x.amazonaws.com/"])
def test_a_path_that_no_role_may_have_is_refused(iam: Any, name: str, path: str) -> None:
    status, _, _ = refusal(
        iam.create_role, RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    assert status == 400


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody-of-that-name"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:role/no-role"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:role/wrong/path/admin"},
        {"AWS": "arn:aws:iam::999999999999:root"},
        {"AWS": "999999999999"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:group/admins"},
    ],
)
def test_a_principal_that_is_not_there_cannot_be_trusted(
    iam: Any, name: str, principal: dict[str, str]
) -> None:
    assert refusal(
        iam.create_role, RoleName=name, AssumeRolePolicyDocument=trusting(principal)
    ) == (
        400,
        "MalformedPolicyDocument",
        f'Invalid principal in policy: "AWS":"{principal["AWS"]}"',
    )


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": f"arn:aws:iam::{ACCOUNT}:user/admin"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        {"AWS": ACCOUNT},
        {"AWS": "*"},
        {"Service": ["bedrock.amazonaws.com", "lambda.amazonaws.com"]},
    ],
)
def test_whoever_is_there_can_be_trusted(iam: Any, role: str, principal: Any) -> None:
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=trusting(principal))
    kept = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    assert kept["Statement"]["Principal"] == principal


def test_a_trust_policy_has_its_quota_without_white_space(iam: Any, role: str) -> None:
    def of(size: int) -> str:
        empty = trusting({"Service": "bedrock.amazonaws.com"}).replace(
            '"Statement": {', '"Statement": {"Sid": "", '
        )
        filler = size - sum(map(len, empty.split()))
        return empty.replace('"Sid": ""', f'"Sid": "{"a" * filler}"').replace(" ", " " * 20)

    iam.update_assume_role_policy(RoleName=role, PolicyDocument=of(2048))
    assert refusal(iam.update_assume_role_policy, RoleName=role, PolicyDocument=of(2049)) == (
        409,
        "LimitExceeded",
        "Cannot exceed quota for ACLSizePerRole: 2048",
    )


def test_a_role_is_updated_in_what_is_given(iam: Any, role: str) -> None:
    iam.update_role(RoleName=role, Description="new")
    iam.update_role(RoleName=role, MaxSessionDuration=3601)
    shown = iam.get_role(RoleName=role)["Role"]
    assert (shown["Description"], shown["MaxSessionDuration"]) == ("new", 3601)
    described = iam.update_role_description(RoleName=role, Description="newer")["Role"]
    assert described["Description"] == "newer"


def test_a_boundary_is_put_and_taken_away(iam: Any, role: str) -> None:
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=READ_ONLY)
    boundary = iam.get_role(RoleName=role)["Role"]["PermissionsBoundary"]
    assert boundary["PermissionsBoundaryArn"] == READ_ONLY
    iam.delete_role_permissions_boundary(RoleName=role)
    assert "PermissionsBoundary" not in iam.get_role(RoleName=role)["Role"]
    gone = "arn:aws:iam::aws:policy/NoSuchPolicyAtAll"
    assert refusal(iam.put_role_permissions_boundary, RoleName=role, PermissionsBoundary=gone) == (
        404,
        "NoSuchEntity",
        f"Scope ARN: {gone} does not exist or is not attachable.",
    )


def test_inline_policies_are_put_read_listed_and_deleted(iam: Any, role: str) -> None:
    for policy in ("zebra", "Ant"):
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(READS))
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["Ant", "zebra"]
    shown = iam.get_role_policy(RoleName=role, PolicyName="Ant")
    assert shown["PolicyDocument"] == READS
    iam.delete_role_policy(RoleName=role, PolicyName="Ant")
    for act in (iam.get_role_policy, iam.delete_role_policy):
        assert refusal(act, RoleName=role, PolicyName="Ant") == (
            404,
            "NoSuchEntity",
            "The role policy with name Ant cannot be found.",
        )


def test_inline_policies_share_one_quota(iam: Any, role: str) -> None:
    def of(size: int) -> str:
        sid = "a" * (size - sum(map(len, json.dumps(READS).split())) - len('"Sid":"",'))
        statement = {"Sid": sid, **READS["Statement"][0]}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    iam.put_role_policy(RoleName=role, PolicyName="half", PolicyDocument=of(5120))
    iam.put_role_policy(RoleName=role, PolicyName="rest", PolicyDocument=of(5120))
    assert refusal(
        iam.put_role_policy, RoleName=role, PolicyName="rest", PolicyDocument=of(5121)
    ) == (
        409,
        "LimitExceeded",
        f"Maximum policy size of 10240 bytes exceeded for role {role}",
    )


def test_managed_policies_are_attached_once_and_detached(iam: Any, role: str) -> None:
    for _ in range(2):
        iam.attach_role_policy(RoleName=role, PolicyArn=READ_ONLY)
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == [
        {"PolicyName": "AmazonBedrockReadOnly", "PolicyArn": READ_ONLY}
    ]
    other = iam.list_attached_role_policies(RoleName=role, PathPrefix="/job-function/")
    assert other["AttachedPolicies"] == []
    iam.detach_role_policy(RoleName=role, PolicyArn=READ_ONLY)
    assert refusal(iam.detach_role_policy, RoleName=role, PolicyArn=READ_ONLY) == (
        404,
        "NoSuchEntity",
        f"Policy {READ_ONLY} was not found.",
    )


def test_ten_policies_are_attached_and_no_more(iam: Any, role: str) -> None:
    known = iam.list_policies(Scope="AWS", MaxItems=11)["Policies"]
    for policy in known[:10]:
        iam.attach_role_policy(RoleName=role, PolicyArn=policy["Arn"])
    assert refusal(iam.attach_role_policy, RoleName=role, PolicyArn=known[10]["Arn"]) == (
        409,
        "LimitExceeded",
        "Cannot exceed quota for PoliciesPerRole: 10",
    )


def test_a_role_with_policies_is_not_deleted(iam: Any, role: str) -> None:
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=json.dumps(READS))
    assert refusal(iam.delete_role, RoleName=role) == (
        409,
        "DeleteConflict",
        "Cannot delete entity, must delete policies first.",
    )
    iam.attach_role_policy(RoleName=role, PolicyArn=READ_ONLY)
    assert refusal(iam.delete_role, RoleName=role) == (
        409,
        "DeleteConflict",
        "Cannot delete entity, must detach all policies first.",
    )


def test_tags_are_one_whatever_the_case_of_their_keys(iam: Any, role: str) -> None:
    iam.tag_role(RoleName=role, Tags=[{"Key": "Team", "Value": "a"}, {"Key": "x", "Value": ""}])
    iam.tag_role(RoleName=role, Tags=[{"Key": "team", "Value": "b"}])
    tags = iam.list_role_tags(RoleName=role)["Tags"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("team", "b"), ("x", "")]
    iam.untag_role(RoleName=role, TagKeys=["X"])
    assert [tag["Key"] for tag in iam.list_role_tags(RoleName=role)["Tags"]] == ["team"]
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    assert refusal(iam.tag_role, RoleName=role, Tags=twice)[1] == "InvalidInput"
    many = [{"Key": f"key-{number}", "Value": ""} for number in range(50)]
    assert refusal(iam.tag_role, RoleName=role, Tags=many)[1] == "LimitExceeded"


def test_roles_are_listed_by_path_a_page_at_a_time(iam: Any, name: str) -> None:
    path = f"/{name}/"
    made = [f"{name}-{letter}" for letter in "bac"]
    for each in made:
        iam.create_role(RoleName=each, Path=path, AssumeRolePolicyDocument=json.dumps(TRUST))
    first = iam.list_roles(PathPrefix=path, MaxItems=2)
    assert first["IsTruncated"] is True
    pages = iam.get_paginator("list_roles").paginate(
        PathPrefix=path, PaginationConfig={"PageSize": 2}
    )
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == sorted(made)
    assert refusal(iam.list_roles, PathPrefix=path, Marker="made-up")[1] == "ValidationError"
    for each in made:
        iam.delete_role(RoleName=each)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("get_role", {}),
        ("delete_role", {}),
        ("update_role", {"Description": "x"}),
        ("update_role_description", {"Description": "x"}),
        ("update_assume_role_policy", {"PolicyDocument": json.dumps(TRUST)}),
        ("put_role_permissions_boundary", {"PermissionsBoundary": READ_ONLY}),
        ("delete_role_permissions_boundary", {}),
        ("put_role_policy", {"PolicyName": "p", "PolicyDocument": json.dumps(READS)}),
        ("get_role_policy", {"PolicyName": "p"}),
        ("delete_role_policy", {"PolicyName": "p"}),
        ("list_role_policies", {}),
        ("attach_role_policy", {"PolicyArn": READ_ONLY}),
        ("detach_role_policy", {"PolicyArn": READ_ONLY}),
        ("list_attached_role_policies", {}),
        ("tag_role", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("untag_role", {"TagKeys": ["a"]}),
        ("list_role_tags", {}),
        ("list_instance_profiles_for_role", {}),
    ],
)
def test_a_role_that_is_not_there_is_named(
    iam: Any, operation: str, params: dict[str, Any]
) -> None:
    assert refusal(getattr(iam, operation), RoleName="c7n-test-delete", **params) == (
        404,
        "NoSuchEntity",
        "The role with name c7n-test-delete cannot be found.",
    )


def test_bedrock_has_no_service_linked_role(iam: Any) -> None:
    status, code, text = refusal(
        iam.create_service_linked_role, AWSServiceName="bedrock.amazonaws.com"
    )
    assert (status, code) == (400, "InvalidInput")
    assert "bedrock.amazonaws.com" in text


def test_instance_profiles_say_that_they_are_not_there(iam: Any) -> None:
    status, code, _ = refusal(iam.create_instance_profile, InstanceProfileName="p")
    assert (status, code) == (501, "NotImplemented")
