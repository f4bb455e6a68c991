"""Inference profiles with the AWS CLI, as docs/regions.md shows them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from running_gateways import ACCOUNT, Gateway

PAGE = Path(__file__).resolve().parents[2] / "docs" / "regions.md"


def aws(gateway: Gateway, cli: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [str(cli), "bedrock", *arguments, "--output", "json"],
        env=gateway.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def shown() -> list[str]:
    """The arguments of the page's command."""
    found = re.search(r"aws bedrock (create-inference-profile .*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1].replace("ACCOUNT", ACCOUNT).replace("\\\n", " ").split()


def test_the_cli_lists_makes_describes_and_deletes_profiles(
    scripted_gateway: Gateway, aws_v1: Path
) -> None:
    listed = aws(scripted_gateway, aws_v1, "list-inference-profiles", "--max-items", "1000")
    ids = [each["inferenceProfileId"] for each in listed["inferenceProfileSummaries"]]
    assert "us.anthropic.claude-3-haiku-20240307-v1:0" in ids
    made = aws(scripted_gateway, aws_v1, *shown())["inferenceProfileArn"]
    naming = ("--inference-profile-identifier", made)
    found = aws(scripted_gateway, aws_v1, "get-inference-profile", *naming)
    assert found["inferenceProfileName"] == "search-team"
    assert [each["modelArn"].split(":")[3] for each in found["models"]] == [
        "us-east-1",
        "us-west-2",
    ]
    tags = aws(scripted_gateway, aws_v1, "list-tags-for-resource", "--resource-arn", made)
    assert tags == {"tags": [{"key": "Team", "value": "search"}]}
    aws(scripted_gateway, aws_v1, "delete-inference-profile", *naming)
