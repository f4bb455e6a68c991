"""What the operator of a gateway runs beside it."""

import os
import subprocess
import sys

from running_gateways import Gateway


def outcrop(gateway: Gateway, *arguments: str) -> str:
    """A command of the operator's on the gateway's data directory."""
    done = subprocess.run(
        [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)],
        env={name: value for name, value in os.environ.items() if "AWS" not in name},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
