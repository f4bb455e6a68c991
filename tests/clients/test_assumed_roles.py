"""Roles as people use them: profiles with ``role_arn`` and ``source_profile``, chains of them, and
credentials that renew themselves, with unmodified clients against a running gateway."""

import http.client
import json
import os
import subprocess
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import botocore.credentials
import botocore.session
import pytest
from aws_bedrock_token_generator import BedrockTokenGenerator
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from running_gateways import ACCOUNT, Gateway

REGION = "us-east-1"


def trust(principal: str, external_id: str | None = None) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
    }
    if external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def chain(scripted_gateway: Gateway) -> tuple[str, str]:
    """Two roles: the first for the account, by external ID, the second for the first."""
    iam, suffix = scripted_gateway.client("iam"), uuid.uuid4().hex[:8]
    names = (f"First-{suffix}", f"Second-{suffix}")
    trusts = (trust(ACCOUNT, "ext-1"), trust(f"arn:aws:iam::{ACCOUNT}:role/{names[0]}"))
    grants = (allow("sts:AssumeRole"), allow("bedrock:ListFoundationModels"))
    for name, trusted, granted in zip(names, trusts, grants, strict=True):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted)
        iam.put_role_policy(RoleName=name, PolicyName="granted", PolicyDocument=granted)
    return names


def profiles(gateway: Gateway, chain: tuple[str, str], folder: Path) -> dict[str, str]:
    """What ``aws configure`` leaves, and the environment that uses it."""
    keys = gateway.environment
    credentials, config = folder / "credentials", folder / "config"
    credentials.write_text(
        f"[base]\naws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}\n",
        encoding="utf-8",
    )
    first, second = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in chain)
    config.write_text(
        f"[profile first]\nrole_arn = {first}\nsource_profile = base\nexternal_id = ext-1\n"
        f"role_session_name = one\n"
        f"[profile second]\nrole_arn = {second}\nsource_profile = first\n"
        f"role_session_name = two\n"
        f"[profile stranger]\nrole_arn = {first}\nsource_profile = base\nexternal_id = ext-2\n",
        encoding="utf-8",
    )
    kept = {name: value for name, value in os.environ.items() if "AWS" not in name}
    return kept | {
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": gateway.url,
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


@pytest.mark.parametrize("version", ["aws_v1", "aws_v2"])
def test_the_cli_assumes_the_roles_of_its_profiles(
    version: str,
    scripted_gateway: Gateway,
    chain: tuple[str, str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    aws = request.getfixturevalue(version)
    environment = profiles(scripted_gateway, chain, tmp_path)

    def run(profile: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [aws, *arguments, "--profile", profile, "--output", "json"]
        return subprocess.run(
            command, env=environment, capture_output=True, timeout=300, check=False
        )

    for profile, session in (("first", f"{chain[0]}/one"), ("second", f"{chain[1]}/two")):
        told = run(profile, "sts", "get-caller-identity")
        assert told.returncode == 0, told.stderr.decode()
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{session}"
        assert json.loads(told.stdout)["Arn"] == arn
    listed = run("second", "bedrock", "list-foundation-models", "--by-provider", "Meta")
    assert listed.returncode == 0, listed.stderr.decode()
    denied = run("first", "bedrock", "list-foundation-models")
    assert b"is not authorized to perform: bedrock:ListFoundationModels" in denied.stderr
    stranger = run("stranger", "sts", "get-caller-identity")
    assert b"(AccessDenied)" in stranger.stderr
    assert b"is not authorized to perform: sts:AssumeRole on resource" in stranger.stderr


def test_boto3_assumes_the_roles_of_its_profiles(
    scripted_gateway: Gateway,
    chain: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS")]:
        monkeypatch.delenv(name)
    for name, value in profiles(scripted_gateway, chain, tmp_path).items():
        monkeypatch.setenv(name, value)
    session = cast(Any, boto3).Session(profile_name="second")
    assert session.client("bedrock").list_foundation_models()["modelSummaries"]
    assert session.client("sts").get_caller_identity()["Arn"].endswith(f"/{chain[1]}/two")


def test_credentials_renew_themselves(scripted_gateway: Gateway, chain: tuple[str, str]) -> None:
    """botocore asks for new ones 15 minutes before the old ones end: for these, at each use."""
    sts = scripted_gateway.client("sts")
    issued: list[str] = []

    def refresh() -> dict[str, str]:
        answer = sts.assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{chain[0]}",
            RoleSessionName=f"renewed-{len(issued)}",
            ExternalId="ext-1",
            DurationSeconds=900,
        )["Credentials"]
        issued.append(answer["AccessKeyId"])
        assert answer["Expiration"] > datetime.now(UTC)
        return {
            "access_key": answer["AccessKeyId"],
            "secret_key": answer["SecretAccessKey"],
            "token": answer["SessionToken"],
            "expiry_time": answer["Expiration"].isoformat(),
        }

    refreshable = cast(Any, botocore.credentials).RefreshableCredentials.create_from_metadata(
        metadata=refresh(), refresh_using=refresh, method="sts-assume-role"
    )
    inner = cast(Any, botocore.session).get_session()
    inner._credentials = refreshable
    session = cast(Any, boto3).Session(botocore_session=inner, region_name=REGION)
    client = session.client("sts", endpoint_url=scripted_gateway.url)
    names = {client.get_caller_identity()["Arn"].rpartition("/")[2] for _ in range(3)}
    assert len(issued) >= 3
    assert names <= {f"renewed-{number}" for number in range(len(issued))}
    assert len(names) >= 2


def test_a_users_session_works_with_its_token_and_not_in_iam(scripted_gateway: Gateway) -> None:
    answer = scripted_gateway.client("sts").get_session_token()["Credentials"]
    client = scripted_gateway.client(
        "bedrock", key=answer["AccessKeyId"], secret=answer["SecretAccessKey"]
    )
    with pytest.raises(ClientError, match="The security token included in the request is invalid"):
        client.list_foundation_models()
    session = cast(Any, boto3).Session(
        aws_access_key_id=answer["AccessKeyId"],
        aws_secret_access_key=answer["SecretAccessKey"],
        aws_session_token=answer["SessionToken"],
        region_name=REGION,
    )
    bedrock = session.client("bedrock", endpoint_url=scripted_gateway.url)
    assert bedrock.list_foundation_models()["modelSummaries"]
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        session.client("iam", endpoint_url=scripted_gateway.url).list_roles()


def fetch(url: str, **headers: str) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_the_longest_token_reaches_the_server_in_every_place(scripted_gateway: Gateway) -> None:
    sts = scripted_gateway.client("sts")
    answer = sts.get_session_token(MinimumSessionTokenSize=4096)["Credentials"]
    assert len(answer["SessionToken"]) == 4096
    key = (answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
    session = cast(Any, boto3).Session(*key, region_name=REGION)
    client = session.client("sts", endpoint_url=scripted_gateway.url)
    assert client.get_caller_identity()["Account"] == ACCOUNT
    # The way in which clusters and vaults let their clients prove who they are.
    url = client.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert f"<Account>{ACCOUNT}</Account>".encode() in fetch(url)
    token = BedrockTokenGenerator().get_token(Credentials(*key), REGION)
    listing = f"{scripted_gateway.url}/foundation-models"
    assert b"modelSummaries" in fetch(listing, Authorization=f"Bearer {token}")
