"""Condition keys of real requests: each policy lets through who meets it and nobody else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from certificates import write_certificate
from principals import CLAUDE, Account, Person, assume, deny, of_session, turn
from running_gateways import ACCESS_KEY, ACCOUNT, SCRIPTED, SECRET_KEY, Gateway, start_gateway
from statements import allow, document

INVOKE = "bedrock:InvokeModel"
LIST = "bedrock:ListFoundationModels"


def only(operator: str, key: str, *values: str) -> str:
    return document(allow("bedrock:*", Condition={operator: {key: list(values)}}))


def in_s(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("operator", "key", "values", "allowed"),
    [
        ("IpAddress", "aws:SourceIp", ["127.0.0.0/8"], True),
        ("IpAddress", "aws:SourceIp", ["203.0.113.0/24"], False),
        ("NotIpAddress", "aws:SourceIp", ["127.0.0.1/32"], False),
        ("Bool", "aws:SecureTransport", ["false"], True),
        ("Bool", "aws:SecureTransport", ["true"], False),
        ("StringLike", "aws:UserAgent", ["Boto3/*"], True),
        ("StringLike", "aws:UserAgent", ["curl/*"], False),
        ("StringEquals", "aws:RequestedRegion", ["us-east-1", "eu-west-1"], True),
        ("StringEquals", "aws:RequestedRegion", ["eu-west-1"], False),
        ("StringEquals", "aws:PrincipalTag/team", ["ml"], True),
        ("StringEquals", "aws:PrincipalTag/team", ["hr"], False),
        ("StringEquals", "aws:PrincipalTag/none", ["ml"], False),
        ("Null", "aws:PrincipalTag/none", ["true"], True),
        ("DateLessThan", "aws:CurrentTime", ["TOMORROW"], True),
        ("DateGreaterThan", "aws:CurrentTime", ["TOMORROW"], False),
        ("DateLessThan", "aws:EpochTime", ["TOMORROW"], True),
        ("ArnEquals", "aws:PrincipalArn", ["ARN"], True),
        ("ArnEquals", "aws:PrincipalArn", ["ARN-2"], False),
        ("StringEquals", "aws:PrincipalAccount", [ACCOUNT], True),
        ("StringEquals", "aws:PrincipalAccount", ["210987654321"], False),
        ("StringEquals", "aws:PrincipalType", ["User"], True),
        ("StringEquals", "aws:username", ["NAME"], True),
        ("StringEquals", "aws:username", ["${aws:username}"], True),
        ("StringEquals", "aws:userid", ["ID"], True),
        ("StringEquals", "aws:userid", ["AIDAOTHERUSER0000000"], False),
        # Long-term keys do not say whether a second factor was there.
        ("Bool", "aws:MultiFactorAuthPresent", ["true"], False),
        ("Bool", "aws:MultiFactorAuthPresent", ["false"], False),
        ("BoolIfExists", "aws:MultiFactorAuthPresent", ["false"], True),
        ("Null", "aws:TokenIssueTime", ["true"], True),
        ("Null", "aws:SourceVpce", ["true"], True),
        ("StringEquals", "aws:SourceVpce", ["vpce-1"], False),
        ("Bool", "aws:ViaAWSService", ["false"], True),
        ("Bool", "aws:PrincipalIsAWSService", ["true"], False),
    ],
)
def test_a_condition_of_a_user(
    account: Account, operator: str, key: str, values: list[str], allowed: bool
) -> None:
    person = account.user(Tags=[{"Key": "Team", "Value": "ml"}])
    unique_id = account.iam.get_user(UserName=person.name)["User"]["UserId"]
    known = {"ARN": person.arn, "NAME": person.name, "ID": unique_id, "TOMORROW": in_s(86_400)}
    text = only(operator, key, *(known.get(value, value) for value in values))
    account.iam.put_user_policy(UserName=person.name, PolicyName="only", PolicyDocument=text)
    assert person.invokes() is allowed


def test_the_conditions_of_a_session(account: Account) -> None:
    role = account.role(Tags=[{"Key": "Team", "Value": "role"}])
    name = role.rpartition("/")[2]
    unique_id = account.iam.get_role(RoleName=name)["Role"]["RoleId"]
    account.iam.update_assume_role_policy(
        RoleName=name,
        PolicyDocument=document(
            {
                "Effect": "Allow",
                "Principal": {"AWS": account.id},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
            }
        ),
    )
    session = assume(account.admin, role, Tags=[{"Key": "team", "Value": "session"}])
    expected = {
        ("ArnEquals", "aws:PrincipalArn", role): True,
        ("ArnEquals", "aws:PrincipalArn", session.arn): False,
        ("StringEquals", "aws:userid", f"{unique_id}:me"): True,
        ("StringEquals", "aws:PrincipalType", "AssumedRole"): True,
        ("Null", "aws:username", "true"): True,
        ("StringEquals", "aws:PrincipalTag/Team", "session"): True,
        ("Bool", "aws:MultiFactorAuthPresent", "false"): True,
        ("DateLessThanEquals", "aws:TokenIssueTime", in_s(60)): True,
        ("DateGreaterThan", "aws:TokenIssueTime", in_s(60)): False,
    }
    for (operator, key, value), allowed in expected.items():
        account.iam.put_role_policy(
            RoleName=name, PolicyName="only", PolicyDocument=only(operator, key, value)
        )
        assert session.invokes() is allowed, (operator, key, value)


def test_a_session_of_a_user_says_that_no_second_factor_was_there(account: Account) -> None:
    person = account.user(only("Bool", "aws:MultiFactorAuthPresent", "false"))
    assert not person.invokes()
    session = of_session(person.gateway, person.arn, person.ask("sts:get_session_token"))
    assert session.invokes()


def test_several_keys_must_all_hold_and_one_of_several_values(account: Account) -> None:
    both = {
        "StringEquals": {"aws:PrincipalTag/team": ["hr", "ml"], "aws:RequestedRegion": "us-east-1"},
        "Bool": {"aws:SecureTransport": "false"},
    }
    text = document(allow(INVOKE, Condition=both))
    assert account.user(text, Tags=[{"Key": "team", "Value": "ml"}]).invokes()
    assert not account.user(text, Tags=[{"Key": "team", "Value": "it"}]).invokes()
    assert not account.user(text).invokes()


def test_a_model_s_resource_may_hold_a_variable(account: Account) -> None:
    text = document(
        allow(INVOKE, "arn:aws:bedrock:*::foundation-model/${aws:PrincipalTag/models}.*")
    )
    person = account.user(text, Tags=[{"Key": "models", "Value": "anthropic"}])
    assert person.invokes(CLAUDE)
    assert not person.invokes("amazon.titan-text-express-v1")
    assert not account.user(text).invokes(CLAUDE)


def test_a_guardrail_may_be_demanded(account: Account) -> None:
    guardrail = f"arn:aws:bedrock:us-east-1:{account.id}:guardrail/abcdefghijkl"
    demanded = {"StringNotEquals": {"bedrock:GuardrailIdentifier": f"{guardrail}:1"}}
    person = account.user(document(allow("bedrock:*"), deny(INVOKE, Condition=demanded)))
    assert not person.invokes()
    config = {"guardrailIdentifier": "abcdefghijkl", "guardrailVersion": "1"}
    operation = "bedrock-runtime:converse"
    # Let through, and refused for what is not built yet rather than answered without a guardrail.
    code = person.refusal(operation, **turn(), guardrailConfig=config)
    assert code not in ("", "AccessDeniedException")
    other = {**config, "guardrailVersion": "2"}
    code = person.refusal(operation, **turn(), guardrailConfig=other)
    assert code == "AccessDeniedException"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Account, str]]:
    """A gateway that speaks TLS, and the certificate to trust."""
    folder: Path = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    write_certificate(certificate, key)
    server = f'[server]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    gateway: Gateway = start_gateway(folder, server + SCRIPTED)
    arn = f"arn:aws:iam::{ACCOUNT}:user/admin"
    yield Account(ACCOUNT, Person(gateway, "admin", arn, ACCESS_KEY, SECRET_KEY)), str(certificate)
    gateway.stop()


@pytest.mark.parametrize(("wanted", "allowed"), [("true", True), ("false", False)])
def test_secure_transport_over_tls(
    secured: tuple[Account, str], wanted: str, allowed: bool
) -> None:
    account, certificate = secured
    iam = account.admin.client("iam", verify=certificate)
    name = f"over-tls-{wanted}"
    iam.create_user(UserName=name)
    text = only("Bool", "aws:SecureTransport", wanted)
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=text)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    gateway = account.admin.gateway
    person = Person(gateway, name, "", key["AccessKeyId"], key["SecretAccessKey"])
    client: Any = person.client("bedrock-runtime", verify=certificate)
    if allowed:
        assert client.converse(**turn())["output"]
        return
    with pytest.raises(ClientError, match="AccessDeniedException"):
        client.converse(**turn())
