"""The documents' command for private endpoints (RUN-199), unmodified, with both AWS CLIs."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running_gateways import Gateway

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"


@pytest.mark.parametrize("version", ["aws_v1", "aws_v2"])
def test_the_documents_command_lists_the_zones_of_the_service(
    version: str, scripted_gateway: Gateway, request: Any
) -> None:
    aws: Path = request.getfixturevalue(version)
    environment = dict(scripted_gateway.environment)
    environment["PATH"] = f"{aws.parent}:{environment['PATH']}"
    environment["AWS_PAGER"] = ""
    command = (EXAMPLES / "RUN-199.sh").read_text(encoding="utf-8")
    done = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    (details,) = json.loads(done.stdout)["ServiceDetails"]
    name = (EXAMPLES / "RUN-200.txt").read_text(encoding="utf-8").strip()
    assert details["ServiceName"] == name
    assert details["AvailabilityZones"] == ["regiona"]
