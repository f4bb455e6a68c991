"""Groups as boto3 sees them: their members have what the group has."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from iam_people import (
    client_of,
    document,
    refusal,
    remove_group,
    unique,
)
from running_gateways import Gateway

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def test_members_have_what_the_group_has_for_as_long_as_they_are_in_it(
    scripted_gateway: Gateway, iam: Any, user: str, group: str
) -> None:
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=document("iam:ListUsers"))
    caller = client_of(scripted_gateway, iam, user)
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.list_users()
    iam.add_user_to_group(GroupName=group, UserName=user)
    caller.list_users()
    iam.delete_group_policy(GroupName=group, PolicyName="p")
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.list_users()
    iam.attach_group_policy(GroupName=group, PolicyArn=READ_ONLY)
    caller.list_users()
    iam.remove_user_from_group(GroupName=group, UserName=user)
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.list_users()


def test_a_group_names_its_members_and_a_user_its_groups(iam: Any, user: str, group: str) -> None:
    for _ in range(2):
        iam.add_user_to_group(GroupName=group, UserName=user)
    found = iam.get_group(GroupName=group)
    assert [each["UserName"] for each in found["Users"]] == [user]
    assert found["Group"]["GroupId"].startswith("AGPA")
    assert iam.list_groups_for_user(UserName=user)["Groups"] == [found["Group"]]
    assert found["Group"] in iam.list_groups()["Groups"]


def test_a_renamed_group_keeps_its_members(iam: Any, user: str, group: str) -> None:
    iam.add_user_to_group(GroupName=group, UserName=user)
    name = unique("renamed")
    iam.update_group(GroupName=group, NewGroupName=name, NewPath="/g/")
    found = iam.get_group(GroupName=name)
    assert found["Group"]["Arn"].endswith(f":group/g/{name}")
    assert [each["UserName"] for each in found["Users"]] == [user]
    iam.update_group(GroupName=name, NewGroupName=group)


def test_a_group_with_something_hanging_on_it_is_not_deleted(
    iam: Any, user: str, group: str
) -> None:
    iam.attach_group_policy(GroupName=group, PolicyArn=READ_ONLY)
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=document("a:b"))
    iam.add_user_to_group(GroupName=group, UserName=user)
    messages: list[str] = []
    for step in (
        lambda: iam.detach_group_policy(GroupName=group, PolicyArn=READ_ONLY),
        lambda: iam.delete_group_policy(GroupName=group, PolicyName="p"),
        lambda: iam.remove_user_from_group(GroupName=group, UserName=user),
    ):
        with pytest.raises(iam.exceptions.DeleteConflictException) as caught:
            iam.delete_group(GroupName=group)
        messages.append(refusal(caught.value)[2])
        step()
    assert messages == [
        "Cannot delete entity, must detach all policies first.",
        "Cannot delete entity, must delete policies first.",
        "Cannot delete entity, must remove users from group first.",
    ]


def test_a_user_is_in_ten_groups_at_most(iam: Any, user: str) -> None:
    names = [unique("group") for _ in range(11)]
    for name in names:
        iam.create_group(GroupName=name)
    for name in names[:10]:
        iam.add_user_to_group(GroupName=name, UserName=user)
    with pytest.raises(ClientError) as caught:
        iam.add_user_to_group(GroupName=names[10], UserName=user)
    message = "Cannot exceed quota for GroupsPerUser: 10"
    assert refusal(caught.value) == (409, "LimitExceeded", message)
    for name in names:
        remove_group(iam, name)


def test_inline_policies_of_a_group_have_5120_characters_together(iam: Any, group: str) -> None:
    half = document(*(f"bedrock:Action{index:04}" for index in range(120)))
    iam.put_group_policy(GroupName=group, PolicyName="one", PolicyDocument=half)
    iam.put_group_policy(GroupName=group, PolicyName="one", PolicyDocument=half)
    with pytest.raises(ClientError) as caught:
        iam.put_group_policy(GroupName=group, PolicyName="two", PolicyDocument=half)
    message = f"Maximum policy size of 5120 bytes exceeded for group {group}"
    assert refusal(caught.value) == (409, "LimitExceeded", message)


def test_what_is_missing_is_named(iam: Any, user: str, group: str) -> None:
    missing = {
        "The group with name none cannot be found.": lambda: iam.add_user_to_group(
            GroupName="none", UserName=user
        ),
        "The user with name none cannot be found.": lambda: iam.add_user_to_group(
            GroupName=group, UserName="none"
        ),
        "The group policy with name none cannot be found.": lambda: iam.get_group_policy(
            GroupName=group, PolicyName="none"
        ),
        f"User {user} not in group {group}": lambda: iam.remove_user_from_group(
            GroupName=group, UserName=user
        ),
    }
    for message, ask in missing.items():
        with pytest.raises(ClientError) as caught:
            ask()
        assert refusal(caught.value) == (404, "NoSuchEntity", message)


def test_a_groups_name_is_taken_whatever_its_case(iam: Any, group: str) -> None:
    with pytest.raises(ClientError) as caught:
        iam.create_group(GroupName=group.upper())
    message = f"Group with name {group.upper()} already exists."
    assert refusal(caught.value) == (409, "EntityAlreadyExists", message)
