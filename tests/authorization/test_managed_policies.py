"""The policies that AWS manages: each one valid, named as AWS names it, and the same every time."""

import pytest

from outcrop.authorization import managed
from outcrop.authorization.managed import ManagedPolicy
from outcrop.security.policy.document import parse_policy
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide

USER = Subject(arn="arn:aws:iam::123456789012:user/a", account="123456789012", kind="user")
CLAUDE = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
AGENT_ROLE = "arn:aws:iam::123456789012:role/AmazonBedrockExecutionRoleForAgents_x"


@pytest.mark.parametrize("policy", managed.policies(), ids=lambda policy: policy.name)
def test_each_is_a_valid_policy_with_its_own_facts(policy: ManagedPolicy) -> None:
    assert parse_policy(policy.document, "identity").statements
    assert policy.arn == f"arn:aws:iam::aws:policy{policy.path}{policy.name}"
    assert managed.find(policy.arn) == policy.document
    assert managed.find_policy(policy.arn) is policy
    assert policy.id.startswith("ANPA")
    assert len(policy.id) == 21
    assert policy.created_at <= policy.updated_at
    assert policy.description


def test_ids_are_their_own() -> None:
    assert len({policy.id for policy in managed.policies()}) == len(managed.policies())


@pytest.mark.parametrize("arn", ["", "AdministratorAccess", "arn:aws:iam::aws:policy/Nope"])
def test_what_is_no_policy_of_aws_is_not_found(arn: str) -> None:
    assert managed.find(arn) is None


@pytest.mark.parametrize(
    ("name", "action", "resource", "keys", "allowed"),
    [
        ("AdministratorAccess", "iam:DeleteUser", "*", {}, True),
        ("PowerUserAccess", "bedrock:InvokeModel", CLAUDE, {}, True),
        ("PowerUserAccess", "iam:CreateUser", "*", {}, False),
        ("PowerUserAccess", "iam:ListRoles", "*", {}, True),
        ("AmazonBedrockFullAccess", "bedrock:CreateAgent", "*", {}, True),
        ("AmazonBedrockFullAccess", "s3:GetObject", "arn:aws:s3:::b/k", {}, False),
        (
            "AmazonBedrockFullAccess",
            "iam:PassRole",
            AGENT_ROLE,
            {"iam:passedtoservice": "bedrock.amazonaws.com"},
            True,
        ),
        (
            "AmazonBedrockFullAccess",
            "iam:PassRole",
            AGENT_ROLE,
            {"iam:passedtoservice": "ec2.amazonaws.com"},
            False,
        ),
        ("AmazonBedrockReadOnly", "bedrock:ListFoundationModels", "*", {}, True),
        ("AmazonBedrockReadOnly", "bedrock:InvokeModel", CLAUDE, {}, False),
        ("AmazonBedrockLimitedAccess", "bedrock:CallWithBearerToken", "*", {}, True),
        ("AmazonBedrockLimitedAccess", "bedrock:InvokeModel", CLAUDE, {}, True),
        ("AmazonBedrockLimitedAccess", "bedrock:CreateAgent", "*", {}, False),
        ("AmazonS3ReadOnlyAccess", "s3:PutObject", "arn:aws:s3:::b/k", {}, False),
        ("IAMReadOnlyAccess", "iam:SimulatePrincipalPolicy", "*", {}, True),
        ("ReadOnlyAccess", "bedrock:InvokeModel", CLAUDE, {}, False),
        ("ReadOnlyAccess", "iam:ListUsers", "*", {}, True),
    ],
)
def test_each_allows_what_its_name_says(
    name: str, action: str, resource: str, keys: dict[str, str], allowed: bool
) -> None:
    text = managed.find(f"arn:aws:iam::aws:policy/{name}")
    assert text is not None
    layers = Layers(identity=(parse_policy(text, "identity"),))
    request = Request(USER, action, resource, USER.account, keys)
    assert decide(request, layers).allowed is allowed
