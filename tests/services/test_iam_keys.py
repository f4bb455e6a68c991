"""Access keys and Bedrock's long-term keys as boto3 sees them, and as the requests signed with them
fare: a change counts for the next request."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

import pytest
from botocore.exceptions import ClientError
from iam_people import client_of, document, refusal, unique, user_of
from running_gateways import ACCESS_KEY, Gateway

BEDROCK = "bedrock.amazonaws.com"


def test_a_key_is_switched_off_on_and_deleted(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document("iam:ListUsers"))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    assert key["AccessKeyId"].startswith("AKIA")
    assert (len(key["AccessKeyId"]), len(key["SecretAccessKey"])) == (20, 40)
    caller = scripted_gateway.client("iam", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    caller.list_users()
    named = {"UserName": user, "AccessKeyId": key["AccessKeyId"]}
    iam.update_access_key(**named, Status="Inactive")
    assert iam.list_access_keys(UserName=user)["AccessKeyMetadata"] == [
        {**named, "Status": "Inactive", "CreateDate": key["CreateDate"]}
    ]
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        caller.list_users()
    iam.update_access_key(**named, Status="Active")
    caller.list_users()
    iam.delete_access_key(**named)
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        caller.list_users()
    with pytest.raises(ClientError) as caught:
        iam.delete_access_key(**named)
    message = f"The Access Key with id {key['AccessKeyId']} cannot be found."
    assert refusal(caught.value) == (404, "NoSuchEntity", message)


def test_of_ten_who_make_a_key_at_once_two_succeed(iam: Any, user: str) -> None:
    def create(_: int) -> str:
        try:
            iam.create_access_key(UserName=user)
        except ClientError as error:
            return refusal(error)[2]
        return "made"

    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(create, range(10)))
    assert sorted(results) == ["Cannot exceed quota for AccessKeysPerUser: 2"] * 8 + ["made"] * 2


def test_a_user_manages_its_own_keys_without_naming_itself(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    text = document("iam:*AccessKey*", resource=f"arn:aws:iam::*:user/{user}")
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=text)
    caller = client_of(scripted_gateway, iam, user)
    made = caller.create_access_key()["AccessKey"]
    assert made["UserName"] == user
    listed = caller.list_access_keys()["AccessKeyMetadata"]
    assert made["AccessKeyId"] in {key["AccessKeyId"] for key in listed}
    caller.delete_access_key(AccessKeyId=made["AccessKeyId"])
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.list_access_keys(UserName="admin")
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.get_access_key_last_used(AccessKeyId=ACCESS_KEY)


def test_the_last_use_of_a_key_says_when_where_and_for_what(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    key = iam.create_access_key(UserName=user)["AccessKey"]
    unused = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert unused["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    caller = scripted_gateway.client(
        "bedrock", "eu-west-1", key=key["AccessKeyId"], secret=key["SecretAccessKey"]
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.list_foundation_models()
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert used["UserName"] == user
    last = used["AccessKeyLastUsed"]
    assert (last["ServiceName"], last["Region"]) == ("bedrock", "eu-west-1")
    assert datetime.now(UTC) - last["LastUsedDate"] < timedelta(minutes=2)


def test_a_key_of_another_user_is_not_found(iam: Any, user: str) -> None:
    with user_of(iam) as other:
        key = iam.create_access_key(UserName=other)["AccessKey"]["AccessKeyId"]
        for change in (
            lambda: iam.delete_access_key(UserName=user, AccessKeyId=key),
            lambda: iam.update_access_key(UserName=user, AccessKeyId=key, Status="Inactive"),
        ):
            with pytest.raises(iam.exceptions.NoSuchEntityException):
                change()


def list_models(gateway: Gateway, token: str) -> int:
    """The status that a bearer of this token gets."""
    connection = HTTPConnection(gateway.url.removeprefix("http://"))
    with closing(connection):
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", "/foundation-models", headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status


def test_a_long_term_bedrock_key_calls_until_it_is_reset_switched_off_or_deleted(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    text = document("bedrock:CallWithBearerToken", "bedrock:ListFoundationModels")
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=text)
    made = iam.create_service_specific_credential(
        UserName=user, ServiceName=BEDROCK, CredentialAgeDays=30
    )["ServiceSpecificCredential"]
    token = made.pop("ServiceCredentialSecret")
    assert token.startswith("ABSK")
    assert made["ExpirationDate"] - made["CreateDate"] < timedelta(days=30, seconds=5)
    assert list_models(scripted_gateway, token) == 200
    named = {
        "UserName": user,
        "ServiceSpecificCredentialId": made["ServiceSpecificCredentialId"],
    }
    iam.update_service_specific_credential(**named, Status="Inactive")
    assert list_models(scripted_gateway, token) == 403
    iam.update_service_specific_credential(**named, Status="Active")
    reset = iam.reset_service_specific_credential(**named)["ServiceSpecificCredential"]
    new = reset.pop("ServiceCredentialSecret")
    assert reset == made
    assert list_models(scripted_gateway, token) == 403
    assert list_models(scripted_gateway, new) == 200
    listed = iam.list_service_specific_credentials(UserName=user, ServiceName=BEDROCK)
    assert listed["ServiceSpecificCredentials"] == [made]
    iam.delete_service_specific_credential(**named)
    assert list_models(scripted_gateway, new) == 403


def test_a_user_has_two_credentials_of_a_service_at_most(iam: Any, user: str) -> None:
    for _ in range(2):
        iam.create_service_specific_credential(UserName=user, ServiceName=BEDROCK)
    with pytest.raises(iam.exceptions.LimitExceededException):
        iam.create_service_specific_credential(UserName=user, ServiceName=BEDROCK)
    with user_of(iam) as other:
        iam.create_service_specific_credential(UserName=other, ServiceName=BEDROCK)
        pages = [iam.list_service_specific_credentials(AllUsers=True, MaxItems=2)]
        while pages[-1]["IsTruncated"]:
            pages.append(
                iam.list_service_specific_credentials(
                    AllUsers=True, MaxItems=2, Marker=pages[-1]["Marker"]
                )
            )
    users = [each["UserName"] for page in pages for each in page["ServiceSpecificCredentials"]]
    assert [users.count(name) for name in (user, other)] == [2, 1]


def test_the_age_and_service_of_a_credential_are_conditions(
    scripted_gateway: Gateway, iam: Any, user: str
) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "iam:CreateServiceSpecificCredential",
        "Resource": "*",
        "Condition": {
            "NumericLessThanEquals": {"iam:ServiceSpecificCredentialAgeDays": "90"},
            "StringEquals": {"iam:ServiceSpecificCredentialServiceName": BEDROCK},
        },
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=text)
    caller = client_of(scripted_gateway, iam, user)
    named = {"UserName": user, "ServiceName": BEDROCK}
    for days in ({}, {"CredentialAgeDays": 91}):
        with pytest.raises(ClientError, match="AccessDenied"):
            caller.create_service_specific_credential(**named, **days)
    caller.create_service_specific_credential(**named, CredentialAgeDays=90)


def test_an_alias_replaces_the_one_before_and_is_deleted_by_its_name(iam: Any) -> None:
    one, two = unique("alias"), unique("alias")
    for alias in (one, two):
        iam.create_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == [two]
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.delete_account_alias(AccountAlias=one)
    iam.delete_account_alias(AccountAlias=two)
    assert iam.list_account_aliases()["AccountAliases"] == []


def test_the_summary_counts_what_is_there(iam: Any) -> None:
    before = iam.get_account_summary()["SummaryMap"]
    with user_of(iam):
        after = iam.get_account_summary()["SummaryMap"]
    assert after["Users"] == before["Users"] + 1
    assert (after["AccessKeysPerUserQuota"], after["GroupsPerUserQuota"]) == (2, 10)
