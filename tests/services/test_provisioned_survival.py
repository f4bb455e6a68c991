"""Servers that are killed while they create or update provisioned throughput: it goes on by itself.

The engine is one that cannot start as it is configured, so that its job is tried again and again;
before the restart somebody mends the configuration.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from running_gateways import SCRIPTED, Gateway, start_gateway

SHORT, LONG = "anthropic.claude-v2:0:18k", "anthropic.claude-v2:0:100k"
UNITS = "L-B826AE6A"
BODY = msgspec.json.encode({"prompt": "\n\nHuman: hi\n\nAssistant:", "max_tokens_to_sample": 4})
WAIT_S = 120

# Its file is not there yet.
WITHOUT_FILE = """
[engines.gpu]
kind = "llama"
model = "/nowhere/large.gguf"

[engines.card]
kind = "llama"
model = "/nowhere/large.gguf"

[capacity]
replicas = { gpu = ["card"] }

[[bind]]
pattern = "*"
engine = "gpu"
"""
# The engine serves one model, and none of this name.
WRONG_MODEL = f"""
[[bind]]
pattern = "{LONG}"
engine = "script"
model = "large"
"""


def run(gateway: Gateway, *arguments: str) -> None:
    command = [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)]
    done = subprocess.run(
        command, env=gateway.environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def buy(gateway: Gateway) -> str:
    """Its ARN."""
    bedrock = gateway.client("bedrock")
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            made = bedrock.create_provisioned_model_throughput(
                provisionedModelName="mine",
                modelId=SHORT,
                modelUnits=1,
                commitmentDuration="OneMonth",
            )
        except bedrock.exceptions.ServiceQuotaExceededException:
            # The server notices what another process wrote a little later.
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return made["provisionedModelArn"]


def get(gateway: Gateway) -> dict[str, Any]:
    return gateway.client("bedrock").get_provisioned_model_throughput(provisionedModelId="mine")


def settled(gateway: Gateway) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while (found := get(gateway))["status"] in ("Creating", "Updating"):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def invoke(gateway: Gateway, arn: str) -> str:
    answer = gateway.client("bedrock-runtime").invoke_model(modelId=arn, body=BODY)
    assert msgspec.json.decode(answer["body"].read())["completion"]
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-served-by"]


def kill(gateway: Gateway) -> None:
    gateway.process.kill()
    gateway.process.wait()


def test_what_was_being_created_is_in_service_after_kill_9_and_a_restart(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, WITHOUT_FILE)
    try:
        run(gateway, "quotas", "set", UNITS, "1")
        arn = buy(gateway)
        assert get(gateway)["status"] == "Creating"
        kill(gateway)
        gateway = start_gateway(tmp_path, SCRIPTED)
        found = settled(gateway)
        assert (found["provisionedModelArn"], found["status"]) == (arn, "InService")
        assert invoke(gateway, arn) == "scripted"
    finally:
        gateway.stop()


def test_what_was_being_updated_serves_at_once_and_is_updated_after_kill_9_and_a_restart(
    tmp_path: Path,
) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED + WRONG_MODEL)
    try:
        run(gateway, "quotas", "set", UNITS, "1")
        arn = buy(gateway)
        assert settled(gateway)["status"] == "InService"
        gateway.client("bedrock").update_provisioned_model_throughput(
            provisionedModelId="mine", desiredModelId=LONG
        )
        assert get(gateway)["status"] == "Updating"
        assert invoke(gateway, arn) == "scripted"
        kill(gateway)
        gateway = start_gateway(tmp_path, SCRIPTED)
        found = settled(gateway)
        assert (found["status"], found["modelArn"].rpartition("/")[2]) == ("InService", LONG)
        assert invoke(gateway, arn) == "scripted"
    finally:
        gateway.stop()
