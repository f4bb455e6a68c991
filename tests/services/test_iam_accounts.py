"""Two accounts of one deployment do not see each other, and what is attached over one bounds it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from iam_people import arn, client_of, document, refusal, unique, user_of
from running_gateways import SCRIPTED, Gateway, start_gateway

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def outcrop(gateway: Gateway, *arguments: str) -> str:
    command = [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=gateway.environment
    )
    return done.stdout


def eventually(ask: Callable[[], Any]) -> Any:
    """The server takes in within a second what the command line wrote."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except (ClientError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def told(ask: Callable[[], Any]) -> str:
    """What a refusal says; nothing where there is none."""
    try:
        ask()
    except ClientError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("accounts"), SCRIPTED)
    yield gateway
    gateway.stop()


@pytest.fixture
def iam(gateway: Gateway) -> Any:
    return gateway.client("iam")


@pytest.fixture
def other(gateway: Gateway) -> tuple[str, Any]:
    """A second account's ID, and a client of its root user."""
    made = json.loads(outcrop(gateway, "accounts", "create", unique("account"), "--json"))
    root = gateway.client(
        "iam", key=made["AWS_ACCESS_KEY_ID"], secret=made["AWS_SECRET_ACCESS_KEY"]
    )
    eventually(root.list_users)
    return made["id"], root


def test_root_is_shown_as_such(other: tuple[str, Any]) -> None:
    account, root = other
    found = root.get_user()["User"]
    assert (found["Arn"], found["UserId"]) == (f"arn:aws:iam::{account}:root", account)
    (key,) = root.list_access_keys()["AccessKeyMetadata"]
    assert "UserName" not in key
    assert root.get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 1


def test_an_account_sees_nothing_of_another(iam: Any, other: tuple[str, Any]) -> None:
    _, root = other
    with user_of(iam) as ours:
        key = iam.create_access_key(UserName=ours)["AccessKey"]["AccessKeyId"]
        policy = iam.create_policy(PolicyName=unique("p"), PolicyDocument=document("a:b"))
        policy_arn = policy["Policy"]["Arn"]
        assert root.list_users()["Users"] == []
        assert root.list_groups()["Groups"] == []
        assert root.list_policies(Scope="Local")["Policies"] == []
        for ask in (
            lambda: root.get_user(UserName=ours),
            lambda: root.delete_user(UserName=ours),
            lambda: root.tag_user(UserName=ours, Tags=[{"Key": "a", "Value": "b"}]),
            lambda: root.create_access_key(UserName=ours),
            lambda: root.list_access_keys(UserName=ours),
            lambda: root.delete_access_key(AccessKeyId=key),
            lambda: root.get_access_key_last_used(AccessKeyId=key),
        ):
            with pytest.raises(root.exceptions.NoSuchEntityException):
                ask()
        for ask in (
            lambda: root.get_policy(PolicyArn=policy_arn),
            lambda: root.delete_policy(PolicyArn=policy_arn),
        ):
            with pytest.raises(ClientError):
                ask()
        iam.delete_policy(PolicyArn=policy_arn)
        assert "Tags" not in iam.get_user(UserName=ours)["User"]


def test_the_same_names_are_free_in_another_account(iam: Any, other: tuple[str, Any]) -> None:
    account, root = other
    with user_of(iam) as name:
        root.create_user(UserName=name)
        assert iam.get_user(UserName=name)["User"]["Arn"] == arn("user", name)
        assert root.get_user(UserName=name)["User"]["Arn"] == f"arn:aws:iam::{account}:user/{name}"


def test_a_policy_of_another_account_is_neither_attached_nor_a_boundary(
    iam: Any, other: tuple[str, Any]
) -> None:
    _, root = other
    theirs = root.create_policy(PolicyName="theirs", PolicyDocument=document("*"))["Policy"]["Arn"]
    with user_of(iam) as ours:
        with pytest.raises(ClientError) as caught:
            iam.attach_user_policy(UserName=ours, PolicyArn=theirs)
        message = f"Policy {theirs} does not exist or is not attachable."
        assert refusal(caught.value) == (404, "NoSuchEntity", message)
        with pytest.raises(ClientError):
            iam.put_user_permissions_boundary(UserName=ours, PermissionsBoundary=theirs)


def test_an_alias_is_taken_in_the_whole_deployment(iam: Any, other: tuple[str, Any]) -> None:
    _, root = other
    alias = unique("alias")
    iam.create_account_alias(AccountAlias=alias)
    with pytest.raises(ClientError) as caught:
        root.create_account_alias(AccountAlias=alias)
    message = f"The account alias {alias} already exists."
    assert refusal(caught.value) == (409, "EntityAlreadyExists", message)


def test_a_service_control_policy_bounds_users_and_root_of_its_account_only(
    gateway: Gateway, iam: Any, other: tuple[str, Any], tmp_path: Path
) -> None:
    account, root = other
    name = unique("scp")
    file = tmp_path / "scp.json"
    file.write_text(document("iam:CreateGroup", effect="Deny"), encoding="utf-8")
    root.create_user(UserName="admin")
    root.attach_user_policy(UserName="admin", PolicyArn=ADMINISTRATOR)
    admin = client_of(gateway, root, "admin")
    admin.create_group(GroupName="before")
    outcrop(gateway, "accounts", "scp", "create", name, str(file))
    outcrop(gateway, "accounts", "scp", "attach", name, account)

    def denied(client: Any) -> None:
        said = told(lambda: client.create_group(GroupName=unique("group")))
        assert "with an explicit deny in a service control policy" in said

    eventually(lambda: denied(admin))
    denied(root)
    admin.list_groups()
    iam.create_group(GroupName=unique("group"))
    outcrop(gateway, "accounts", "scp", "detach", name, account)
    eventually(lambda: admin.create_group(GroupName="after"))


def test_without_full_access_an_account_may_what_its_policies_allow(
    gateway: Gateway, other: tuple[str, Any], tmp_path: Path
) -> None:
    account, root = other
    name = unique("scp")
    file = tmp_path / "scp.json"
    file.write_text(document("iam:List*"), encoding="utf-8")
    outcrop(gateway, "accounts", "scp", "create", name, str(file))
    outcrop(gateway, "accounts", "scp", "attach", name, account)
    outcrop(gateway, "accounts", "scp", "detach", "FullAWSAccess", account)

    def bounded() -> None:
        assert "because no service control policy allows" in told(root.get_account_summary)

    eventually(bounded)
    root.list_users()
