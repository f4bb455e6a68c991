"""``aws configure``, answered as a person would, is all the AWS CLI needs besides the address."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("version", ["aws_v1", "aws_v2"])
def test_configured_credentials_are_enough(
    version: str, scripted_gateway: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    aws = request.getfixturevalue(version)
    given = scripted_gateway.environment
    environment = {name: value for name, value in os.environ.items() if "AWS" not in name} | {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": scripted_gateway.url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*arguments: str, answers: str = "") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [aws, *arguments],
            env=environment,
            input=answers.encode(),
            capture_output=True,
            timeout=300,
            check=False,
        )

    listing = ("bedrock", "list-foundation-models", "--by-provider", "Meta")
    assert run(*listing).returncode != 0
    answers = (given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], "us-east-1", "json")
    run("configure", answers="\n".join([*answers, ""]))
    listed = run(*listing)
    assert listed.returncode == 0, listed.stderr.decode()
    providers = {model["providerName"] for model in json.loads(listed.stdout)["modelSummaries"]}
    assert providers == {"Meta"}
