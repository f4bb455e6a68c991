"""Gateways as users run them: ``outcrop serve`` in a process of its own, on a free port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3
import botocore.config
import pytest

from outcrop.config import ModelAccess, Quotas
from outcrop.server import status

ACCESS_KEY = "AKIAOUTCROPTESTS0001"
SECRET_KEY = "tests/only/0123456789abcdefghijklmnopqrs"
ACCOUNT = "123456789012"

SCRIPTED = """
[engines.script]
kind = "scripted"

[[bind]]
pattern = "*"
engine = "script"
"""

OPEN = {"OUTCROP_ACCESS_DEFAULT": "all", "OUTCROP_QUOTAS_PROFILE": "off"}
"""Every account may use every model, as often as it likes; the defaults are those of AWS."""

OPEN_SETTINGS: Mapping[str, Any] = {
    "access": ModelAccess(default="all"),
    "quotas": Quotas(profile="off"),
}
"""The same, for a ``Config`` made in the test's own process."""

REAL = """
[engines.smollm2]
kind = "llama"
model = "smollm2-135m-instruct"
context = 2048
slots = 2
threads = 1
"""


@dataclass
class Gateway:
    """A running server and what a client needs to call it."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    config: Path

    @property
    def environment(self) -> dict[str, str]:
        """What ``eval "$(outcrop env)"`` would leave in a shell, and no other credentials."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "OUTCROP_"))
        }
        return kept | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "ANTHROPIC_BEDROCK_BASE_URL": self.url,
            "AWS_BEDROCK_RUNTIME_ENDPOINT": self.url,
        }

    def client(
        self,
        service: str,
        region: str = "us-east-1",
        *,
        key: str = ACCESS_KEY,
        secret: str = SECRET_KEY,
        **settings: Any,
    ) -> Any:
        """A signed boto3 client without retries, so that a test sees the first answer."""
        make_client = cast(Any, boto3).client
        config = cast(Any, botocore.config).Config
        return make_client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=config(retries={"total_max_attempts": 1}, read_timeout=120, **settings),
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


def start_gateway(
    folder: Path, toml: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> Gateway:
    """Starts ``outcrop serve`` on ``folder`` and returns once it answers. ``variables`` win over
    the open configuration; a TOML file that sets what they set wants them empty."""
    config = folder / "outcrop.toml"
    config.write_text(toml, encoding="utf-8")
    data_dir = folder / "data"
    environment = {name: value for name, value in os.environ.items() if "AWS" not in name} | {
        "OUTCROP_ACCESS_KEY_ID": ACCESS_KEY,
        "OUTCROP_SECRET_ACCESS_KEY": SECRET_KEY,
        "OUTCROP_ACCOUNT_ID": ACCOUNT,
        **OPEN,
        **(variables or {}),
    }
    command = [sys.executable, "-m", "outcrop", "serve", "--port", "0", "--config", str(config)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", str(data_dir), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    deadline = time.monotonic() + 60
    while (found := status.find(data_dir)) is None or found.pid != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"outcrop serve did not start:\n{(folder / 'server.log').read_text()}")
        time.sleep(0.02)
    return Gateway(process, found.url, data_dir, config)
