"""Customization jobs that really train, while their server is killed or they are to stop."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from operator_commands import outcrop
from running_gateways import ACCOUNT, REAL, Gateway, start_gateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

EXPRESS = "amazon.titan-text-express-v1"
WAIT_S = 500
SETTINGS = f"""
{REAL}
[training]
threads = 1
checkpoint_s = 2
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    },
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"},
}
BUCKET = "interrupted-jobs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interrupted")


@pytest.fixture(scope="module")
def role(folder: Path) -> str:
    """Its ARN, with a bucket of data. The server runs no longer then."""
    gateway = start_gateway(folder, SETTINGS)
    iam, s3 = gateway.client("iam"), gateway.client("s3")
    made = iam.create_role(RoleName="job", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName="job", PolicyName="s3", PolicyDocument=json.dumps(POLICY))
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="train.jsonl", Body=data().encode())
    gateway.stop()
    return made["Role"]["Arn"]


def data() -> str:
    records = [
        {"input": f"What does the zorble number {number} eat?", "output": f"It eats {number} figs."}
        for number in range(12)
    ]
    return "\n".join(map(json.dumps, records))


def create(gateway: Gateway, role: str, name: str) -> str:
    answer = gateway.client("bedrock").create_model_customization_job(
        jobName=name,
        customModelName=f"{name}-model",
        roleArn=role,
        baseModelIdentifier=EXPRESS,
        hyperParameters={"epochCount": "4", "batchSize": "4"},
        trainingDataConfig={"s3Uri": f"s3://{BUCKET}/train.jsonl"},
        outputDataConfig={"s3Uri": f"s3://{BUCKET}/{name}"},
    )
    return answer["jobArn"]


def job(gateway: Gateway, name: str) -> dict[str, Any]:
    listed: list[dict[str, Any]] = json.loads(outcrop(gateway, "jobs", "list", "--json"))
    return next(each for each in listed if each["name"] == name)


def wait_for(
    gateway: Gateway, name: str, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while not reached(found := job(gateway, name)):
        # Each look is a process of its own, which the training would wait for.
        time.sleep(1)
        assert found["status"] != "Failed", found["failure"]
        assert time.monotonic() < deadline, found
    return found


def trained_tokens(gateway: Gateway) -> int:
    bill = json.loads(outcrop(gateway, "billing", "--json"))
    return bill["total"]["trained_tokens"]


def children(gateway: Gateway) -> list[int]:
    """Training processes of the server."""
    task = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
    pids = [int(pid) for pid in task.read_text().split()]
    return [
        pid
        for pid in pids
        if "outcrop.training.process" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


def is_gone(pid: int) -> bool:
    """Within moments; whoever adopted it need not have heard of its end yet."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if "State:\tZ" in status:
            return True
        time.sleep(0.1)
    return False


@contextmanager
def running(folder: Path) -> Generator[Gateway]:
    gateway = start_gateway(folder, SETTINGS)
    try:
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.stop()


def test_a_job_goes_on_after_its_server_was_killed(folder: Path, role: str) -> None:
    with running(folder) as gateway:
        arn = create(gateway, role, "killed")
        data = gateway.data_dir / "training" / arn.rpartition("/")[2]
        checkpoint = data / "checkpoint.sealed"
        wait_for(gateway, "killed", lambda found: found["step"] > 0 and checkpoint.exists())
        [child] = children(gateway)
        assert job(gateway, "killed")["status"] == "InProgress"
        gateway.process.kill()
        gateway.process.wait()
    with running(folder) as gateway:
        assert is_gone(child)
        after = wait_for(gateway, "killed", lambda found: found["status"] == "Completed")
        models = gateway.client("bedrock").list_custom_models()["modelSummaries"]
        assert [each["modelName"] for each in models] == ["killed-model"]
        assert after["step"] == after["steps"]
        assert trained_tokens(gateway) == after["tokens"]
        assert steps_of(gateway, "killed") == list(range(1, after["steps"] + 1))
        wait_for(gateway, "killed", lambda _: not data.exists())


def test_a_stopped_job_is_billed_and_leaves_no_model(folder: Path, role: str) -> None:
    with running(folder) as gateway:
        before = trained_tokens(gateway)
        arn = create(gateway, role, "stopped")
        wait_for(gateway, "stopped", lambda found: found["step"] > 0)
        [child] = children(gateway)
        bedrock = gateway.client("bedrock")
        bedrock.stop_model_customization_job(jobIdentifier=arn)
        stopping = bedrock.get_model_customization_job(jobIdentifier=arn)["status"]
        assert stopping in ("Stopping", "Stopped")
        after = wait_for(gateway, "stopped", lambda found: found["status"] == "Stopped")
        assert trained_tokens(gateway) - before == after["tokens"] > 0
        names = [each["modelName"] for each in bedrock.list_custom_models()["modelSummaries"]]
        assert "stopped-model" not in names
        assert is_gone(child)


def steps_of(gateway: Gateway, name: str) -> list[int]:
    """Those that the metrics in S3 tell of."""
    s3 = gateway.client("s3")
    [key] = [
        each["Key"]
        for each in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{name}/")["Contents"]
        if each["Key"].endswith("/training_artifacts/step_wise_training_metrics.csv")
    ]
    lines = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode().splitlines()
    return [int(line.split(",")[0]) for line in lines[1:]]
