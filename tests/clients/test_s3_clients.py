"""Objects by the AWS CLIs, as their transfer clients ask for them: in parts and in ranges."""

import os
import subprocess
from pathlib import Path

import pytest
from running_gateways import Gateway

DATA = os.urandom(24 << 20)
CLIS = [("aws_v1", "classic"), ("aws_v2", "classic"), ("aws_v2", "crt")]


@pytest.mark.parametrize(("cli", "transfer"), CLIS, ids=["v1", "v2", "v2 crt"])
@pytest.mark.parametrize("encryption", [(), ("--sse", "aws:kms")], ids=["plain", "kms"])
def test_a_large_object_goes_up_and_comes_back_whole(
    scripted_gateway: Gateway,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    cli: str,
    transfer: str,
    encryption: tuple[str, ...],
) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\ns3 =\n  preferred_transfer_client = {transfer}\n")
    (tmp_path / "data").write_bytes(DATA)
    bucket = f"large-{os.getpid()}-{cli.replace('_', '-')}-{transfer}-{len(encryption)}"

    def aws(*arguments: str) -> str:
        done = subprocess.run(
            [str(request.getfixturevalue(cli)), "s3", *arguments],
            env=scripted_gateway.environment | {"AWS_CONFIG_FILE": str(config)},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    aws("mb", f"s3://{bucket}")
    aws("cp", "--no-progress", str(tmp_path / "data"), f"s3://{bucket}/one", *encryption)
    aws("cp", "--no-progress", f"s3://{bucket}/one", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == DATA
    assert str(len(DATA)) in aws("ls", f"s3://{bucket}")
    aws("rb", "--force", f"s3://{bucket}")
