"""Buckets of a running gateway, and second accounts in it."""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from running_gateways import Gateway


def new_bucket(s3: Any) -> str:
    name = f"tests-{uuid.uuid4().hex[:16]}"
    s3.create_bucket(Bucket=name)
    return name


def refusal(action: Any, **params: Any) -> tuple[str, int, str]:
    """Code, status and text of an answer that refuses."""
    try:
        action(**params)
    except ClientError as error:
        told: Any = error.response
        told_error = told["Error"]
        return told_error["Code"], told["ResponseMetadata"]["HTTPStatusCode"], told_error["Message"]
    raise AssertionError("it was not refused")


def new_account(gateway: Gateway, name: str) -> tuple[str, str, str]:
    """Its number, and the key and secret of its root user."""
    command = [sys.executable, "-m", "outcrop", "accounts", "create", name, "--json"]
    done = subprocess.run(
        [*command, "--data-dir", str(gateway.data_dir)], check=True, capture_output=True
    )
    made = json.loads(done.stdout)
    found = made["id"], made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"]
    _await_known(gateway.client("sts", key=found[1], secret=found[2]))
    return found


def _await_known(sts: Any) -> None:
    """The gateway learns of what another process wrote by looking now and then."""
    until = time.monotonic() + 30
    while True:
        try:
            sts.get_caller_identity()
            return
        except ClientError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("the process has no memory of its own")
