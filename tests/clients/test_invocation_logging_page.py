"""The page on invocation logging, run command by command by both AWS CLIs."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_gateways import SCRIPTED, Gateway, start_gateway

PAGE = Path(__file__).resolve().parents[2] / "docs" / "invocation-logging.md"
WAIT_S = 60


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path, SCRIPTED)
    yield gateway
    gateway.stop()


def _run(script: str, gateway: Gateway, aws: Path) -> str:
    folder = gateway.config.parent
    path = f"{aws.parent}:/usr/bin:/bin"
    environment = gateway.environment | {"PATH": path, "AWS_PAGER": ""}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", ["aws_v1", "aws_v2"])
def test_the_page_does_what_it_says(
    fresh: Gateway, version: str, request: pytest.FixtureRequest
) -> None:
    aws: Path = request.getfixturevalue(version)
    names, *blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    to_bucket, call, read_bucket, to_group, again, read_group, end = (
        f"{names}\n{block}" for block in blocks
    )
    _run(to_bucket, fresh, aws)
    _run(call, fresh, aws)
    record = json.loads(_until(read_bucket, fresh, aws, "ModelInvocationLog").splitlines()[-1])
    content = [{"text": "Hello"}]
    assert record["input"]["inputBodyJson"]["messages"] == [{"role": "user", "content": content}]
    _run(to_group, fresh, aws)
    _run(again, fresh, aws)
    events = _until(read_group, fresh, aws, "Hello again").split("\t")
    assert events[0].strip() == "Permissions are correctly set for Amazon Bedrock logs."
    assert json.loads(events[1])["operation"] == "Converse"
    told = _run(end, fresh, aws)
    assert json.loads(told)["loggingConfig"]["cloudWatchConfig"]["logGroupName"]
    assert _run("aws bedrock get-model-invocation-logging-configuration", fresh, aws).strip() in (
        "",
        "{}",
    )


def _until(script: str, gateway: Gateway, aws: Path, text: str) -> str:
    """What it prints, once that has the text."""
    until = time.monotonic() + WAIT_S
    # Before anything is there, the command may fail.
    while text not in (told := _run(f"({script}) || true", gateway, aws)):
        assert time.monotonic() < until, told
    return told
