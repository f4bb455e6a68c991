"""The policy simulator as boto3 sees it: decisions, their statements, what is missing, pages."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_gateways import ACCOUNT

CLAUDE = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
TITAN = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-express-v1"
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


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str, resource: str = "*", **conditions: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": conditions} if conditions else {})


def deny(action: str, resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource}


@pytest.fixture
def role(iam: Any) -> Iterator[str]:
    """A role that may invoke Claude and read the policies of its own name's bucket."""
    name = f"simulated-{uuid.uuid4().hex[:12]}"
    iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=TRUST,
        Tags=[{"Key": "Team", "Value": "ml"}],
    )
    iam.put_role_policy(
        RoleName=name,
        PolicyName="models",
        PolicyDocument=policy(
            allow("bedrock:InvokeModel", CLAUDE),
            allow("s3:GetObject", "arn:aws:s3:::${aws:PrincipalTag/team}/*"),
        ),
    )
    yield name
    if "PermissionsBoundary" in iam.get_role(RoleName=name)["Role"]:
        iam.delete_role_permissions_boundary(RoleName=name)
    iam.delete_role_policy(RoleName=name, PolicyName="models")
    iam.delete_role(RoleName=name)


def arn(role: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{role}"


def custom(iam: Any, action: str, **params: Any) -> dict[str, Any]:
    answer = iam.simulate_custom_policy(ActionNames=[action], **params)
    return answer["EvaluationResults"][0]


def refused(act: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        act(**params)
    answer: Any = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] in (400, 404)
    return answer["Error"]["Code"]


@pytest.mark.parametrize(
    ("statements", "decision", "matched"),
    [
        ([allow("bedrock:*")], "allowed", [1]),
        ([allow("bedrock:*"), deny("bedrock:Invoke*")], "explicitDeny", [2]),
        ([allow("s3:*")], "implicitDeny", []),
        ([], "implicitDeny", []),
        ([allow("bedrock:*"), allow("*"), allow("s3:*")], "allowed", [1, 2]),
    ],
)
def test_a_decision_names_the_statements_that_made_it(
    iam: Any, statements: list[dict[str, Any]], decision: str, matched: list[int]
) -> None:
    texts = [policy(statement) for statement in statements] or [policy(allow("iam:ListUsers"))]
    result = custom(iam, "bedrock:InvokeModel", PolicyInputList=texts)
    assert result["EvalDecision"] == decision
    assert [each["SourcePolicyId"] for each in result["MatchedStatements"]] == [
        f"PolicyInputList.{number}" for number in matched
    ]


def test_a_role_is_asked_with_its_policies_and_tags(iam: Any, role: str) -> None:
    result = iam.simulate_principal_policy(
        PolicySourceArn=arn(role),
        ActionNames=["bedrock:InvokeModel", "s3:GetObject"],
        ResourceArns=[CLAUDE, TITAN, "arn:aws:s3:::ml/x", "arn:aws:s3:::other/x"],
    )["EvaluationResults"]
    decided = [
        [each["EvalResourceDecision"] for each in action["ResourceSpecificResults"]]
        for action in result
    ]
    assert decided == [
        ["allowed", "implicitDeny", "implicitDeny", "implicitDeny"],
        ["implicitDeny", "implicitDeny", "allowed", "implicitDeny"],
    ]
    assert [action["EvalDecision"] for action in result] == ["implicitDeny", "implicitDeny"]
    sources = {each["SourcePolicyId"] for each in result[0]["MatchedStatements"]}
    assert sources == {f"role_{role}_models"}


def test_further_policies_count_with_the_roles_own(iam: Any, role: str) -> None:
    result = iam.simulate_principal_policy(
        PolicySourceArn=arn(role),
        PolicyInputList=[policy(deny("bedrock:*"))],
        ActionNames=["bedrock:InvokeModel"],
        ResourceArns=[CLAUDE],
    )["EvaluationResults"][0]
    assert result["EvalDecision"] == "explicitDeny"


@pytest.mark.parametrize(
    "exclusion",
    [
        {"PolicyType": "inline"},
        {
            "InlinePolicyIdentifier": {
                "PolicyName": "models",
                "AttachmentType": "role",
                "AttachmentName": "simulated-*",
            }
        },
    ],
)
def test_a_policy_is_left_out(iam: Any, role: str, exclusion: dict[str, Any]) -> None:
    result = iam.simulate_principal_policy(
        PolicySourceArn=arn(role),
        PolicyExclusionList=[exclusion],
        ActionNames=["bedrock:InvokeModel"],
        ResourceArns=[CLAUDE],
    )["EvaluationResults"][0]
    assert result["EvalDecision"] == "implicitDeny"


def test_a_boundary_limits_and_is_told_apart(iam: Any, role: str) -> None:
    iam.put_role_permissions_boundary(
        RoleName=role, PermissionsBoundary="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    )

    def ask(**params: Any) -> dict[str, Any]:
        return iam.simulate_principal_policy(
            PolicySourceArn=arn(role),
            ActionNames=["bedrock:InvokeModel"],
            ResourceArns=[CLAUDE],
            **params,
        )["EvaluationResults"][0]

    detail = "PermissionsBoundaryDecisionDetail"
    bounded = ask()
    assert bounded["EvalDecision"] == "implicitDeny"
    assert bounded[detail] == {"AllowedByPermissionsBoundary": False}
    wider = ask(PermissionsBoundaryPolicyInputList=[policy(allow("bedrock:*"))])
    assert wider["EvalDecision"] == "allowed"
    assert wider[detail] == {"AllowedByPermissionsBoundary": True}
    free = ask(PolicyExclusionList=[{"PolicyType": "permission-boundary"}])
    assert free["EvalDecision"] == "allowed"
    assert detail not in free


@pytest.mark.parametrize(("level", "allowed"), [(allow("*"), True), (deny("bedrock:*"), False)])
def test_levels_of_an_organization_are_asked(
    iam: Any, level: dict[str, Any], allowed: bool
) -> None:
    result = custom(
        iam,
        "bedrock:InvokeModel",
        PolicyInputList=[policy(allow("*"))],
        OrderedOrganizationPolicyInputList=[
            {"ServiceControlPolicyInputList": [policy(allow("*"))]},
            {"ServiceControlPolicyInputList": [policy(level, allow("*"))]},
        ],
    )
    assert (result["EvalDecision"] == "allowed") is allowed
    assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": allowed}
    assert [each["SourcePolicyId"] for each in result["MatchedStatements"]] == ["PolicyInputList.1"]


def test_a_resource_policy_is_asked_for_the_caller(iam: Any, role: str) -> None:
    bucket = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"AWS": arn(role)},
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::b/*",
            },
        }
    )
    asked: dict[str, Any] = {
        "PolicyInputList": [policy(allow("iam:ListUsers"))],
        "ResourcePolicy": bucket,
        "ResourceArns": ["arn:aws:s3:::b/k"],
    }
    result = custom(iam, "s3:GetObject", CallerArn=arn(role), **asked)
    assert result["EvalDecision"] == "allowed"
    assert result["MatchedStatements"][0]["SourcePolicyId"] == "ResourcePolicy"
    elsewhere = custom(
        iam,
        "s3:GetObject",
        CallerArn=arn(role),
        ResourceOwner="arn:aws:iam::999999999999:root",
        **asked,
    )
    assert elsewhere["EvalDecision"] == "implicitDeny"
    assert refused(iam.simulate_custom_policy, ActionNames=["s3:GetObject"], **asked) == (
        "InvalidInput"
    )


@pytest.mark.parametrize(
    ("operator", "value", "kind", "given", "allowed"),
    [
        ("StringEquals", "a", "string", ["a"], True),
        ("StringEquals", "a", "string", ["b"], False),
        ("ForAllValues:StringEquals", ["a", "b"], "stringList", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a"], "stringList", ["a", "b"], False),
        ("NumericLessThan", "10", "numeric", ["9.5"], True),
        ("Bool", "true", "boolean", ["true"], True),
        ("IpAddress", "10.0.0.0/8", "ip", ["10.1.2.3"], True),
        ("DateLessThan", "2026-01-01T00:00:00Z", "date", ["2025-06-01T00:00:00Z"], True),
        ("BinaryEquals", "QmlpbmFyeQ==", "binary", ["QmlpbmFyeQ=="], True),
    ],
)
def test_context_entries_are_of_their_types(
    iam: Any, operator: str, value: Any, kind: str, given: list[str], allowed: bool
) -> None:
    entry = {"ContextKeyName": "app:Key", "ContextKeyValues": given, "ContextKeyType": kind}
    result = custom(
        iam,
        "s3:GetObject",
        PolicyInputList=[policy(allow("s3:*", "*", **{operator: {"app:key": value}}))],
        ContextEntries=[entry],
    )
    assert (result["EvalDecision"] == "allowed") is allowed
    assert result["MissingContextValues"] == []


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("numeric", ["ten"]),
        ("boolean", ["yes"]),
        ("ip", ["10.0.0.300"]),
        ("date", ["tomorrow"]),
        ("binary", ["*"]),
        ("string", ["a", "b"]),
        ("numericList", ["1", "x"]),
    ],
)
def test_a_context_entry_of_another_type_is_refused(iam: Any, kind: str, values: list[str]) -> None:
    entry = {"ContextKeyName": "app:Key", "ContextKeyValues": values, "ContextKeyType": kind}
    assert (
        refused(
            iam.simulate_custom_policy,
            PolicyInputList=[policy(allow("*"))],
            ActionNames=["s3:GetObject"],
            ContextEntries=[entry],
        )
        == "InvalidInput"
    )


def test_keys_that_were_not_given_are_missing(iam: Any) -> None:
    text = policy(
        allow("s3:GetObject", StringEquals={"aws:SourceVpce": "vpce-1"}),
        allow("s3:GetObject", "arn:aws:s3:::${aws:username}/*"),
        allow("kms:Decrypt", StringEquals={"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
    )
    result = custom(iam, "s3:GetObject", PolicyInputList=[text])
    assert result["MissingContextValues"] == ["aws:SourceVpce", "aws:username"]


def test_the_keys_of_policies_are_listed(iam: Any, role: str) -> None:
    text = policy(
        allow(
            "s3:*", StringEquals={"aws:SourceVpce": "vpce-1"}, Bool={"AWS:SecureTransport": "true"}
        )
    )
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[text])["ContextKeyNames"]
    assert keys == ["AWS:SecureTransport", "aws:SourceVpce"]
    own = iam.get_context_keys_for_principal_policy(
        PolicySourceArn=arn(role), PolicyInputList=[text]
    )["ContextKeyNames"]
    assert own == ["aws:principaltag/team", "AWS:SecureTransport", "aws:SourceVpce"]


def test_results_come_a_page_at_a_time(iam: Any) -> None:
    actions = [f"s3:Action{letter}" for letter in "abcde"]
    pages = iam.get_paginator("simulate_custom_policy").paginate(
        PolicyInputList=[policy(allow("s3:*"))],
        ActionNames=actions,
        PaginationConfig={"PageSize": 2},
    )
    found = [[each["EvalActionName"] for each in page["EvaluationResults"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert [name for page in found for name in page] == actions


def test_the_administrator_is_simulated_by_what_aws_manages(iam: Any) -> None:
    result = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/admin", ActionNames=["iam:DeleteUser"]
    )["EvaluationResults"][0]
    assert result["EvalDecision"] == "allowed"
    assert result["MatchedStatements"][0]["SourcePolicyId"] == "AdministratorAccess"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"ActionNames": ["GetObject"]}, "InvalidInput"),
        ({"ActionNames": ["s3:Get*"]}, "InvalidInput"),
        ({"ResourceArns": ["my-bucket"]}, "InvalidInput"),
        ({"PolicyInputList": ["{"]}, "InvalidInput"),
        ({"ResourceHandlingOption": "EC2-VPC-InstanceStore"}, "InvalidInput"),
        ({"PolicySourceArn": "arn:aws:iam::999999999999:user/admin"}, "NoSuchEntity"),
        ({"PolicySourceArn": "arn:aws:iam::123456789012:user/nobody"}, "NoSuchEntity"),
        ({"PolicySourceArn": "arn:aws:s3:::bucket-of-mine"}, "InvalidInput"),
        ({"PolicyExclusionList": [{"PolicyArn": "arn:aws:iam::aws:policy/A*b*"}]}, "InvalidInput"),
        ({"ResourceOwner": "somebody"}, "InvalidInput"),
    ],
)
def test_what_cannot_be_simulated_is_refused(iam: Any, params: dict[str, Any], code: str) -> None:
    asked: dict[str, Any] = {
        "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/admin",
        "ActionNames": ["s3:GetObject"],
    }
    assert refused(iam.simulate_principal_policy, **(asked | params)) == code


def test_policies_that_grant_a_service_are_listed(iam: Any, role: str) -> None:
    managed = "arn:aws:iam::aws:policy/PowerUserAccess"
    iam.attach_role_policy(RoleName=role, PolicyArn=managed)
    entries = iam.list_policies_granting_service_access(
        Arn=arn(role), ServiceNamespaces=["bedrock", "s3", "kms", "organizations"]
    )["PoliciesGrantingServiceAccess"]
    iam.detach_role_policy(RoleName=role, PolicyArn=managed)
    by_service = {
        entry["ServiceNamespace"]: [each["PolicyName"] for each in entry["Policies"]]
        for entry in entries
    }
    assert by_service == {
        "bedrock": ["PowerUserAccess", "models"],
        "s3": ["PowerUserAccess", "models"],
        "kms": ["PowerUserAccess"],
        "organizations": ["PowerUserAccess"],
    }
    assert entries[0]["Policies"] == [
        {"PolicyName": "PowerUserAccess", "PolicyType": "MANAGED", "PolicyArn": managed},
        {
            "PolicyName": "models",
            "PolicyType": "INLINE",
            "EntityType": "ROLE",
            "EntityName": role,
        },
    ]
