"""The walk of AWS's guide to an API key, with the AWS CLIs: a user, its policy, its key, a call."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from running_gateways import Gateway

POLICY = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"


@pytest.fixture
def user(scripted_gateway: Gateway) -> Iterator[str]:
    iam = scripted_gateway.client("iam")
    name = f"walk-{uuid4().hex[:8]}"
    yield name
    iam.detach_user_policy(UserName=name, PolicyArn=POLICY)
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)


@pytest.mark.parametrize("version", ["aws_v1", "aws_v2"])
def test_the_cli_makes_a_user_that_lists_models_until_its_key_is_deleted(
    version: str, scripted_gateway: Gateway, user: str, request: Any
) -> None:
    aws: Path = request.getfixturevalue(version)

    def run(*arguments: str, key: dict[str, str] | None = None, code: int = 0) -> Any:
        environment = scripted_gateway.environment | {"AWS_PAGER": ""}
        if key is not None:
            environment |= {
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            }
        done = subprocess.run(
            [str(aws), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout or "{}") if code == 0 else done.stderr

    named = ("--user-name", user)
    made = run("iam", "create-user", *named, "--path", "/bedrock/", "--tags", "Key=a,Value=b")
    assert made["User"]["Arn"].endswith(f":user/bedrock/{user}")
    key = run("iam", "create-access-key", *named)["AccessKey"]
    denied = run("bedrock", "list-foundation-models", key=key, code=254 if "2" in version else 255)
    assert "is not authorized to perform: bedrock:ListFoundationModels" in denied
    run("iam", "attach-user-policy", *named, "--policy-arn", POLICY)
    assert run("bedrock", "list-foundation-models", key=key)["modelSummaries"]
    attached = run("iam", "list-attached-user-policies", *named)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonBedrockReadOnly", "PolicyArn": POLICY}]
    used = run("iam", "get-access-key-last-used", "--access-key-id", key["AccessKeyId"])
    assert used["AccessKeyLastUsed"]["ServiceName"] == "bedrock"
    bearer = run(
        "iam",
        "create-service-specific-credential",
        *named,
        "--service-name",
        "bedrock.amazonaws.com",
    )["ServiceSpecificCredential"]
    run(
        "iam",
        "delete-service-specific-credential",
        *named,
        "--service-specific-credential-id",
        bearer["ServiceSpecificCredentialId"],
    )
    run("iam", "delete-access-key", *named, "--access-key-id", key["AccessKeyId"])
    refused = run("bedrock", "list-foundation-models", key=key, code=254 if "2" in version else 255)
    assert "UnrecognizedClientException" in refused
