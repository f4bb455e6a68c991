"""Errors and answers recorded from AWS about users, groups and keys, set against ours: the same
code, status and text; every member that AWS's answer has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from iam_people import client_of, document, refusal, unique, user_of
from running_gateways import Gateway

SHARED = Path(__file__).resolve().parents[2] / "../shared"

BEDROCK = "bedrock.amazonaws.com"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"

# Consoles and their passwords are not here; Bedrock's keys have an alias instead of a user name; a
# list that is whole has no marker.
NOT_HERE = {"PasswordLastUsed", "ServiceUserName", "Marker"}


def records(name: str) -> list[dict[str, Any]]:
    with (SHARED / name).open(encoding="utf-8") as lines:
        return [record for record in map(json.loads, lines) if record["service"] == "iam"]


@pytest.fixture
def iam(scripted_gateway: Gateway) -> Any:
    return scripted_gateway.client("iam", parameter_validation=False)


ERRORS: dict[str, Callable[[Any, str], object]] = {
    "No such service lambda.amazonaws.com is supported for Service Specific Credentials": (
        lambda iam, user: iam.create_service_specific_credential(
            UserName=user, ServiceName="lambda.amazonaws.com"
        )
    ),
    "No such credential satisfiesregexbutstillinvalid exists": (
        lambda iam, user: iam.update_service_specific_credential(
            UserName=user,
            ServiceSpecificCredentialId="satisfiesregexbutstillinvalid",
            Status="Inactive",
        )
    ),
    "1 validation error detected: Value at 'status' failed to satisfy constraint: "
    "Member must satisfy enum value set": (
        lambda iam, user: iam.update_service_specific_credential(
            UserName=user, ServiceSpecificCredentialId="a" * 20, Status="Invalid"
        )
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_is_as_recorded(message: str, iam: Any, user: str) -> None:
    (recorded,) = [each for each in records("aws-errors.jsonl") if each["message"] == message]
    with pytest.raises(ClientError) as caught:
        ERRORS[message](iam, user)
    assert refusal(caught.value) == (recorded["status"], recorded["code"], message)


def ask_everything(iam: Any, user: str, group: str) -> dict[str, Any]:
    """Each operation once, where there is something to show."""
    return {
        "GetUser": iam.get_user(UserName=user),
        "ListUsers": iam.list_users(),
        "ListGroupsForUser": iam.list_groups_for_user(UserName=user),
        "ListAttachedUserPolicies": iam.list_attached_user_policies(UserName=user),
        "ListUserPolicies": iam.list_user_policies(UserName=user),
        "ListServiceSpecificCredentials": iam.list_service_specific_credentials(UserName=user),
        "ListGroupPolicies": iam.list_group_policies(GroupName=group),
        "ListGroups": iam.list_groups(),
        "GetGroup": iam.get_group(GroupName=group),
        "ListAccessKeys": iam.list_access_keys(UserName=user),
        "ListAttachedGroupPolicies": iam.list_attached_group_policies(GroupName=group),
        "ListMFADevices": iam.list_mfa_devices(UserName=user),
        "ListAccountAliases": iam.list_account_aliases(),
        "GetAccountSummary": iam.get_account_summary(),
    }


def test_answers_have_the_members_of_the_recorded_ones(scripted_gateway: Gateway, iam: Any) -> None:
    tags = [{"Key": "a", "Value": "b"}]
    with user_of(iam, Tags=tags, PermissionsBoundary=READ_ONLY) as user:
        group = unique("group")
        iam.create_group(GroupName=group)
        iam.add_user_to_group(GroupName=group, UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document("a:b"))
        iam.attach_user_policy(UserName=user, PolicyArn=READ_ONLY)
        iam.attach_group_policy(GroupName=group, PolicyArn=READ_ONLY)
        iam.create_service_specific_credential(UserName=user, ServiceName=BEDROCK)
        client_of(scripted_gateway, iam, user)
        answers = ask_everything(iam, user, group)
        iam.detach_group_policy(GroupName=group, PolicyArn=READ_ONLY)
        iam.remove_user_from_group(GroupName=group, UserName=user)
        iam.delete_group(GroupName=group)
    compared = [
        record
        for record in records("real-control-plane.jsonl")
        if record["status"] == 200 and record["op"] in answers
    ]
    assert {record["op"] for record in compared} == set(answers)
    missing = {
        (record["op"], member)
        for record in compared
        for member in members(record["data"]) - members(answers[record["op"]])
        if member.rpartition(".")[2] not in NOT_HERE
    }
    assert missing == set(QUOTAS_NOT_HERE)


# What is not here has no quota either.
QUOTAS_NOT_HERE = [
    ("GetAccountSummary", f"SummaryMap.{name}")
    for name in (
        "InstanceProfilesQuota",
        "PolicyVersionsInUseQuota",
        "ServerCertificatesQuota",
        "SigningCertificatesPerUserQuota",
    )
]


def members(answer: Any, path: str = "") -> set[str]:
    """The names of all members, without those of the transport."""
    if isinstance(answer, list):
        items = cast(list[Any], answer)
        return {name for item in items for name in members(item, path)}
    if not isinstance(answer, dict) or "__class__" in answer:
        return {path}
    found: set[str] = set()
    for name, value in cast(dict[str, Any], answer).items():
        if name != "ResponseMetadata":
            found |= {f"{path}.{name}".lstrip(".")} | members(value, f"{path}.{name}".lstrip("."))
    return found - {""}
