"""Commands of the README and the pages on the account, as they stand there, and the examples."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICKSTART = ROOT / "scripts" / "quickstart"
ACCOUNT_PART = README.split("\n## The account around it\n")[1].split("\n## ")[0]
ONE_USER, ONE_ROLE, KEYS_AND_OBJECTS = re.findall(r"```sh\n(.*?)```", ACCOUNT_PART, re.DOTALL)
HAPPENED_PART = README.split("\n## What happened\n")[1].split("\n## ")[0]
(WHAT_HAPPENED,) = re.findall(r"```sh\n(.*?)```", HAPPENED_PART, re.DOTALL)

NETWORKS = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
(ONE_ENDPOINT,) = re.findall(r"```sh\n(.*?)```", NETWORKS, re.DOTALL)


@pytest.fixture(scope="module")
def own_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The commands leave behind what they make."""
    gateway = start_gateway(tmp_path_factory.mktemp("readme"), SCRIPTED)
    yield gateway
    gateway.stop()


def _run(commands: str, gateway: Gateway, aws: Path) -> str:
    environment = gateway.environment | {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "OUTCROP_DATA_DIR": str(gateway.data_dir),
        "AWS_PAGER": "",
    }
    done = subprocess.run(
        ["sh", "-euc", f'aws() {{ "{aws}" "$@"; }}\n{commands}'],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_user_may_call_one_model(own_gateway: Gateway, aws_v2: Path) -> None:
    told = _run(f"{ONE_USER}\naws sts get-caller-identity", own_gateway, aws_v2)
    assert "allowed" in told
    assert f"arn:aws:iam::{ACCOUNT}:user/ann" in told.splitlines()[-2]


def test_a_role_is_assumed(own_gateway: Gateway, aws_v2: Path) -> None:
    told = _run(ONE_ROLE, own_gateway, aws_v2)
    assert f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/demo" in told


def test_a_key_seals_a_text_a_secret_and_an_object(own_gateway: Gateway, aws_v2: Path) -> None:
    told = _run(KEYS_AND_OBJECTS, own_gateway, aws_v2)
    kms, secrets, s3 = map(own_gateway.client, ("kms", "secretsmanager", "s3"))
    key = kms.describe_key(KeyId="alias/mine")["KeyMetadata"]["Arn"]
    sealed = base64.b64decode(told.splitlines()[0], validate=True)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == QUICKSTART.read_bytes()
    assert secrets.get_secret_value(SecretId="db/password")["SecretString"] == "hunter2"
    kept = s3.get_object(Bucket="corpus", Key="README.md")
    assert (kept["SSEKMSKeyId"], kept["Body"].read()) == (key, README.encode())


def test_what_happened_is_told_by_trail_metrics_and_log(own_gateway: Gateway, aws_v2: Path) -> None:
    runtime = own_gateway.client("bedrock-runtime")
    turns = [{"role": "user", "content": [{"text": "xyzzy"}]}]
    runtime.converse(modelId="anthropic.claude-v2", messages=turns)
    told = _run(WHAT_HAPPENED, own_gateway, aws_v2)
    assert "admin\tConverse" in told
    assert "InvocationLatency" in told
    assert 'model_id="anthropic.claude-v2"' in told
    assert "xyzzy" not in told
    assert "  bedrock-runtime.Converse  " in told


def test_a_private_endpoint_is_made(own_gateway: Gateway, aws_v2: Path) -> None:
    *_, row = _run(ONE_ENDPOINT, own_gateway, aws_v2).splitlines()
    endpoint = row.split()[0]
    (made,) = own_gateway.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[endpoint])[
        "VpcEndpoints"
    ]
    assert made["ServiceName"] == "com.amazonaws.us-east-1.bedrock-runtime"
    assert '"Action": "bedrock:InvokeModel"' in made["PolicyDocument"]


@pytest.mark.parametrize(
    ("example", "told"),
    [
        ("stream.py", ["The model that really answered: "]),
        (
            "identity.py",
            [
                f"Calling as arn:aws:iam::{ACCOUNT}:user/example-ann",
                "anthropic.claude-v2: allowed. ",
                "amazon.titan-text-express-v1: denied. "
                f"User: arn:aws:iam::{ACCOUNT}:user/example-ann is not authorized to perform: "
                "bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/"
                "amazon.titan-text-express-v1 because no identity-based policy allows the "
                "bedrock:InvokeModel action",
            ],
        ),
    ],
)
def test_an_example_runs(example: str, told: list[str], own_gateway: Gateway) -> None:
    for _ in range(2):  # It takes away what it makes.
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / example)],
            env=own_gateway.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert all(line in done.stdout for line in told), done.stdout


def test_every_example_is_run_here() -> None:
    (marks,) = (mark for mark in _marks(test_an_example_runs) if mark.name == "parametrize")
    assert {case[0] for case in marks.args[1]} == {
        file.name for file in (ROOT / "examples").iterdir() if file.suffix == ".py"
    }


def _marks(function: Any) -> list[Any]:
    return function.pytestmark
