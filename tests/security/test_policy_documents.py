"""Policy documents: what is refused, in which words, and where the statements stand."""

from typing import Any

import pytest
from policy_requests import policy, statement, text_of

from outcrop.security.policy.document import Kind, MalformedPolicy, Position, parse_policy

SYNTAX = "Syntax errors in policy."
LEGACY = "The policy failed legacy parsing"
VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
IAM_PATHS = (
    'IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, '
    "instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, "
    "oidc-provider/, report/, access-report/."
)
OK = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
TRUSTED = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "111122223333"}}
NAMED = OK | {"Principal": "*"}


def refusal(text: str, kind: Kind = "identity") -> str:
    with pytest.raises(MalformedPolicy) as caught:
        parse_policy(text, kind)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"x"',
        "{",
        "{}",
        "null",
        '{"Version":"2012-10-17"}',
        '{"Version":"2012-10-17","Statement":[]}',
        '{"Version":"2012-10-17","Statement":"x"}',
        '{"Version":"2012-10-17","Statement":["x"]}',
        '{"Version":"2012-10-18","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
        '{"Version":["2012-10-17"],"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}} x',
        '{"Version":"2012-10-17","Version":"2012-10-17","Statement":{"Effect":"Allow"}}',
        '{"Version":"2012-10-17","Id":1,"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}',
        '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"\\ud800","Resource":"*"}}',
        '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"\ud800","Resource":"*"}}',
        "[" * 10_000,
        '{"Statement":' * 10_000,
        " " * 30_000,
    ],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    assert refusal(text) == SYNTAX


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Effect": "Permit"}, SYNTAX),
        ({"Effect": "allow"}, LEGACY),
        ({"Effect": None}, SYNTAX),
        ({"Sid": 1}, SYNTAX),
        ({"Extra": "x"}, SYNTAX),
        ({"Action": {}}, SYNTAX),
        ({"Action": ["s3:Get", 1]}, SYNTAX),
        ({"NotAction": "s3:Get"}, SYNTAX),
        ({"NotResource": "*"}, SYNTAX),
        ({"Action": []}, "Policy statement must contain actions."),
        ({"Resource": []}, "Policy statement must contain resources."),
        ({"Action": "GetObject"}, VENDOR),
        ({"Action": ""}, VENDOR),
        ({"Action": "s3:Get:Object"}, "Actions/Condition can contain only one colon."),
        ({"Action": "s 3:Get"}, "Vendor s 3 is not valid"),
        (
            {"Action": "*:Create*"},
            "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards.",
        ),
        ({"Resource": "bucket"}, 'Resource bucket must be in ARN format or "*".'),
        (
            {"Resource": "arn:aws-x:s3:::b"},
            'Partition "aws-x" is not valid for resource "arn:aws-x:s3:::b".',
        ),
        ({"Resource": "arn:x"}, 'Partition "x" is not valid for resource "arn:x:*:*:*:*".'),
        (
            {"Resource": "arn:aws"},
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (
            {"Resource": "arn:aws:s*:::b"},
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        ({"Resource": "arn:aws:s3::b"}, LEGACY),
        ({"Resource": "arn:aws::::b"}, LEGACY),
        (
            {"Resource": "arn:aws:s3:eu-1::b"},
            "Resource arn:aws:s3:eu-1::b can not contain region information.",
        ),
        (
            {"Resource": "arn:aws:iam:eu-1::role/x"},
            "IAM resource arn:aws:iam:eu-1::role/x cannot contain region information.",
        ),
        ({"Resource": "arn:aws:iam::1:thing/x"}, IAM_PATHS),
        ({"Principal": "*"}, "Policy document should not specify a principal."),
        ({"NotPrincipal": {"AWS": "*"}}, "Policy document should not specify a principal."),
        ({"Condition": []}, SYNTAX),
        ({"Condition": {"StringEquals": "x"}}, SYNTAX),
        ({"Condition": {"StringIs": {"aws:a": "x"}}}, SYNTAX),
        ({"Condition": {"stringequals": {"aws:a": "x"}}}, SYNTAX),
        ({"Condition": {"NullIfExists": {"aws:a": "true"}}}, SYNTAX),
        ({"Condition": {"ForAnyValue:Null": {"aws:a": "true"}}}, SYNTAX),
        ({"Condition": {"ForSomeValue:StringEquals": {"aws:a": "x"}}}, SYNTAX),
        ({"Condition": {"StringEqualsIfExistsIfExists": {"aws:a": "x"}}}, SYNTAX),
        ({"Condition": {"StringEquals": {"aws:a": None}}}, SYNTAX),
        ({"Condition": {"StringEquals": {"aws:a": "x", "AWS:A": "y"}}}, SYNTAX),
        ({"Condition": {"StringEquals": {"aws:a": "${"}}}, SYNTAX),
        ({"Condition": {"StringEquals": {"sourceip": "x"}}}, VENDOR),
        ({"Sid": "a!"}, "Statement IDs (SID) must be alpha-numeric. Check that your input "
         "satisfies the regular expression [0-9A-Za-z]*"),
    ],
)  # fmt: skip
def test_what_a_statement_may_not_say(change: dict[str, Any], text: str) -> None:
    assert refusal(text_of(OK | change)) == text


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ("Effect", SYNTAX),
        ("Action", "Policy statement must contain actions."),
        ("Resource", "Policy statement must contain resources."),
    ],
)
def test_what_a_statement_needs(element: str, text: str) -> None:
    assert refusal(text_of({key: OK[key] for key in OK if key != element})) == text


@pytest.mark.parametrize("kind", ["identity", "boundary", "session"])
@pytest.mark.parametrize("version", ["2008-10-17", None])
def test_iam_takes_the_current_version_only(kind: Kind, version: str | None) -> None:
    text = "Policy document must be version 2012-10-17 or greater."
    assert refusal(text_of(OK, version=version), kind) == text


def test_statement_ids_are_unique() -> None:
    text = text_of(OK | {"Sid": "a"}, OK | {"Sid": "a"})
    assert refusal(text) == "Statement IDs (SID) in a single policy must be unique."
    assert policy(OK | {"Sid": ""}, OK | {"Sid": ""}).statements


def test_the_first_fault_is_named() -> None:
    assert refusal(text_of(OK | {"Action": "x", "Resource": "x"})).startswith("Resource x must")
    assert refusal(text_of(OK | {"Action": "x", "Resource": []})).startswith("Policy statement")


def test_a_key_that_stands_twice_is_refused() -> None:
    twice = '"Condition":{"Bool":{"aws:a":"true"}},"Condition":{}'
    text = text_of(OK).replace('"Action"', f'{twice},"Action"')
    assert refusal(text) == SYNTAX


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Resource": "*"}, "Has prohibited field Resource"),
        ({"NotResource": "*"}, "Has prohibited field NotResource"),
        ({"Action": "s3:Get"}, "AssumeRole policy may only specify STS AssumeRole actions."),
        (
            {"Action": "sts:GetCallerIdentity"},
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        ({"Effect": "allow"}, "Invalid effect: allow"),
        ({"Extra": 1}, "Unknown field Extra"),
        ({"Principal": {"AWS": "x"}}, 'Invalid principal in policy: "AWS":"x"'),
        (
            {"Principal": {"AWS": "arn:aws:iam::111122223333:user/*"}},
            'Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:user/*"',
        ),
        (
            {"Principal": {"Service": "not a service"}},
            'Invalid principal in policy: "SERVICE":"not a service"',
        ),
        (
            {"Principal": {"Service": "bedrock"}},
            'Invalid principal in policy: "SERVICE":"bedrock"',
        ),
        (
            {"Principal": {"Federated": "somebody"}},
            'Invalid principal in policy: "FEDERATED":"somebody"',
        ),
        ({"Principal": {"Person": "x"}}, "Unknown field Person"),
    ],
)
def test_what_a_trust_policy_may_not_say(change: dict[str, Any], text: str) -> None:
    assert refusal(text_of(TRUSTED | change), "trust") == text


@pytest.mark.parametrize(
    "change",
    [
        {"Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]},
        {"Action": "sts:*"},
        {"Action": "sts:AssumeRoleWithWebIdentity", "Principal": {"Federated": "a.example.com"}},
        {"Principal": {"Service": ["bedrock.amazonaws.com", "delivery.logs.amazonaws.com"]}},
        {"Principal": {"AWS": ["arn:aws:sts::111122223333:assumed-role/r/s", "*"]}},
        {"Principal": {"AWS": "AIDAJQABLZS4A3QDU576Q"}},
        {"Principal": {"AWS": "arn:aws:iam::111122223333:role/a/b@c"}},
    ],
)
def test_what_a_trust_policy_may_say(change: dict[str, Any]) -> None:
    assert parse_policy(text_of(TRUSTED | change), "trust").statements


def test_a_trust_policy_needs_a_principal_and_no_version() -> None:
    assert refusal(text_of(OK | {"Action": "sts:AssumeRole"}), "trust").startswith("Has prohib")
    nobody = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    assert refusal(text_of(nobody), "trust") == "Missing required field Principal"
    for version in (None, "2008-10-17", "2012-10-17"):
        assert parse_policy(text_of(TRUSTED, version=version), "trust").statements
    assert refusal("{", "trust") == "This policy contains invalid Json"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("", "Policies must be valid JSON and the first byte must be '{'"),
        (" {}", "Policies must be valid JSON and the first byte must be '{'"),
        ("{", "This policy contains invalid Json"),
        ("{}", "Missing required field Statement"),
        ('{"Statement":[]}', "Could not parse the policy: Statement is empty!"),
        ('{"Version":"x","Statement":[]}', "The policy must contain a valid version string"),
        (text_of(OK), "Missing required field Principal"),
        (text_of(NAMED | {"Action": "ec2:Run"}), "Policy has invalid action"),
        (text_of(NAMED | {"Resource": "arn:aws:sqs:::x"}), "Policy has invalid resource"),
        (text_of(NAMED | {"Principal": {"AWS": "x"}}), "Invalid principal in policy"),
        (text_of({"Principal": "*", "Action": "s3:*"}), "Missing required field Effect"),
    ],
)
def test_what_s3_says_of_bucket_policies(text: str, refused: str) -> None:
    assert refusal(text, "bucket") == refused


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("key", "Policy contains a statement with one or more invalid principals."),
        ("resource", "This resource policy contains an unsupported principal."),
        ("endpoint", "Invalid principal in policy"),
    ],
)
def test_invalid_principals_of_other_kinds(kind: Kind, text: str) -> None:
    assert refusal(text_of(NAMED | {"Principal": {"AWS": "x"}}), kind) == text


def test_service_control_policies_name_no_principal() -> None:
    assert refusal(text_of(NAMED), "service-control").startswith("The provided policy document")


def test_not_principal_does_not_go_with_allow() -> None:
    allowing = OK | {"NotPrincipal": {"AWS": "111122223333"}}
    assert refusal(text_of(allowing), "bucket") == "Has prohibited field NotPrincipal"
    assert parse_policy(text_of(allowing | {"Effect": "Deny"}), "bucket").statements


def test_statements_stand_where_the_policy_simulator_says() -> None:
    # AdministratorAccess: recorded as line 3, column 17 to line 8, column 6.
    text = """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "*",
      "Resource": "*"
    }
  ]
}"""
    found = parse_policy(text, "identity").statements[0]
    assert (found.start, found.end) == (Position(3, 17), Position(8, 6))


def test_a_single_statement_stands_after_its_brace() -> None:
    single = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
    found = parse_policy(single, "identity").statements[0]
    assert (found.start, found.end) == (Position(1, 38), Position(1, len(single)))


def test_a_policy_tells_the_keys_it_asks_for() -> None:
    asked = policy(
        statement(
            Resource="arn:aws:s3:::b/${aws:username}",
            Condition={
                "StringEquals": {"aws:ResourceTag/Team": "${aws:PrincipalTag/Team, 'x'}"},
                "Null": {"aws:TokenIssueTime": True},
            },
        )
    )
    assert asked.keys == {
        "aws:username",
        "aws:resourcetag/team",
        "aws:principaltag/team",
        "aws:tokenissuetime",
    }
