"""Roles that a service acts with: who may pass them, and for which resource they are assumed."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.authorization.access import Access
from outcrop.errors import AuthorizationDenied, ValidationException
from outcrop.services.service_roles import (
    BEDROCK,
    RoleInUse,
    RoleNotAssumable,
    ServiceRole,
    act,
    assume,
    pass_role,
)
from outcrop.stores.iam_records import RoleRecord

JOB = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-customization-job/amazon.titan-text/abc123"
AGENT = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:agent/AGENT12345"
KNOWLEDGE_BASE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:knowledge-base/KB12345678"
SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"


def trust(conditions: dict[str, dict[str, Any]] | None = None, service: str = BEDROCK) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return document(statement | ({"Condition": conditions} if conditions else {}))


async def is_assumed(
    inside: Inside, role_arn: str, source_arn: str, service: str = BEDROCK
) -> bool:
    role = ServiceRole(role_arn, source_arn, service)
    try:
        caller = await assume(inside.deployment.state.stores, role, datetime.now(UTC))
    except RoleNotAssumable:
        return False
    assert caller.principal.role_arn == role_arn
    return True


async def test_what_is_performed_as_the_role_its_own_policies_decide(inside: Inside) -> None:
    role_arn = await inside.role(
        ACCOUNT, "Job", trust(), document(allow("bedrock:ListFoundationModels")), path="/jobs/"
    )
    call = inside.call(inside.caller(ADMIN))
    role = await pass_role(call, role_arn, source_arn=JOB)
    assert role == ServiceRole(role_arn, JOB, BEDROCK)
    caller = await assume(call.stores, role, call.now)
    assert caller.arn == (
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Job/bedrock-model-customization-job-"
        "amazon.titan-text-abc123"
    )
    assert caller.session is not None
    assert (caller.session.service, caller.proof) == (BEDROCK, "service")
    acting = act(call, caller)
    assert (await acting.perform("bedrock", "ListFoundationModels", {}))["modelSummaries"]
    identifier = {"modelIdentifier": "anthropic.claude-v2"}
    with pytest.raises(AuthorizationDenied) as caught:
        await acting.perform("bedrock", "GetFoundationModel", identifier)
    assert caught.value.message.startswith(
        f"User: {caller.arn} is not authorized to perform: bedrock:GetFoundationModel"
    )
    # The administrator who passed the role may, and could not lend it that.
    assert await call.perform("bedrock", "GetFoundationModel", identifier)
    assert not await acting.may(Access("s3:GetObject", "arn:aws:s3:::data/train.jsonl"))


@pytest.mark.parametrize(
    ("grant", "passes"),
    [
        (allow("iam:PassRole", "ROLE"), True),
        (allow("iam:PassRole"), True),
        (allow("iam:*"), True),
        (allow("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Other"), False),
        (allow(["iam:GetRole", "sts:AssumeRole"], "ROLE"), False),
        (
            allow(
                "iam:PassRole",
                "ROLE",
                Condition={"StringEquals": {"iam:PassedToService": BEDROCK}},
            ),
            True,
        ),
        (
            allow(
                "iam:PassRole",
                "ROLE",
                Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
            ),
            False,
        ),
        (
            allow(
                "iam:PassRole",
                "ROLE",
                Condition={"ArnLike": {"iam:AssociatedResourceArn": JOB}},
            ),
            True,
        ),
        (
            allow(
                "iam:PassRole",
                "ROLE",
                Condition={"ArnLike": {"iam:AssociatedResourceArn": AGENT}},
            ),
            False,
        ),
    ],
)
async def test_passing_a_role_needs_the_permission_to(
    inside: Inside, grant: dict[str, Any], passes: bool
) -> None:
    role_arn = await inside.role(ACCOUNT, "Job", trust())
    policy = document(grant).replace('"ROLE"', f'"{role_arn}"')
    keys = await inside.user(ACCOUNT, "mary", policy)
    call = inside.call(inside.caller(keys))
    if passes:
        assert (await pass_role(call, role_arn, source_arn=JOB)).arn == role_arn
        return
    with pytest.raises(AuthorizationDenied) as caught:
        await pass_role(call, role_arn, source_arn=JOB)
    assert caught.value.message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/mary is not authorized to perform: iam:PassRole on "
        f"resource: {role_arn} because no identity-based policy allows the iam:PassRole action"
    )


async def test_an_explicit_deny_of_pass_role_is_told(inside: Inside) -> None:
    role_arn = await inside.role(ACCOUNT, "Job", trust())
    deny = {"Effect": "Deny", "Action": "iam:PassRole", "Resource": "*"}
    keys = await inside.user(ACCOUNT, "mary", document(allow("*"), deny))
    with pytest.raises(AuthorizationDenied, match="with an explicit deny in an identity-based"):
        await pass_role(inside.call(inside.caller(keys)), role_arn, source_arn=JOB)


async def test_a_role_of_another_account_cannot_be_passed(inside: Inside) -> None:
    """Not even one that trusts this very account's job, or everyone."""
    conditions = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    call = inside.call(inside.caller(ADMIN))
    for name, policy in (("One", trust(conditions)), ("Two", trust())):
        role_arn = await inside.role(OTHER, name, policy)
        with pytest.raises(ValidationException, match="Cross-account pass role is not allowed"):
            await pass_role(call, role_arn, source_arn=JOB)
        assert not await is_assumed(inside, role_arn, JOB)
        assert await is_assumed(inside, role_arn, JOB.replace(ACCOUNT, OTHER)) == (name == "Two")


@pytest.mark.parametrize(
    "role_arn", [f"arn:aws:iam::{ACCOUNT}:role/Missing", "nonsense", "", "arn:aws:iam:::role/x"]
)
async def test_a_role_that_is_not_there_cannot_be_passed(inside: Inside, role_arn: str) -> None:
    call = inside.call(inside.caller(ADMIN))
    with pytest.raises(ValidationException, match="Could not assume provided IAM role"):
        await pass_role(call, role_arn, source_arn=JOB)
    with pytest.raises(ValidationException, match="of its own"):
        await pass_role(call, role_arn, source_arn=JOB, not_assumable="Words of its own.")


TRUSTING: list[tuple[str, dict[str, Any] | None, str, bool]] = [
    ("any source", None, JOB, True),
    ("this account", {"StringEquals": {"aws:SourceAccount": ACCOUNT}}, JOB, True),
    ("another account", {"StringEquals": {"aws:SourceAccount": OTHER}}, JOB, False),
    ("key in any case", {"StringEquals": {"AWS:sourceACCOUNT": ACCOUNT}}, JOB, True),
    ("this job", {"ArnEquals": {"aws:SourceArn": JOB}}, JOB, True),
    ("another job", {"ArnEquals": {"aws:SourceArn": JOB}}, JOB[:-1] + "4", False),
    ("a job whose name goes on", {"ArnEquals": {"aws:SourceArn": JOB}}, JOB + "x", False),
    ("one agent", {"ArnLike": {"aws:SourceArn": AGENT}}, AGENT, True),
    ("another agent", {"ArnLike": {"aws:SourceArn": AGENT}}, AGENT[:-1] + "6", False),
    ("agent and knowledge base", {"ArnLike": {"aws:SourceArn": AGENT}}, KNOWLEDGE_BASE, False),
    (
        "one knowledge base",
        {"ArnEquals": {"aws:SourceArn": KNOWLEDGE_BASE}},
        KNOWLEDGE_BASE,
        True,
    ),
    (
        "wildcard for unknown parts",
        {"ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:*:{ACCOUNT}:*"}},
        AGENT,
        True,
    ),
    (
        "wildcard of another account",
        {"ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:*:{OTHER}:*"}},
        AGENT,
        False,
    ),
    (
        "wildcard in place of account",
        {"ArnLike": {"aws:SourceArn": "arn:aws:bedrock:*:*:agent/*"}},
        AGENT,
        True,
    ),
    (
        "another region",
        {"ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:*"}},
        AGENT,
        False,
    ),
    ("asterisk as text", {"StringEquals": {"aws:SourceArn": f"{AGENT[:-10]}*"}}, AGENT, False),
    (
        "account of two",
        {"StringEquals": {"aws:SourceAccount": [OTHER, ACCOUNT]}},
        AGENT,
        True,
    ),
    (
        "ARN without account, account beside it",
        {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"},
        },
        AGENT,
        False,
    ),
    ("an external ID", {"StringEquals": {"sts:ExternalId": "x"}}, AGENT, False),
    ("a user's MFA", {"Bool": {"aws:MultiFactorAuthPresent": "true"}}, AGENT, False),
    ("only services", {"Bool": {"aws:PrincipalIsAWSService": "true"}}, AGENT, True),
]


@pytest.mark.parametrize(
    ("conditions", "source_arn", "assumed"),
    [case[1:] for case in TRUSTING],
    ids=[case[0] for case in TRUSTING],
)
async def test_the_confused_deputy_does_not_pass(
    inside: Inside, conditions: dict[str, Any] | None, source_arn: str, assumed: bool
) -> None:
    role_arn = await inside.role(ACCOUNT, "Job", trust(conditions))
    assert await is_assumed(inside, role_arn, source_arn) == assumed
    call = inside.call(inside.caller(ADMIN))
    if assumed:
        assert await pass_role(call, role_arn, source_arn=source_arn)
    else:
        with pytest.raises(ValidationException, match="Could not assume provided IAM role"):
            await pass_role(call, role_arn, source_arn=source_arn)


@pytest.mark.parametrize(
    ("policy", "assumed"),
    [
        (trust(service="lambda.amazonaws.com"), False),
        (trust(service="bedrock.amazonaws.com.evil.example"), False),
        (trust().replace("sts:AssumeRole", "sts:TagSession"), False),
        (trust().replace("Service", "AWS").replace(BEDROCK, f"arn:aws:iam::{ACCOUNT}:root"), False),
        (
            document(
                *json.loads(trust())["Statement"],
                {"Effect": "Deny", "Principal": {"Service": BEDROCK}, "Action": "sts:AssumeRole"},
            ),
            False,
        ),
    ],
)
async def test_a_role_trusts_whom_it_names(inside: Inside, policy: str, assumed: bool) -> None:
    role_arn = await inside.role(ACCOUNT, "Job", policy)
    assert await is_assumed(inside, role_arn, JOB) == assumed


async def test_a_role_for_another_service_is_none_for_this_one(inside: Inside) -> None:
    role_arn = await inside.role(ACCOUNT, "Job", trust(service="lambda.amazonaws.com"))
    assert await is_assumed(inside, role_arn, JOB, "lambda.amazonaws.com")
    assert not await is_assumed(inside, role_arn, JOB)


SEEDS = [
    ("RUN-097", "model-customization-job/amazon.titan-text/abc123"),
    ("RUN-143", "knowledge-base/KB12345678"),
    ("RUN-153", "agent/AGENT12345"),
    ("RUN-184", "model-customization-job/amazon.titan-text/abc123"),
    ("RUN-195", "model-customization-job/amazon.titan-text/abc123"),
]


@pytest.mark.parametrize(("name", "resource"), SEEDS)
async def test_trust_policies_of_the_documents(inside: Inside, name: str, resource: str) -> None:
    """With their placeholders filled in, each trusts its resources and no others."""
    text = (SEED / f"{name}.json").read_text(encoding="utf-8")
    for placeholder, value in (
        ("111122223333", ACCOUNT),
        ("account-id", ACCOUNT),
        (":region:", ":us-east-1:"),
    ):
        text = text.replace(placeholder, value)
    role_arn = await inside.role(ACCOUNT, "Job", text)
    source_arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:{resource}"
    assert await is_assumed(inside, role_arn, source_arn)
    kind = resource.partition("/")[0]
    for stranger in (
        source_arn.replace(ACCOUNT, OTHER),
        source_arn.replace("us-east-1", "us-west-2"),
        source_arn.replace(kind, "flow"),
        source_arn.replace(kind, f"{kind}s"),
        source_arn.replace(":bedrock:", ":sagemaker:"),
    ):
        assert not await is_assumed(inside, role_arn, stranger)
    one_only = text.replace(f"{kind}/*", resource)
    await inside.role(ACCOUNT, "One", one_only)
    one_arn = role_arn.replace("/Job", "/One")
    assert await is_assumed(inside, one_arn, source_arn)
    assert not await is_assumed(inside, one_arn, source_arn + "0")


async def test_the_broken_example_of_the_documents_is_refused_and_works_when_mended(
    inside: Inside,
) -> None:
    text = (SEED / "RUN-192.json").read_text(encoding="utf-8").replace("111122223333", ACCOUNT)
    client = inside.client(ADMIN)
    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        await client.ask("iam", "CreateRole", RoleName="Job", AssumeRolePolicyDocument=text)
    head, _, tail = text.rpartition("}\n]")
    mended = f"{head}]{tail}"
    role = await client.ask("iam", "CreateRole", RoleName="Job", AssumeRolePolicyDocument=mended)
    assert await is_assumed(inside, role["Role"]["Arn"], JOB)
    assert not await is_assumed(inside, role["Role"]["Arn"], AGENT)


async def test_a_job_renews_its_session_as_long_as_it_is_trusted(inside: Inside) -> None:
    role_arn = await inside.role(ACCOUNT, "Job", trust())
    stores = inside.deployment.state.stores
    role = RoleInUse(stores, ServiceRole(role_arn, JOB))
    start = datetime.now(UTC)
    first = await role.caller(start)
    assert await role.caller(start + timedelta(minutes=50)) is first
    second = await role.caller(start + timedelta(minutes=56))
    assert second.key_id != first.key_id
    ends_at = second.session_expires_at
    assert ends_at is not None
    assert ends_at > start + timedelta(hours=1, minutes=50)
    item = stores.directory.find_role_arn(role_arn)
    assert item is not None
    distrusting = msgspec.structs.replace(item.record, trust=trust(service="ec2.amazonaws.com"))
    await inside.change(replace(item, record=distrusting))
    assert await role.caller(start + timedelta(minutes=57)) is second
    with pytest.raises(RoleNotAssumable, match="does not trust"):
        await role.caller(start + timedelta(hours=3))


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, False),
        ({"Null": {"aws:SourceIp": "true"}}, True),
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, False),
        ({"StringLike": {"aws:UserAgent": "secret-browser*"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:ViaAWSService": "true"}}, False),
        ({"Null": {"aws:MultiFactorAuthPresent": "true"}}, True),
        ({"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}, True),
        ({"StringEquals": {"aws:PrincipalType": "AssumedRole"}}, True),
    ],
)
async def test_conditions_see_the_service_and_not_who_began_it(
    inside: Inside, condition: dict[str, Any], allowed: bool
) -> None:
    policy = document(allow("bedrock:ListFoundationModels", Condition=condition))
    role_arn = await inside.role(ACCOUNT, "Job", trust(), policy)
    role = RoleInUse(inside.deployment.state.stores, ServiceRole(role_arn, JOB))
    begun = inside.call(inside.caller(ADMIN))
    headers = (*begun.request.headers, ("user-agent", "secret-browser/1"))
    request = replace(begun.request, headers=headers, endpoint="vpce-1")
    call = await role.call(replace(begun, request=request), begun.now)
    assert await call.may(Access("bedrock:ListFoundationModels")) == allowed


async def test_only_service_roles_act_so(inside: Inside) -> None:
    caller = inside.caller(ADMIN)
    with pytest.raises(ValueError, match="is no service role"):
        act(inside.call(caller), caller)


async def test_a_changed_or_deleted_role_takes_effect_on_the_next_call(inside: Inside) -> None:
    policy = document(allow("bedrock:ListFoundationModels"))
    role_arn = await inside.role(ACCOUNT, "Job", trust(), policy)
    stores = inside.deployment.state.stores
    role = RoleInUse(stores, ServiceRole(role_arn, JOB))
    call = await role.call(inside.call(inside.caller(ADMIN)), datetime.now(UTC))
    assert await call.perform("bedrock", "ListFoundationModels", {})
    item = stores.directory.find_role_arn(role_arn)
    assert item is not None
    await inside.change(replace(item, record=msgspec.structs.replace(item.record, inline={})))
    with pytest.raises(AuthorizationDenied):
        await call.perform("bedrock", "ListFoundationModels", {})
    await inside.change(item)
    assert await call.perform("bedrock", "ListFoundationModels", {})
    await inside.remove(RoleRecord, ACCOUNT, "Job")
    with pytest.raises(AuthorizationDenied):
        await call.perform("bedrock", "ListFoundationModels", {})
    # Another role of the same name is another role.
    await inside.role(ACCOUNT, "Job", trust(), policy)
    with pytest.raises(AuthorizationDenied):
        await call.perform("bedrock", "ListFoundationModels", {})
