"""Users as boto3 sees them: made, read, renamed, tagged, bounded, granted to, deleted."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from iam_people import (
    arn,
    client_of,
    document,
    group_of,
    refusal,
    remove_user,
    unique,
    user_of,
)
from running_gateways import Gateway

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def test_a_user_is_made_with_path_tags_and_boundary(iam: Any) -> None:
    tags = [{"Key": "team", "Value": "research"}]
    with user_of(iam, Path="/people/", Tags=tags, PermissionsBoundary=READ_ONLY) as name:
        found = iam.get_user(UserName=name)["User"]
        assert found["Arn"] == arn("user", f"people/{name}")
        assert found["Tags"] == tags
        assert found["PermissionsBoundary"] == {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": READ_ONLY,
        }
        assert found["UserId"].startswith("AIDA")
        assert len(found["UserId"]) == 21
        listed = iam.list_users(PathPrefix="/people/")["Users"]
        assert [set(each) for each in listed] == [
            {"Path", "UserName", "UserId", "Arn", "CreateDate"}
        ]


def test_get_user_without_a_name_is_the_caller(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    assert iam.get_user()["User"]["UserName"] == "admin"
    iam.put_user_policy(
        UserName=user,
        PolicyName="self",
        PolicyDocument=document("iam:GetUser", resource=arn("user", "${aws:username}")),
    )
    caller = client_of(scripted_gateway, iam, user)
    assert caller.get_user()["User"]["UserName"] == user


def test_names_are_taken_whatever_their_case(iam: Any, user: str) -> None:
    with pytest.raises(ClientError) as caught:
        iam.create_user(UserName=user.upper())
    message = f"User with name {user.upper()} already exists."
    assert refusal(caught.value) == (409, "EntityAlreadyExists", message)


def test_of_twenty_who_make_one_user_one_succeeds(iam: Any) -> None:
    name = unique("user")

    def create(_: int) -> str:
        try:
            iam.create_user(UserName=name)
        except iam.exceptions.EntityAlreadyExistsException:
            return "taken"
        return "made"

    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(create, range(20)))
    remove_user(iam, name)
    assert sorted(results) == ["made"] + ["taken"] * 19


def test_a_renamed_user_keeps_its_id_keys_and_policies(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document("iam:ListUsers"))
    before = iam.get_user(UserName=user)["User"]
    caller = client_of(scripted_gateway, iam, user)
    caller.list_users()
    name = unique("renamed")
    iam.update_user(UserName=user, NewUserName=name, NewPath="/moved/")
    try:
        found = iam.get_user(UserName=name)["User"]
        assert (found["UserId"], found["Path"]) == (before["UserId"], "/moved/")
        assert found["Arn"] == arn("user", f"moved/{name}")
        caller.list_users()
        with pytest.raises(ClientError) as caught:
            caller.list_groups()
        assert f"User: {found['Arn']} is not authorized" in str(caught.value)
        with pytest.raises(iam.exceptions.NoSuchEntityException):
            iam.get_user(UserName=user)
    finally:
        iam.update_user(UserName=name, NewUserName=user)


def test_tags_are_put_replaced_and_taken_away(iam: Any, user: str) -> None:
    iam.tag_user(UserName=user, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    iam.tag_user(UserName=user, Tags=[{"Key": "A", "Value": "3"}])
    iam.untag_user(UserName=user, TagKeys=["b", "absent"])
    assert iam.list_user_tags(UserName=user)["Tags"] == [{"Key": "A", "Value": "3"}]


def test_a_user_has_fifty_tags_at_most(iam: Any, user: str) -> None:
    tags = [{"Key": f"k{index}", "Value": ""} for index in range(50)]
    iam.tag_user(UserName=user, Tags=tags)
    with pytest.raises(iam.exceptions.LimitExceededException):
        iam.tag_user(UserName=user, Tags=[{"Key": "one-more", "Value": ""}])
    assert iam.list_user_tags(UserName=user)["Tags"] == tags


def test_a_boundary_is_put_and_deleted(scripted_gateway: Gateway, iam: Any, user: str) -> None:
    iam.attach_user_policy(UserName=user, PolicyArn=ADMINISTRATOR)
    caller = client_of(scripted_gateway, iam, user)
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=READ_ONLY)
    with pytest.raises(ClientError, match="because no permissions boundary allows"):
        caller.create_user(UserName=unique("user"))
    iam.delete_user_permissions_boundary(UserName=user)
    assert "PermissionsBoundary" not in iam.get_user(UserName=user)["User"]
    caller.tag_user(UserName=user, Tags=[{"Key": "a", "Value": "b"}])


def test_an_inline_policy_is_put_read_listed_and_deleted(iam: Any, user: str) -> None:
    text = document("bedrock:InvokeModel")
    iam.put_user_policy(UserName=user, PolicyName="invoke", PolicyDocument=text)
    found = iam.get_user_policy(UserName=user, PolicyName="invoke")
    assert found["PolicyDocument"] == json.loads(text)
    assert iam.list_user_policies(UserName=user)["PolicyNames"] == ["invoke"]
    iam.delete_user_policy(UserName=user, PolicyName="invoke")
    for call in (iam.get_user_policy, iam.delete_user_policy):
        with pytest.raises(ClientError) as caught:
            call(UserName=user, PolicyName="invoke")
        message = "The user policy with name invoke cannot be found."
        assert refusal(caught.value) == (404, "NoSuchEntity", message)


def test_white_space_does_not_count_towards_the_size_of_inline_policies(
    iam: Any, user: str
) -> None:
    iam.put_user_policy(
        UserName=user, PolicyName="wide", PolicyDocument=document("a:b") + " " * 5000
    )
    long = document(*(f"bedrock:Action{index:04}" for index in range(100)))
    with pytest.raises(ClientError) as caught:
        iam.put_user_policy(UserName=user, PolicyName="long", PolicyDocument=long)
    message = f"Maximum policy size of 2048 bytes exceeded for user {user}"
    assert refusal(caught.value) == (409, "LimitExceeded", message)


def test_a_broken_document_is_refused(iam: Any, user: str) -> None:
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument='{"Version":')


def test_policies_are_attached_listed_by_path_and_detached(iam: Any, user: str) -> None:
    job = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"
    for policy in (READ_ONLY, job, READ_ONLY):
        iam.attach_user_policy(UserName=user, PolicyArn=policy)
    listed = iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
    assert [each["PolicyArn"] for each in listed] == [READ_ONLY, job]
    listed = iam.list_attached_user_policies(UserName=user, PathPrefix="/job-function/")
    assert listed["AttachedPolicies"] == [{"PolicyName": "ViewOnlyAccess", "PolicyArn": job}]
    iam.detach_user_policy(UserName=user, PolicyArn=job)
    with pytest.raises(ClientError) as caught:
        iam.detach_user_policy(UserName=user, PolicyArn=job)
    assert refusal(caught.value) == (404, "NoSuchEntity", f"Policy {job} was not found.")


def test_ten_policies_are_attached_at_most(iam: Any, user: str) -> None:
    made = [
        iam.create_policy(PolicyName=unique("policy"), PolicyDocument=document("a:b"))
        for _ in range(11)
    ]
    arns = [each["Policy"]["Arn"] for each in made]
    for each in arns[:10]:
        iam.attach_user_policy(UserName=user, PolicyArn=each)
    with pytest.raises(ClientError) as caught:
        iam.attach_user_policy(UserName=user, PolicyArn=arns[10])
    message = "Cannot exceed quota for PoliciesPerUser: 10"
    assert refusal(caught.value) == (409, "LimitExceeded", message)
    for each in arns[:10]:
        iam.detach_user_policy(UserName=user, PolicyArn=each)
    for each in arns:
        iam.delete_policy(PolicyArn=each)


OBSTACLES: dict[str, Callable[[Any, str], object]] = {
    "delete access keys": lambda iam, user: iam.create_access_key(UserName=user),
    "detach all policies": lambda iam, user: iam.attach_user_policy(
        UserName=user, PolicyArn=READ_ONLY
    ),
    "delete policies": lambda iam, user: iam.put_user_policy(
        UserName=user, PolicyName="p", PolicyDocument=document("a:b")
    ),
    "delete service specific credentials": lambda iam, user: iam.create_service_specific_credential(
        UserName=user, ServiceName="bedrock.amazonaws.com"
    ),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_a_user_with_something_hanging_on_it_is_not_deleted(
    obstacle: str, iam: Any, user: str
) -> None:
    OBSTACLES[obstacle](iam, user)
    with pytest.raises(ClientError) as caught:
        iam.delete_user(UserName=user)
    message = f"Cannot delete entity, must {obstacle} first."
    assert refusal(caught.value) == (409, "DeleteConflict", message)


def test_a_user_in_a_group_is_not_deleted(iam: Any, user: str) -> None:
    with group_of(iam) as group:
        iam.add_user_to_group(GroupName=group, UserName=user)
        with pytest.raises(iam.exceptions.DeleteConflictException, match="remove users from"):
            iam.delete_user(UserName=user)


def test_users_are_listed_a_page_at_a_time(iam: Any) -> None:
    with user_of(iam, Path="/paged/") as one, user_of(iam, Path="/paged/") as two:
        pages = list(
            iam.get_paginator("list_users").paginate(
                PathPrefix="/paged/", PaginationConfig={"PageSize": 1}
            )
        )
    assert [page["IsTruncated"] for page in pages] == [True, False]
    assert [page["Users"][0]["UserName"] for page in pages] == sorted([one, two])


def test_the_root_user_cannot_be_reached_by_name(iam: Any) -> None:
    for call in (iam.get_user, iam.delete_user, iam.list_access_keys):
        with pytest.raises(ClientError) as caught:
            call(UserName="root")
        message = "The user with name root cannot be found."
        assert refusal(caught.value) == (404, "NoSuchEntity", message)
    assert "root" not in {each["UserName"] for each in iam.list_users()["Users"]}


def test_nobody_has_a_second_factor_and_login_profiles_say_that_they_are_not_built(
    iam: Any, user: str
) -> None:
    assert iam.list_mfa_devices(UserName=user)["MFADevices"] == []
    with pytest.raises(ClientError) as caught:
        iam.create_login_profile(UserName=user, Password="x" * 20)
    assert refusal(caught.value)[:2] == (501, "NotImplemented")


def test_a_denied_caller_learns_which_action_on_which_resource(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    caller = client_of(scripted_gateway, iam, user)
    subject = f"User: {arn('user', user)} is not authorized to perform"
    asked: dict[Callable[[], object], str] = {
        lambda: caller.list_users(PathPrefix="/x/"): "iam:ListUsers on resource: "
        + arn("user", "x/"),
        lambda: caller.list_policies(): "iam:ListPolicies on resource: policy path /",
        lambda: caller.get_account_summary(): "iam:GetAccountSummary on resource: *",
        lambda: caller.create_user(UserName="new", Path="/p/"): "iam:CreateUser on resource: "
        + arn("user", "p/new"),
        lambda: caller.get_user(): f"iam:GetUser on resource: {arn('user', user)}",
    }
    for ask, what in asked.items():
        with pytest.raises(ClientError) as caught:
            ask()
        action = what.partition(" ")[0]
        assert refusal(caught.value) == (
            403,
            "AccessDenied",
            f"{subject}: {what} because no identity-based policy allows the {action} action",
        )


def test_conditions_on_tags_policies_and_boundaries_decide(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    """A delegated administrator: attaches one policy only, only to users of its team."""
    statement = {
        "Effect": "Allow",
        "Action": ["iam:AttachUserPolicy", "iam:DetachUserPolicy"],
        "Resource": "*",
        "Condition": {
            "ArnEquals": {"iam:PolicyARN": READ_ONLY},
            "StringEquals": {"iam:ResourceTag/team": "blue", "aws:ResourceTag/team": "blue"},
        },
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="delegated", PolicyDocument=text)
    caller = client_of(scripted_gateway, iam, user)
    blue, red = ([{"Key": "team", "Value": team}] for team in ("blue", "red"))
    with user_of(iam, Tags=blue, Path="/t/") as ours, user_of(iam, Tags=red) as theirs:
        caller.attach_user_policy(UserName=ours, PolicyArn=READ_ONLY)
        for other, policy in ((theirs, READ_ONLY), (ours, ADMINISTRATOR)):
            with pytest.raises(ClientError, match="AccessDenied"):
                caller.attach_user_policy(UserName=other, PolicyArn=policy)
