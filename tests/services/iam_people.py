"""Users of the scripted gateway's account: made under a name of their own, taken away with all that
hangs on them, so that tests of one running gateway do not meet."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError
from running_gateways import ACCOUNT, Gateway


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:10]}"


@contextmanager
def user_of(iam: Any, **fields: Any) -> Generator[str]:
    name = unique("user")
    iam.create_user(UserName=name, **fields)
    try:
        yield name
    finally:
        remove_user(iam, name)


@contextmanager
def group_of(iam: Any) -> Generator[str]:
    name = unique("group")
    iam.create_group(GroupName=name)
    try:
        yield name
    finally:
        remove_group(iam, name)


def remove_user(iam: Any, name: str) -> None:
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for credential in iam.list_service_specific_credentials(UserName=name)[
        "ServiceSpecificCredentials"
    ]:
        iam.delete_service_specific_credential(
            UserName=name,
            ServiceSpecificCredentialId=credential["ServiceSpecificCredentialId"],
        )
    for policy in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
        iam.detach_user_policy(UserName=name, PolicyArn=policy["PolicyArn"])
    for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    for group in iam.list_groups_for_user(UserName=name)["Groups"]:
        iam.remove_user_from_group(UserName=name, GroupName=group["GroupName"])
    iam.delete_user(UserName=name)


def remove_group(iam: Any, name: str) -> None:
    for user in iam.get_group(GroupName=name)["Users"]:
        iam.remove_user_from_group(GroupName=name, UserName=user["UserName"])
    for policy in iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]:
        iam.detach_group_policy(GroupName=name, PolicyArn=policy["PolicyArn"])
    for policy in iam.list_group_policies(GroupName=name)["PolicyNames"]:
        iam.delete_group_policy(GroupName=name, PolicyName=policy)
    iam.delete_group(GroupName=name)


def client_of(gateway: Gateway, iam: Any, user: str, service: str = "iam") -> Any:
    """Signed with a new key of this user."""
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return gateway.client(service, key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def document(*actions: str, resource: str = "*", effect: str = "Allow") -> str:
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def refusal(error: ClientError) -> tuple[int, str, str]:
    response: Any = error.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


def arn(noun: str, name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:{noun}/{name}"
