"""What the real IAM answered, and what is answered here: the same members, codes and texts."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from running_gateways import ACCOUNT, Gateway

SHARED = Path(__file__).resolve().parents[3] / "shared"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
BOUNDARY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "iam:*", "Resource": "*"}],
    }
)
ROLE = "recorded"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/recorded"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


@cache
def _recorded(operation: str) -> list[dict[str, Any]]:
    lines = (SHARED / "real-control-plane.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        row["data"]
        for row in rows
        if (row["service"], row["op"], row["status"]) == ("iam", operation, 200)
    ]


@pytest.fixture(scope="module")
def iam(scripted_gateway: Gateway) -> Iterator[Any]:
    client = scripted_gateway.client("iam")
    client.create_policy(PolicyName="recorded", PolicyDocument=BOUNDARY, Description="d")
    client.create_role(
        RoleName=ROLE,
        AssumeRolePolicyDocument=TRUST,
        Description="d",
        Tags=[{"Key": "a", "Value": "b"}],
        PermissionsBoundary=POLICY,
    )
    client.attach_role_policy(RoleName=ROLE, PolicyArn=ADMINISTRATOR)
    client.put_role_policy(RoleName=ROLE, PolicyName="inline", PolicyDocument=BOUNDARY)
    yield client
    client.delete_role_policy(RoleName=ROLE, PolicyName="inline")
    client.detach_role_policy(RoleName=ROLE, PolicyArn=ADMINISTRATOR)
    client.delete_role(RoleName=ROLE)
    client.delete_policy(PolicyArn=POLICY)


def _members(value: Any, path: str = "") -> set[str]:
    """Every member of an answer, documents and dates as one value each."""
    if isinstance(value, list):
        return {name for item in cast(list[Any], value) for name in _members(item, f"{path}[]")}
    if isinstance(value, dict) and "__class__" not in value and "Statement" not in value:
        fields = cast(dict[str, Any], value)
        below = (_members(item, f"{path}.{key}") for key, item in fields.items())
        return {f"{path}.{key}" for key in fields}.union(*below)
    return set()


def _members_of(*answers: dict[str, Any]) -> set[str]:
    members = {name for answer in answers for name in _members(answer)}
    return {name for name in members if not name.startswith(".ResponseMetadata")}


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "GetRole": lambda iam: iam.get_role(RoleName=ROLE),
    "ListRoles": lambda iam: iam.list_roles(),
    "ListRolePolicies": lambda iam: iam.list_role_policies(RoleName=ROLE),
    "ListAttachedRolePolicies": lambda iam: iam.list_attached_role_policies(RoleName=ROLE),
    "GetPolicy": lambda iam: iam.get_policy(PolicyArn=POLICY),
    "GetPolicyVersion": lambda iam: iam.get_policy_version(PolicyArn=POLICY, VersionId="v1"),
    "ListPolicies": lambda iam: iam.list_policies(),
    "SimulatePrincipalPolicy": lambda iam: iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", ActionNames=["iam:ListUsers"]
    ),
    "SimulateCustomPolicy": lambda iam: iam.simulate_custom_policy(
        PolicyInputList=[BOUNDARY], ActionNames=["iam:ListUsers"]
    ),
    "AttachRolePolicy": lambda iam: iam.attach_role_policy(RoleName=ROLE, PolicyArn=ADMINISTRATOR),
    "TagRole": lambda iam: iam.tag_role(RoleName=ROLE, Tags=[{"Key": "a", "Value": "b"}]),
    "UntagRole": lambda iam: iam.untag_role(RoleName=ROLE, TagKeys=["z"]),
}
# No organization bounds the account of these tests.
NOT_HERE = {
    ".EvaluationResults[].OrganizationsDecisionDetail",
    ".EvaluationResults[].OrganizationsDecisionDetail.AllowedByOrganizations",
}
# Recorded before IAM sent them, or of a state that was not recorded.
MORE_HERE = {
    ".Role.PermissionsBoundary",
    ".Role.PermissionsBoundary.PermissionsBoundaryArn",
    ".Role.PermissionsBoundary.PermissionsBoundaryType",
    ".Marker",
    ".EvaluationResults[].MatchedStatements[].SourcePolicyType",
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_has_the_members_of_the_recorded_ones(operation: str, iam: Any) -> None:
    recorded = _recorded(operation)
    assert recorded
    theirs = _members_of(*recorded)
    ours = _members_of(OPERATIONS[operation](iam))
    changing = {name for name in theirs if name.startswith(".Role.RoleLastUsed")}
    assert theirs - ours - NOT_HERE - changing <= {".Marker"}
    assert ours - theirs - MORE_HERE == set()


def test_a_boundary_that_denies_is_told_as_recorded(iam: Any) -> None:
    recorded = next(
        answer["EvaluationResults"][0]
        for answer in _recorded("SimulatePrincipalPolicy")
        if answer["EvaluationResults"][0]["EvalDecision"] == "explicitDeny"
    )
    ours = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
        ActionNames=["iam:ListUsers"],
        PolicyExclusionList=[{"PolicyType": "inline"}],
    )["EvaluationResults"][0]
    assert ours["EvalDecision"] == recorded["EvalDecision"]
    for statements in (ours["MatchedStatements"], recorded["MatchedStatements"]):
        assert [each["SourcePolicyType"] for each in statements] == [
            "IAM Policy",
            "Permissions Boundary Policy",
        ]
    detail = "PermissionsBoundaryDecisionDetail"
    assert ours[detail] == recorded[detail] == {"AllowedByPermissionsBoundary": False}


def test_positions_are_counted_as_recorded(iam: Any) -> None:
    """The policy that was simulated when this was recorded, laid out as AWS keeps it."""
    recorded = next(
        statement
        for answer in _recorded("SimulatePrincipalPolicy")
        for statement in answer["EvaluationResults"][0]["MatchedStatements"]
        if statement["SourcePolicyId"] == "AdministratorAccess"
    )
    text = (
        '{\n  "Version": "2012-10-17",\n  "Statement": [\n    {\n      "Effect": "Allow",\n'
        '      "Action": "*",\n      "Resource": "*"\n    }\n  ]\n}'
    )
    (ours,) = iam.simulate_custom_policy(
        PolicyInputList=[text], ActionNames=["lambda:CreateFunction"]
    )["EvaluationResults"][0]["MatchedStatements"]
    assert ours["StartPosition"] == recorded["StartPosition"]
    assert ours["EndPosition"] == recorded["EndPosition"]


@pytest.mark.parametrize(
    ("operation", "params", "text"),
    [
        (
            "get_role",
            {"RoleName": "test_role"},
            "The role with name test_role cannot be found.",
        ),
        (
            "get_policy",
            {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccessDoesNotExist"},
            "Policy arn:aws:iam::aws:policy/AdministratorAccessDoesNotExist was not found.",
        ),
        (
            "get_policy",
            {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/IamCreateRoleAndCreatePolicy"},
            f"Policy arn:aws:iam::{ACCOUNT}:policy/IamCreateRoleAndCreatePolicy does not exist or "
            "is not attachable.",
        ),
        (
            "delete_policy",
            {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/non-existent-policy"},
            f"Policy arn:aws:iam::{ACCOUNT}:policy/non-existent-policy was not found.",
        ),
        (
            "attach_role_policy",
            {"RoleName": ROLE, "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/x123"},
            f"Policy arn:aws:iam::{ACCOUNT}:policy/x123 does not exist or is not attachable.",
        ),
    ],
)
def test_what_is_missing_is_named_as_recorded(
    iam: Any, operation: str, params: dict[str, str], text: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(iam, operation)(**params)
    answer: Any = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert answer["Error"] == {"Type": "Sender", "Code": "NoSuchEntity", "Message": text}


def test_a_document_goes_out_percent_encoded(scripted_gateway: Gateway, iam: Any) -> None:
    """botocore decodes documents; what it was sent is seen before that."""
    client = scripted_gateway.client("iam")
    sent: list[bytes] = []

    def keep(http_response: Any, **_: Any) -> None:
        sent.append(http_response.content)

    client.meta.events.register("after-call.iam.GetPolicyVersion", keep)
    client.get_policy_version(PolicyArn=ADMINISTRATOR, VersionId="v1")
    assert b"%7B%0A%20%20%20%20%22Version%22%3A%20%222012-10-17%22%2C" in sent[0]
    assert b"%22Action%22%3A%20%22%2A%22" in sent[0]
