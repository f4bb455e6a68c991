"""What IAM's operations ask leave for: every one has its row, on the ARN with its path."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Inside, running_inside

from outcrop.authorization.access import Access, Asked
from outcrop.authorization.iam import RULES, find_facts
from outcrop.identity import Caller, Principal
from outcrop.services import handlers
from outcrop.services.operation import handled_operations
from outcrop.stores.iam_names import iam_arn
from outcrop.wire.spec import load_service

ACCOUNT = "123456789012"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside


def asked_in(inside: Inside, **params: Any) -> Asked:
    call = inside.call(inside.caller(ADMIN))
    return Asked(params, call.caller, call.region, call.catalog, call.request, call.stores.models)


def test_every_operation_that_answers_has_a_row_and_no_other_has_one() -> None:
    operations = load_service("iam").operations
    handlers.load("iam")
    handled = {name for service, name in handled_operations() if service == "iam"}
    answering = {each.name for each in operations.values() if each.handler_name in handled}
    assert set(RULES) == answering


CASES: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    (
        "CreateUser",
        {"UserName": "eve", "Path": "/p/"},
        [("iam:CreateUser", "user/p/eve")],
    ),
    (
        "UpdateUser",
        {"UserName": "ann", "NewUserName": "eve", "NewPath": "/q/"},
        [("iam:UpdateUser", "user/ann"), ("iam:UpdateUser", "user/q/eve")],
    ),
    ("UpdateUser", {"UserName": "ann"}, [("iam:UpdateUser", "user/ann")]),
    (
        "UpdateGroup",
        {"GroupName": "a", "NewGroupName": "b"},
        [("iam:UpdateGroup", "group/a"), ("iam:UpdateGroup", "group/b")],
    ),
    ("CreateAccessKey", {}, [("iam:CreateAccessKey", "user/admin")]),
    ("AddUserToGroup", {"GroupName": "g", "UserName": "u"}, [("iam:AddUserToGroup", "group/g")]),
    ("ListRoles", {"PathPrefix": "/service/"}, [("iam:ListRoles", "role/service/")]),
    ("ListUsers", {}, [("iam:ListUsers", "user/")]),
    (
        "CreatePolicy",
        {"PolicyName": "p", "Path": "/x/"},
        [("iam:CreatePolicy", "policy/x/p")],
    ),
]


@pytest.mark.parametrize(("operation", "params", "expected"), CASES)
async def test_an_operation_asks_for_its_action_on_its_resource(
    operation: str, params: dict[str, Any], expected: list[tuple[str, str]], inside: Inside
) -> None:
    accesses = RULES[operation](asked_in(inside, **params))
    prefix = f"arn:aws:iam::{ACCOUNT}:"
    assert [(access.action, access.resource) for access in accesses] == [
        (action, prefix + resource) for action, resource in expected
    ]


async def test_what_a_request_says_of_itself_is_in_its_condition_keys(inside: Inside) -> None:
    tags = [{"Key": "Team", "Value": "blue"}]
    (access,) = RULES["CreateRole"](
        asked_in(inside, RoleName="r", PermissionsBoundary=READ_ONLY, Tags=tags)
    )
    assert access.keys == {
        "iam:permissionsboundary": READ_ONLY,
        "aws:requesttag/team": "blue",
        "aws:tagkeys": ("Team",),
    }
    (access,) = RULES["UntagUser"](asked_in(inside, UserName="u", TagKeys=["a"]))
    assert access.keys == {"aws:tagkeys": ("a",)}
    (access,) = RULES["DetachGroupPolicy"](asked_in(inside, GroupName="g", PolicyArn=READ_ONLY))
    assert access.keys == {"iam:policyarn": READ_ONLY}


async def test_facts_have_the_path_the_tags_and_the_boundary(inside: Inside) -> None:
    stores = inside.deployment.state.stores
    await inside.role(ACCOUNT, "worker", "{}", path="/jobs/", tags={"Team": "blue"})
    bare = iam_arn(ACCOUNT, "role", "worker")
    facts = await find_facts(stores, Access("iam:PassRole", bare))
    assert facts is not None
    assert (facts.account, facts.resource) == (
        ACCOUNT,
        iam_arn(ACCOUNT, "role", "worker", "/jobs/"),
    )
    assert facts.tags == {"Team": "blue"}
    assert facts.keys == {"iam:resourcetag/team": "blue"}
    await inside.user(ACCOUNT, "ann", boundary=READ_ONLY)
    facts = await find_facts(stores, Access("iam:PutUserPolicy", iam_arn(ACCOUNT, "user", "ann")))
    assert facts is not None
    assert facts.keys == {"iam:permissionsboundary": READ_ONLY}


async def test_the_last_use_of_a_key_is_asked_for_on_its_user(inside: Inside) -> None:
    keys = await inside.user(ACCOUNT, "ann")
    stores = inside.deployment.state.stores
    (access,) = RULES["GetAccessKeyLastUsed"](asked_in(inside, AccessKeyId=keys.id))
    facts = await find_facts(stores, access)
    assert facts is not None
    assert facts.resource == iam_arn(ACCOUNT, "user", "ann")


@pytest.mark.parametrize(
    "arn",
    [
        "*",
        "arn:aws:s3:::bucket",
        "arn:aws:iam::aws:policy/ReadOnlyAccess",
        f"arn:aws:iam::{ACCOUNT}:user/nobody",
        f"arn:aws:iam::{ACCOUNT}:user/root",
        f"arn:aws:iam::{ACCOUNT}:access-key/AKIANONE",
        "arn:aws:iam::210987654321:user/admin",
        "arn:aws:iam::",
    ],
)
async def test_what_is_not_there_has_no_facts(arn: str, inside: Inside) -> None:
    assert await find_facts(inside.deployment.state.stores, Access("iam:GetUser", arn)) is None


async def test_the_callers_own_user_is_meant_where_none_is_named(inside: Inside) -> None:
    """Whoever is no user is named by its own ARN, which no policy on users covers."""
    session = Principal(
        ACCOUNT,
        "s",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s",
        "role",
        "AROA:s",
        f"arn:aws:iam::{ACCOUNT}:role/r",
    )
    asked = asked_in(inside)
    caller = Caller(session, "ASIA", "us-east-1", "header")
    other = Asked({}, caller, asked.region, asked.catalog, asked.request, asked.models)
    (access,) = RULES["GetUser"](other)
    assert access.resource == session.arn
