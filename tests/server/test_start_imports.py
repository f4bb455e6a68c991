"""What the start of a gateway leaves for later, so that it is short and the idle gateway small."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "aiohttp",
        "botocore.loaders",
        "botocore.session",
        "duckdb",
        "opentelemetry",
        "outcrop.objects.seaweed",
        "prometheus_client",
        "smtplib",
        "urllib3",
    ],
)
def test_a_gateway_starts_without_an_http_client(module: str):
    code = f"import sys, outcrop.cli.serve; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
