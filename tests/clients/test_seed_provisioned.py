"""The documents' commands and programs for provisioned throughput, with both AWS CLIs and Python.

RUN-132, RUN-141 and RUN-142 run as they are. Of the others every placeholder is filled in and:
RUN-131, RUN-133, RUN-135, RUN-137 and RUN-139 get the backslashes that their lines lack; RUN-135
names the option that the AWS CLI has (--desired-model-id), RUN-136, RUN-138 and RUN-140 the
parameters that boto3 has, and RUN-136 gets its comma. RUN-134 sends Claude's body and reads Titan's
answer: it runs as it is up to there.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateways import SCRIPTED, Gateway, start_gateway

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"
UNITS = "L-B826AE6A"
WAIT_S = 60

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server where the account may buy one unit of a base model."""
    gateway = start_gateway(tmp_path_factory.mktemp("provisioned"), SCRIPTED)
    outcrop(gateway, "quotas", "set", UNITS, "1")
    yield gateway
    gateway.stop()


@pytest.fixture
def arn(bought: Gateway) -> Iterator[str]:
    """What RUN-132 buys, in service, and nothing of it afterwards."""
    bedrock = bought.client("bedrock")
    deadline = time.monotonic() + WAIT_S
    while (done := python(bought, text("RUN-132.py"))).returncode != 0:
        # The server notices what another process wrote a little later.
        assert "ServiceQuotaExceededException" in done.stderr, done.stderr
        assert time.monotonic() < deadline
    yield in_service(bedrock)
    left = bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]
    for each in left:
        give_back(bought, each["provisionedModelArn"])


def in_service(bedrock: Any) -> str:
    deadline = time.monotonic() + WAIT_S
    while True:
        (found,) = bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]
        if found["status"] == "InService":
            return found["provisionedModelArn"]
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def give_back(gateway: Gateway, arn: str) -> None:
    outcrop(gateway, "capacity", "release", arn)
    bedrock = gateway.client("bedrock")
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            bedrock.delete_provisioned_model_throughput(provisionedModelId=arn)
        except bedrock.exceptions.ConflictException:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def outcrop(gateway: Gateway, *arguments: str) -> None:
    command = [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)]
    ran(run(command, gateway.environment))


def run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> Done:
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def text(file: str, **changes: str) -> str:
    """The document's text. A placeholder or name that is changed must be there."""
    found = (EXAMPLES / file).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in found
        found = found.replace(old, new)
    return found


def filled(file: str, **values: str) -> str:
    """With one of the alternatives ``a | b`` in the place of each."""
    found = text(file)
    for placeholder, value in values.items():
        found, count = re.subn(rf"[a-z-]*{placeholder}(-arn)? \| [a-z -]+\b", value, found)
        assert count == 1, placeholder
    return found


def continued(command: str) -> str:
    """With the backslashes at the ends of lines."""
    lines = [line.rstrip("\\ ") for line in command.strip().splitlines()]
    return " \\\n".join(lines)


def python(gateway: Gateway, program: str) -> Done:
    return run([sys.executable, "-c", program], gateway.environment)


def shell(gateway: Gateway, aws: Path, command: str, folder: Path) -> Done:
    environment = dict(gateway.environment)
    environment["PATH"] = f"{aws.parent}:{environment['PATH']}"
    environment["AWS_PAGER"] = ""
    return run(["sh", "-c", command], environment, folder)


def ran(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["aws_v1", "aws_v2"])
def aws(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_the_command_buys_when_its_lines_are_joined(
    bought: Gateway, arn: str, aws: Path, tmp_path: Path
) -> None:
    give_back(bought, arn)
    told = ran(shell(bought, aws, continued(text("RUN-131.sh")), tmp_path))
    assert ":provisioned-model/" in told
    assert in_service(bought.client("bedrock")) in told


def test_the_command_invokes_it(bought: Gateway, arn: str, aws: Path, tmp_path: Path) -> None:
    command = continued(text("RUN-133.sh", **{"provisioned-model-arn": arn}))
    if "v2" in str(aws) or "dist" in aws.parts:
        # The second version reads a body as base64 unless it is told otherwise.
        command = command.replace("--body", "--cli-binary-format raw-in-base64-out --body")
    ran(shell(bought, aws, command, tmp_path))
    assert "completion" in (tmp_path / "invoke-model-output.txt").read_text(encoding="utf-8")


def test_the_program_invokes_it_and_then_reads_another_model_s_answer(
    bought: Gateway, arn: str
) -> None:
    done = python(bought, text("RUN-134.py", **{"provisioned-model-arn": arn}))
    assert "TypeError: 'NoneType' object is not subscriptable" in done.stderr


@pytest.mark.parametrize("by", ["arn", "name"])
def test_the_commands_update_and_get_it(
    bought: Gateway, arn: str, aws: Path, tmp_path: Path, by: str
) -> None:
    identifier = arn if by == "arn" else "test-model"
    longer = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:0:100k"
    update = filled("RUN-135.sh", **{"provisioned-model": identifier, "custom-model": longer})
    update = update.replace("--model-arn", "--desired-model-id")
    assert ran(shell(bought, aws, continued(update), tmp_path)) == ""
    in_service(bought.client("bedrock"))
    get = filled("RUN-137.sh", **{"provisioned-model": identifier})
    told = ran(shell(bought, aws, continued(get), tmp_path))
    assert longer in told
    assert arn in ran(shell(bought, aws, text("RUN-141.sh"), tmp_path))


@pytest.mark.parametrize("by", ["arn", "name"])
def test_the_programs_update_get_and_list_it(bought: Gateway, arn: str, by: str) -> None:
    identifier = arn if by == "arn" else "test-model"
    longer = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:0:100k"
    update = filled("RUN-136.py", **{"provisioned-model": identifier, "custom-model": longer})
    update = update.replace("provisionedModelName", "provisionedModelId")
    update = update.replace("modelArn=", ", desiredModelId=")
    ran(python(bought, update))
    in_service(bought.client("bedrock"))
    get = filled("RUN-138.py", **{"provisioned-model": identifier})
    get = get.replace("provisionedModelName", "provisionedModelId")
    told = ran(python(bought, printed(get, "bedrock.get")))
    assert longer in told
    assert arn in ran(python(bought, printed(text("RUN-142.py"), "bedrock.list")))


def printed(program: str, call: str) -> str:
    """The last statement of the program is this call, which it makes nothing of."""
    before, found, after = program.partition(call)
    assert found
    return f"{before}print({call}{after.rstrip()})"


def test_the_command_and_the_program_delete_it_when_its_term_has_ended(
    bought: Gateway, arn: str, aws: Path, tmp_path: Path
) -> None:
    command = continued(filled("RUN-139.sh", **{"provisioned-model": "test-model"}))
    done = shell(bought, aws, command, tmp_path)
    assert "ConflictException" in done.stderr
    program = filled("RUN-140.py", **{"provisioned-model": arn})
    program = program.replace("provisionedModelName", "provisionedModelId")
    assert "ConflictException" in python(bought, program).stderr
    outcrop(bought, "capacity", "release", arn)
    deadline = time.monotonic() + WAIT_S
    while shell(bought, aws, command, tmp_path).returncode != 0:
        assert time.monotonic() < deadline
    assert "ResourceNotFoundException" in python(bought, program).stderr


@pytest.mark.parametrize("example", ["RUN-138", "RUN-140"])
def test_the_program_s_own_parameter_is_one_that_boto3_does_not_have(
    bought: Gateway, example: str
) -> None:
    done = python(bought, text(f"{example}.py"))
    assert 'Missing required parameter in input: "provisionedModelId"' in done.stderr
