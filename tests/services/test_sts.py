"""STS: who becomes whom, with which permissions, for how long."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from in_process import ADMIN, Inside, Keys
from statements import ACCOUNT, OTHER, allow, document, user_arn
from sts_requests import (
    CHAINING,
    LIST,
    ROOT,
    assume,
    denied,
    refusal,
    root_keys,
    session_of_admin,
    trust,
)

RECORDED = Path(__file__).resolve().parents[2] / "../shared/aws-errors.jsonl"


@pytest.mark.parametrize(
    ("principal", "policy", "assumes"),
    [
        (ROOT, CHAINING, True),
        (ACCOUNT, CHAINING, True),
        # An account is trusted to pass it on: somebody must.
        (ROOT, None, False),
        (ROOT, document(allow("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/Other")), False),
        # Named itself, a user of the account needs nothing else.
        (user_arn("amy"), None, True),
        (user_arn("bob"), CHAINING, False),
        (f"arn:aws:iam::{OTHER}:root", CHAINING, False),
        (
            user_arn("amy"),
            document({"Effect": "Deny", "Action": "sts:*", "Resource": "*"}),
            False,
        ),
    ],
)
async def test_trust_and_permission_decide_together(
    inside: Inside, principal: str, policy: str | None, assumes: bool
) -> None:
    keys = await inside.user(ACCOUNT, "amy", policy)
    role_arn = await inside.role(ACCOUNT, "Work", trust(principal))
    if assumes:
        answer = await assume(inside, keys, role_arn)
        assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Work/me"
        return
    assert await denied(inside, keys, role_arn) == (
        f"User: {user_arn('amy')} is not authorized to perform: sts:AssumeRole on resource: "
        f"{role_arn}"
    )


@pytest.mark.parametrize(
    ("principal", "policy", "assumes"),
    [
        (f"arn:aws:iam::{OTHER}:root", CHAINING, True),
        (user_arn("far", OTHER), CHAINING, True),
        (user_arn("far", OTHER), None, False),
        (ROOT, CHAINING, False),
        (user_arn("near", OTHER), CHAINING, False),
    ],
)
async def test_across_accounts_both_sides_must_allow(
    inside: Inside, principal: str, policy: str | None, assumes: bool
) -> None:
    keys = await inside.user(OTHER, "far", policy)
    role_arn = await inside.role(ACCOUNT, "Work", trust(principal), document(allow(LIST)))
    if not assumes:
        assert "not authorized to perform: sts:AssumeRole" in await denied(inside, keys, role_arn)
        return
    session = inside.client(Keys.answered(await assume(inside, keys, role_arn)))
    assert (await session.ask("sts", "GetCallerIdentity"))["Account"] == ACCOUNT
    assert await session.ask("bedrock", "ListFoundationModels")


async def test_a_role_that_is_not_there_is_refused_as_one_that_may_not_be_assumed(
    inside: Inside,
) -> None:
    for account in (ACCOUNT, OTHER, "999999999999"):
        role_arn = f"arn:aws:iam::{account}:role/Missing"
        assert await denied(inside, ADMIN, role_arn) == (
            f"User: {user_arn('admin')} is not authorized to perform: sts:AssumeRole on resource: "
            f"{role_arn}"
        )


async def test_roles_are_not_for_root_users(inside: Inside) -> None:
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT))
    root = await root_keys(inside)
    assert await denied(inside, root, role_arn) == "Roles may not be assumed by root accounts."


CONDITIONS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "external ID",
        {"StringEquals": {"sts:ExternalId": "secret-42"}},
        {"ExternalId": "secret-42"},
        {"ExternalId": "secret-43"},
    ),
    ("external ID missing", {"StringEquals": {"sts:ExternalId": "a1"}}, {"ExternalId": "a1"}, {}),
    (
        "session name",
        {"StringLike": {"sts:RoleSessionName": "${aws:username}*"}},
        {"RoleSessionName": "admin-1"},
        {"RoleSessionName": "someone"},
    ),
    (
        "source identity",
        {"StringEquals": {"sts:SourceIdentity": "alice"}},
        {"SourceIdentity": "alice"},
        {"SourceIdentity": "mallory"},
    ),
    (
        "tag value",
        {"StringEquals": {"aws:RequestTag/Team": ["red", "blue"]}},
        {"Tags": [{"Key": "Team", "Value": "blue"}]},
        {"Tags": [{"Key": "Team", "Value": "green"}]},
    ),
    (
        "tag keys",
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]}},
        {"Tags": [{"Key": "Team", "Value": "x"}]},
        {"Tags": [{"Key": "Team", "Value": "x"}, {"Key": "Cost", "Value": "x"}]},
    ),
    (
        "transitive keys",
        {"ForAnyValue:StringEquals": {"sts:TransitiveTagKeys": "Team"}},
        {"Tags": [{"Key": "Team", "Value": "x"}], "TransitiveTagKeys": ["Team"]},
        {"Tags": [{"Key": "Team", "Value": "x"}]},
    ),
    (
        "the role's own tag",
        {"StringEquals": {"aws:ResourceTag/Open": "yes", "sts:RoleSessionName": "me"}},
        {},
        {"RoleSessionName": "you"},
    ),
]


@pytest.mark.parametrize(
    ("conditions", "given", "wrong"),
    [case[1:] for case in CONDITIONS],
    ids=[case[0] for case in CONDITIONS],
)
async def test_a_role_is_trusted_on_conditions(
    inside: Inside, conditions: dict[str, Any], given: dict[str, Any], wrong: dict[str, Any]
) -> None:
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    role_arn = await inside.role(
        ACCOUNT, "Work", trust(ROOT, actions, **conditions), tags={"Open": "yes"}
    )
    assert await assume(inside, ADMIN, role_arn, **given)
    assert "sts:" in await denied(inside, ADMIN, role_arn, **wrong)


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("sts:TagSession", {"Tags": [{"Key": "Team", "Value": "x"}]}),
        ("sts:SetSourceIdentity", {"SourceIdentity": "alice"}),
    ],
)
async def test_tags_and_source_identity_need_to_be_trusted_too(
    inside: Inside, action: str, params: dict[str, Any]
) -> None:
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT))
    assert await assume(inside, ADMIN, role_arn)
    message = await denied(inside, ADMIN, role_arn, **params)
    assert message.startswith(
        f"User: {user_arn('admin')} is not authorized to perform: {action} on resource: {role_arn}"
    )


@pytest.mark.parametrize(
    ("max_session_s", "asked_s", "error"),
    [
        (3600, None, None),
        (3600, 900, None),
        (3600, 3601, "The requested DurationSeconds exceeds the MaxSessionDuration set for this"),
        (43200, 43200, None),
        (43200, 43201, "Member must have value less than or equal to 43200"),
        (3600, 899, "Member must have value greater than or equal to 900"),
    ],
)
async def test_a_session_lasts_no_longer_than_its_role_lets_it(
    inside: Inside, max_session_s: int, asked_s: int | None, error: str | None
) -> None:
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT), max_session_s=max_session_s)
    given = {} if asked_s is None else {"DurationSeconds": asked_s}
    request = {"RoleArn": role_arn, "RoleSessionName": "me"} | given
    if error is not None:
        code, message = await refusal(inside, ADMIN, "sts:AssumeRole", **request)
        assert code == "ValidationError"
        assert error in message
        return
    answer = await assume(inside, ADMIN, role_arn, **given)
    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    asked = timedelta(seconds=asked_s or 3600)
    assert asked - timedelta(seconds=60) < left <= asked


async def test_a_chain_of_roles_lasts_an_hour_at_most(inside: Inside) -> None:
    first = await inside.role(ACCOUNT, "First", trust(ROOT), CHAINING)
    second = await inside.role(ACCOUNT, "Second", trust(first), CHAINING, max_session_s=43200)
    keys = Keys.answered(await assume(inside, ADMIN, first))
    chained = await assume(inside, keys, second, RoleSessionName="again")
    assert chained["AssumedRoleUser"]["Arn"].endswith(":assumed-role/Second/again")
    assert await inside.client(Keys.answered(chained)).ask("bedrock", "ListFoundationModels")
    for keys_of_session in (keys, await session_of_admin(inside)):
        code, message = await refusal(
            inside,
            keys_of_session,
            "sts:AssumeRole",
            RoleArn=first if keys_of_session is not keys else second,
            RoleSessionName="again",
            DurationSeconds=3601,
        )
        assert (code, message) == (
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining.",
        )


async def test_transitive_tags_go_through_a_chain_and_others_do_not(inside: Inside) -> None:
    actions = ["sts:AssumeRole", "sts:TagSession"]
    by_tag = document(
        allow("sts:*"),
        allow(LIST, Condition={"StringEquals": {"aws:PrincipalTag/Team": "red"}}),
        allow(
            "bedrock:GetFoundationModel",
            Condition={"StringEquals": {"aws:PrincipalTag/Cost": "low"}},
        ),
    )
    first = await inside.role(ACCOUNT, "First", trust(ROOT, actions), by_tag)
    second = await inside.role(ACCOUNT, "Second", trust(first, actions), by_tag)
    tags = [{"Key": "Team", "Value": "red"}, {"Key": "Cost", "Value": "low"}]
    one = Keys.answered(await assume(inside, ADMIN, first, Tags=tags, TransitiveTagKeys=["Team"]))
    two = Keys.answered(await assume(inside, one, second))
    model = {"modelIdentifier": "anthropic.claude-v2"}
    for keys in (one, two):
        assert await inside.client(keys).ask("bedrock", "ListFoundationModels")
    assert await inside.client(one).ask("bedrock", "GetFoundationModel", **model)
    assert (await refusal(inside, two, "bedrock:GetFoundationModel", **model))[0] == (
        "AccessDeniedException"
    )
    given = {"RoleArn": second, "RoleSessionName": "me", "Tags": [{"Key": "tEAM", "Value": "blue"}]}
    assert await refusal(inside, one, "sts:AssumeRole", **given) == next(
        (row["code"], row["message"])
        for row in recorded()
        if row["key"] == "/override-transitive-tag-error"
    )
    # A role that does not trust tags cannot be next in the chain.
    third = await inside.role(ACCOUNT, "Third", trust(first), by_tag)
    assert "sts:TagSession" in await denied(inside, one, third)


async def test_a_source_identity_stays_through_a_chain(inside: Inside) -> None:
    actions = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    by_identity = document(
        allow("sts:*"), allow(LIST, Condition={"StringEquals": {"aws:SourceIdentity": "alice"}})
    )
    first = await inside.role(ACCOUNT, "First", trust(ROOT, actions), by_identity)
    second = await inside.role(ACCOUNT, "Second", trust(first, actions), by_identity)
    answer = await assume(inside, ADMIN, first, SourceIdentity="alice")
    assert answer["SourceIdentity"] == "alice"
    one = Keys.answered(answer)
    chained = await assume(inside, one, second)
    assert chained["SourceIdentity"] == "alice"
    assert await inside.client(Keys.answered(chained)).ask("bedrock", "ListFoundationModels")
    assert "cannot be changed" in await denied(inside, one, second, SourceIdentity="bob")
    assert (await assume(inside, one, second, SourceIdentity="alice"))["SourceIdentity"] == "alice"
    third = await inside.role(ACCOUNT, "Third", trust(first), by_identity)
    assert "sts:SetSourceIdentity" in await denied(inside, one, third)


async def test_a_session_policy_narrows_and_never_widens(inside: Inside) -> None:
    permissions = document(allow([LIST, "bedrock:GetFoundationModel"]))
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT), permissions)
    narrow = await assume(inside, ADMIN, role_arn, Policy=document(allow([LIST, "iam:ListRoles"])))
    assert 0 < narrow["PackedPolicySize"] <= 100
    client = inside.client(Keys.answered(narrow))
    assert await client.ask("bedrock", "ListFoundationModels")
    code, message = await refusal(
        inside, client.keys, "bedrock:GetFoundationModel", modelIdentifier="anthropic.claude-v2"
    )
    assert code == "AccessDeniedException"
    assert message.endswith(
        "because no session policy allows the bedrock:GetFoundationModel action"
    )
    message = (await refusal(inside, client.keys, "iam:ListRoles"))[1]
    assert message.endswith("because no identity-based policy allows the iam:ListRoles action")
    by_arn = await assume(
        inside,
        ADMIN,
        role_arn,
        PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"}],
    )
    assert await inside.client(Keys.answered(by_arn)).ask("bedrock", "ListFoundationModels")
    assert "PackedPolicySize" not in await assume(inside, ADMIN, role_arn)


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no JSON", {"Policy": "{"}, "MalformedPolicyDocument", ""),
    (
        "a principal",
        {"Policy": trust(ROOT)},
        "MalformedPolicyDocument",
        "Policy document should not specify a principal.",
    ),
    (
        "too long",
        {"Policy": document(allow("a:" + "b" * 2048))},
        "ValidationError",
        "Member must have length less than or equal to 2048",
    ),
    (
        "too many ARNs",
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}] * 11},
        "ValidationError",
        "Member must have length less than or equal to 10",
    ),
    (
        "an ARN of nothing",
        {"PolicyArns": [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/Missing"}]},
        "ValidationError",
        "does not exist or is not attachable",
    ),
    (
        "the same tag twice",
        {"Tags": [{"Key": "Team", "Value": "x"}, {"Key": "team", "Value": "y"}]},
        "InvalidParameterValue",
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
    ),
    (
        "a tag of AWS's own",
        {"Tags": [{"Key": "AWS:cloudformation:stack-name", "Value": "x"}]},
        "InvalidParameterValue",
        "not allowed to mutate system tags",
    ),
    (
        "a transitive tag that is not there",
        {"Tags": [{"Key": "Team", "Value": "x"}], "TransitiveTagKeys": ["Cost"]},
        "InvalidParameterValue",
        "The specified transitive tag key must be included in the requested tags.",
    ),
    (
        "more than fits a token",
        {
            "Tags": [
                {"Key": secrets.token_hex(60), "Value": secrets.token_hex(120)} for _ in range(50)
            ]
        },
        "PackedPolicyTooLarge",
        "% of allotted space, please use smaller policy.",
    ),
    (
        "MFA",
        {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/admin", "TokenCode": "123456"},
        "AccessDenied",
        "MultiFactorAuthentication failed",
    ),
    (
        "contexts of an identity provider",
        {"ProvidedContexts": [{"ProviderArn": ROOT, "ContextAssertion": "assertion"}]},
        "NotImplemented",
        "ProvidedContexts",
    ),
]


@pytest.mark.parametrize(
    ("params", "code", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_what_a_session_cannot_be_given_is_refused(
    inside: Inside, params: dict[str, Any], code: str, text: str
) -> None:
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT, ["sts:AssumeRole", "sts:TagSession"]))
    request = {"RoleArn": role_arn, "RoleSessionName": "me"} | params
    told = await refusal(inside, ADMIN, "sts:AssumeRole", **request)
    assert told[0] == code
    assert text in told[1]


def recorded() -> list[dict[str, Any]]:
    lines = RECORDED.read_bytes().splitlines()
    return [row for row in map(msgspec.json.decode, lines) if row["service"] == "sts"]


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("/malformed-arn", {"RoleArn": "nothing-valid-in-here"}),
        ("/no-partition", {"RoleArn": "arn::b:::something/test-role"}),
        ("/no-service", {"RoleArn": "arn:a::::something/test-role"}),
        ("/no-resource", {"RoleArn": "arn:a:a::aaaaaaaaaa:"}),
        ("/invalid-session-name", {"RoleSessionName": "Session1:2"}),
    ],
)
async def test_refusals_are_those_recorded(
    inside: Inside, key: str, params: dict[str, Any]
) -> None:
    request = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/Work", "RoleSessionName": "me"} | params
    expected = next((row["code"], row["message"]) for row in recorded() if row["key"] == key)
    assert await refusal(inside, ADMIN, "sts:AssumeRole", **request) == expected


async def test_a_token_is_as_long_as_asked_for_and_its_length_is_told(inside: Inside) -> None:
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT))
    for asked in (0, 2000, 4096):
        answer = await assume(inside, ADMIN, role_arn, MinimumSessionTokenSize=asked)
        size = len(answer["Credentials"]["SessionToken"])
        assert answer["SessionTokenSize"] == size >= asked
        assert answer["SessionTokenUtilization"] == -(-100 * size // 4096)
        assert await inside.client(Keys.answered(answer)).ask("sts", "GetCallerIdentity")
