"""Roles and policies of several accounts and many callers: nobody sees another account's,
no write is lost beside another, and no text brings the service down."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import Client, Inside, running_inside
from running_gateways import ACCOUNT

OTHER = "999999999999"
EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)
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
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/shared"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as inside:
        yield inside


@pytest.fixture
async def ours(inside: Inside) -> Client:
    client = inside.client(await inside.user(ACCOUNT, "maker", EVERYTHING))
    await client.ask("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    await client.ask("iam", "CreatePolicy", PolicyName="shared", PolicyDocument=EVERYTHING)
    return client


@pytest.fixture
async def theirs(inside: Inside) -> Client:
    return inside.client(await inside.user(OTHER, "maker", EVERYTHING))


async def refused(client: Client, operation: str, **params: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        await client.ask("iam", operation, **params)
    answer: Any = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("GetRole", {"RoleName": "r"}),
        ("DeleteRole", {"RoleName": "r"}),
        ("TagRole", {"RoleName": "r", "Tags": [{"Key": "a", "Value": "b"}]}),
        ("PutRolePolicy", {"RoleName": "r", "PolicyName": "p", "PolicyDocument": EVERYTHING}),
        ("GetPolicy", {"PolicyArn": POLICY}),
        ("GetPolicyVersion", {"PolicyArn": POLICY, "VersionId": "v1"}),
        ("CreatePolicyVersion", {"PolicyArn": POLICY, "PolicyDocument": EVERYTHING}),
        ("DeletePolicy", {"PolicyArn": POLICY}),
        ("ListEntitiesForPolicy", {"PolicyArn": POLICY}),
        (
            "SimulatePrincipalPolicy",
            {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/r", "ActionNames": ["s3:GetObject"]},
        ),
    ],
)
async def test_another_account_reads_and_changes_nothing(
    ours: Client, theirs: Client, operation: str, params: dict[str, Any]
) -> None:
    status, code = await refused(theirs, operation, **params)
    assert (status, code) in ((404, "NoSuchEntity"), (403, "AccessDenied"))
    kept = await ours.ask("iam", "GetPolicy", PolicyArn=POLICY)
    assert kept["Policy"]["DefaultVersionId"] == "v1"
    assert (await ours.ask("iam", "ListRoleTags", RoleName="r"))["Tags"] == []


async def test_a_policy_of_another_account_is_not_attached(ours: Client, theirs: Client) -> None:
    await theirs.ask("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    attached = await refused(theirs, "AttachRolePolicy", RoleName="r", PolicyArn=POLICY)
    assert attached == (404, "NoSuchEntity")
    bound = await refused(
        theirs, "PutRolePermissionsBoundary", RoleName="r", PermissionsBoundary=POLICY
    )
    assert bound == (404, "NoSuchEntity")


async def test_lists_and_details_hold_one_account(ours: Client, theirs: Client) -> None:
    await theirs.ask("iam", "CreateRole", RoleName="theirs", AssumeRolePolicyDocument=TRUST)
    details = await theirs.ask("iam", "GetAccountAuthorizationDetails")
    assert [role["RoleName"] for role in details["RoleDetailList"]] == ["theirs"]
    assert [user["UserName"] for user in details["UserDetailList"]] == ["maker"]
    assert details["Policies"] == []
    listed = await theirs.ask("iam", "ListPolicies", Scope="Local")
    assert listed["Policies"] == []


async def test_writes_at_once_lose_nothing(ours: Client) -> None:
    names = [f"p{number}" for number in range(20)]
    await asyncio.gather(
        *(
            ours.ask(
                "iam", "PutRolePolicy", RoleName="r", PolicyName=name, PolicyDocument=EVERYTHING
            )
            for name in names
        ),
        *(
            ours.ask("iam", "TagRole", RoleName="r", Tags=[{"Key": name, "Value": ""}])
            for name in names
        ),
    )
    kept = await ours.ask("iam", "ListRolePolicies", RoleName="r")
    assert sorted(kept["PolicyNames"]) == sorted(names)
    tags = await ours.ask("iam", "ListRoleTags", RoleName="r")
    assert sorted(tag["Key"] for tag in tags["Tags"]) == sorted(names)


async def test_one_of_many_makers_of_a_name_wins(ours: Client) -> None:
    made = await asyncio.gather(
        *(
            ours.ask("iam", "CreatePolicy", PolicyName=name, PolicyDocument=EVERYTHING)
            for name in ("Same", "same", "SAME", "sAmE")
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(each, dict) for each in made) == 1
    refusals = [each for each in made if isinstance(each, ClientError)]
    codes: list[Any] = [refusal.response for refusal in refusals]
    assert {answer["Error"]["Code"] for answer in codes} == {"EntityAlreadyExists"}


async def test_five_versions_are_kept_however_many_come_at_once(ours: Client) -> None:
    made = await asyncio.gather(
        *(
            ours.ask("iam", "CreatePolicyVersion", PolicyArn=POLICY, PolicyDocument=EVERYTHING)
            for _ in range(10)
        ),
        return_exceptions=True,
    )
    names = [each["PolicyVersion"]["VersionId"] for each in made if isinstance(each, dict)]
    assert sorted(names) == ["v2", "v3", "v4", "v5"]


async def test_a_boundary_whose_policy_is_gone_allows_nothing(inside: Inside) -> None:
    """As when AWS takes back a policy that it manages."""
    gone = "arn:aws:iam::aws:policy/TakenBack"
    bound = inside.client(await inside.user(ACCOUNT, "bound", EVERYTHING, boundary=gone))
    assert await refused(bound, "ListRoles") == (403, "AccessDenied")
    free = inside.client(await inside.user(ACCOUNT, "free", EVERYTHING))
    simulated = await free.ask(
        "iam",
        "SimulatePrincipalPolicy",
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/bound",
        ActionNames=["iam:ListRoles"],
    )
    assert simulated["EvaluationResults"][0]["EvalDecision"] == "implicitDeny"


HOSTILE = [
    "",
    " ",
    "null",
    "[]",
    '"text"',
    "0",
    "{}",
    "{" * 5000,
    "[" * 100_000,
    '{"Version":"2012-10-17","Statement":' + "[" * 3000 + "]" * 3000 + "}",
    '{"Version":"2012-10-17","Statement":[]}',
    '{"Version":"2012-10-17","Statement":[{}]}',
    '{"Version":"2012-10-17","Statement":[null]}',
    '{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}',
    EVERYTHING + "x",
    EVERYTHING.replace('"*"', '"\\ud800"'),
    EVERYTHING.replace('"*"', '"' + "*" * 5000 + '"'),
    EVERYTHING.replace("Allow", "allow"),
    EVERYTHING.replace("2012-10-17", "9999-99-99"),
    EVERYTHING.replace("}]", ',"Condition":{"StringEquals":{"aws:x":{"y":1}}}}]'),
    EVERYTHING.replace("}]", ',"Condition":{"Regex":{"aws:x":"(a+)+$"}}}]'),
    "\ufeff" + EVERYTHING,
    "\x00" + EVERYTHING,
    "ÿ" * 1000,
    "x" * 131_073,
]


@pytest.mark.parametrize(
    ("operation", "params", "member"),
    [
        ("CreatePolicy", {"PolicyName": "bad"}, "PolicyDocument"),
        ("CreatePolicyVersion", {"PolicyArn": POLICY}, "PolicyDocument"),
        ("PutRolePolicy", {"RoleName": "r", "PolicyName": "bad"}, "PolicyDocument"),
        ("CreateRole", {"RoleName": "bad"}, "AssumeRolePolicyDocument"),
        ("UpdateAssumeRolePolicy", {"RoleName": "r"}, "PolicyDocument"),
        ("SimulateCustomPolicy", {"ActionNames": ["s3:GetObject"]}, "PolicyInputList"),
        ("GetContextKeysForCustomPolicy", {}, "PolicyInputList"),
    ],
)
async def test_what_is_no_policy_is_refused(
    ours: Client, operation: str, params: dict[str, Any], member: str
) -> None:
    for text in HOSTILE:
        document = [text] if member == "PolicyInputList" else text
        status, code = await refused(ours, operation, **params, **{member: document})
        assert (status, code) in (
            (400, "MalformedPolicyDocument"),
            (400, "ValidationError"),
            (400, "InvalidInput"),
            (409, "LimitExceeded"),
        ), text[:100]
    assert (await ours.ask("iam", "ListRolePolicies", RoleName="r"))["PolicyNames"] == []
