"""Every error recorded of IAM, STS and Secrets Manager is given here for the same request.

Code, status and text are compared. KMS's errors are in test_kms_recorded.py.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, Keys
from statements import ACCOUNT, allow, document, root_arn

RECORDED = Path(__file__).resolve().parents[2] / "../shared/aws-errors.jsonl"
ROWS: list[dict[str, Any]] = [
    row
    for row in map(json.loads, RECORDED.read_text(encoding="utf-8").splitlines())
    if row["service"] in ("iam", "sts", "secretsmanager")
]
# No service here has a linked role: asking for one is the same error in other words.
LINKED = re.compile("Custom suffix is not allowed for |Service role name AWSServiceRoleFor")
STAGED = [row for row in ROWS if not LINKED.match(row["message"])]

TRUST = document(
    {
        "Effect": "Allow",
        "Principal": {"AWS": root_arn()},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }
)
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/"
Scene = Callable[[Inside, Client], Awaitable[object]]


def asks(service: str, operation: str, **params: Any) -> Scene:
    return lambda _, client: client.ask(service, operation, **params)


async def attach_unknown(inside: Inside, client: Client) -> object:
    await inside.role(ACCOUNT, "r", TRUST)
    return await client.ask("iam", "AttachRolePolicy", RoleName="r", PolicyArn=f"{POLICY}p123")


def credential(operation: str, **params: Any) -> Scene:
    async def scene(_: Inside, client: Client) -> object:
        await client.ask("iam", "CreateUser", UserName="u")
        return await client.ask("iam", operation, UserName="u", **params)

    return scene


async def chain_over_transitive_tags(inside: Inside, client: Client) -> object:
    granted = document(allow(["sts:AssumeRole", "sts:TagSession"]))
    params: dict[str, Any] = {
        "RoleArn": await inside.role(ACCOUNT, "r", TRUST, granted),
        "RoleSessionName": "one",
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    first = await client.ask("sts", "AssumeRole", **params, TransitiveTagKeys=["a"])
    return await inside.client(Keys.answered(first)).ask("sts", "AssumeRole", **params)


def assumes(arn: str) -> Scene:
    return asks("sts", "AssumeRole", RoleArn=arn, RoleSessionName="one")


async def assume_by_a_wrong_name(inside: Inside, client: Client) -> object:
    arn = await inside.role(ACCOUNT, "r", TRUST)
    return await client.ask("sts", "AssumeRole", RoleArn=arn, RoleSessionName="Session1:2")


def secret(*steps: tuple[str, dict[str, Any]]) -> Scene:
    """A secret is made, and then this is asked for."""

    async def scene(_: Inside, client: Client) -> object:
        token = {"ClientRequestToken": "t" * 32}
        await client.ask("secretsmanager", "CreateSecret", Name="s", SecretString="x", **token)
        for operation, params in steps:
            await client.ask("secretsmanager", operation, **params)
        return None

    return scene


S: dict[str, Any] = {"SecretId": "s"}
SCENES: dict[str, Scene] = {
    "does not exist or is not attachable": attach_unknown,
    "policy/non-existent-policy was not found": asks(
        "iam", "DeletePolicy", PolicyArn=f"{POLICY}non-existent-policy"
    ),
    "No such service lambda": credential(
        "CreateServiceSpecificCredential", ServiceName="lambda.amazonaws.com"
    ),
    "No such credential": credential(
        "UpdateServiceSpecificCredential",
        ServiceSpecificCredentialId="satisfiesregexbutstillinvalid",
        Status="Inactive",
    ),
    "at 'status' failed": credential(
        "UpdateServiceSpecificCredential", ServiceSpecificCredentialId="a" * 20, Status="Invalid"
    ),
    "transitive tag key from the calling session": chain_over_transitive_tags,
    "nothing-valid-in-here is": assumes("nothing-valid-in-here"),
    "arn::b:::something/test-role": assumes("arn::b:::something/test-role"),
    "arn:a::::something/test-role": assumes("arn:a::::something/test-role"),
    "arn:a:a::aaaaaaaaaa:": assumes("arn:a:a::aaaaaaaaaa:"),
    "Value 'Session1:2'": assume_by_a_wrong_name,
    "already scheduled for deletion": secret(
        ("DeleteSecret", S), ("CreateSecret", {"Name": "s", "SecretString": "x"})
    ),
    "can't find the specified secret.": asks(
        "secretsmanager", "DescribeSecret", SecretId="Invalid/_+=.@-Name-a1b2c3"
    ),
    "Invalid name.": asks("secretsmanager", "CreateSecret", Name="Inv Name", SecretString="x"),
    "> already exists.": secret(("CreateSecret", {"Name": "s", "SecretString": "y"})),
    "staging label: AWSPREVIOUS": secret(("GetSecretValue", S | {"VersionStage": "AWSPREVIOUS"})),
    "is not associated to the provided VersionId": secret(
        ("GetSecretValue", S | {"VersionId": "t" * 32, "VersionStage": "AWSPREVIOUS"})
    ),
    "it was marked for deletion": secret(
        ("DeleteSecret", S), ("TagResource", S | {"Tags": [{"Key": "a", "Value": "b"}]})
    ),
}


def comparable(text: str) -> str:
    """The placeholders of the recordings as they are in our scenes."""
    for placeholder, value in (
        ("<partition>", "aws"),
        ("<policy-name:1>", "p"),
        ("<SecretId-0idx>", "s"),
        ("111111111111", ACCOUNT),
    ):
        text = text.replace(placeholder, value)
    return text


@pytest.mark.parametrize("row", STAGED, ids=lambda row: row["message"][:50])
async def test_an_error_is_as_recorded(row: dict[str, Any], inside: Inside) -> None:
    (scene,) = [scene for part, scene in SCENES.items() if part in row["message"]]
    # Without the client's own checks, which would be first.
    with pytest.raises(ClientError) as caught:
        await scene(inside, inside.client(ADMIN))
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == row["code"]
    assert answer["Error"]["Message"] == comparable(row["message"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == row["status"]


async def test_linked_roles_are_refused_with_the_recorded_code(inside: Inside) -> None:
    rows = [row for row in ROWS if LINKED.match(row["message"])]
    assert len(rows) + len(STAGED) == len(ROWS)
    named = {row["message"].partition("allowed for ")[2] for row in rows} - {""}
    for service in [*sorted(named), "batch.amazonaws.com"]:
        with pytest.raises(ClientError) as caught:
            await inside.client(ADMIN).ask(
                "iam", "CreateServiceLinkedRole", AWSServiceName=service, CustomSuffix="x"
            )
        answer: Any = caught.value.response
        assert {(answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])} == {
            (row["code"], row["status"]) for row in rows
        }
