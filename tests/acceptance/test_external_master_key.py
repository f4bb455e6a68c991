"""A deployment whose master key is wrapped by a KMS key of another one."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateways import SCRIPTED, Gateway, start_gateway

WRAPPED = "master.key.wrapped"


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("keeper"), SCRIPTED)
    yield gateway
    gateway.stop()


@pytest.fixture
def key(keeper: Gateway) -> str:
    return keeper.client("kms").create_key()["KeyMetadata"]["Arn"]


def configured(keeper: Gateway, key: str) -> str:
    return f"""
{SCRIPTED}
[master_key]
kms_key_id = "{key}"
region = "us-east-1"
endpoint_url = "{keeper.url}"
"""


def credentials(keeper: Gateway) -> dict[str, str]:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE")
    return {name: keeper.environment[name] for name in names}


def outcrop(keeper: Gateway, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "outcrop", *arguments],
        env={**keeper.environment, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def refused(keeper: Gateway, folder: Path, *, config: str | None = None) -> str:
    """What a start on that data directory says."""
    file = folder / "outcrop.toml"
    if config is not None:
        file.write_text(config, encoding="utf-8")
    arguments = ("--data-dir", str(folder / "data"), "--config", str(file))
    done = outcrop(keeper, "serve", "--port", "0", *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    doctor = outcrop(keeper, "doctor", *arguments)
    assert doctor.returncode == 1
    assert "cannot be used" in doctor.stdout
    return done.stderr


def secret_of(gateway: Gateway) -> Any:
    return gateway.client("secretsmanager").get_secret_value(SecretId="db")["SecretString"]


def test_the_data_opens_with_the_other_key_only(keeper: Gateway, key: str, tmp_path: Path) -> None:
    config = configured(keeper, key)
    gateway = start_gateway(tmp_path, config, variables=credentials(keeper))
    gateway.client("secretsmanager").create_secret(Name="db", SecretString="one")
    gateway.stop()
    assert not (gateway.data_dir / "master.key").exists()
    assert stat.S_IMODE((gateway.data_dir / WRAPPED).stat().st_mode) == 0o600
    gateway = start_gateway(tmp_path, config, variables=credentials(keeper))
    assert secret_of(gateway) == "one"
    gateway.stop()
    listed = outcrop(
        keeper, "keys", "list", "--json", "--config", str(gateway.config),
        "--data-dir", str(gateway.data_dir),
    )  # fmt: skip
    assert json.loads(listed.stdout)
    kms = keeper.client("kms")
    kms.disable_key(KeyId=key)
    told = refused(keeper, tmp_path)
    assert key in told
    assert "is disabled" in told
    kms.enable_key(KeyId=key)
    assert "[master_key]" in refused(keeper, tmp_path, config=SCRIPTED)
    other = keeper.client("kms").create_key()["KeyMetadata"]["Arn"]
    assert "IncorrectKeyException" in refused(keeper, tmp_path, config=configured(keeper, other))
    (gateway.data_dir / WRAPPED).write_text("AAAA", encoding="ascii")
    assert "InvalidCiphertext" in refused(keeper, tmp_path, config=config)
    (gateway.data_dir / WRAPPED).unlink()
    assert "is missing" in refused(keeper, tmp_path, config=config)


def test_a_key_that_cannot_be_asked_is_one_sentence(
    keeper: Gateway, key: str, tmp_path: Path
) -> None:
    nobody = configured(keeper, key).replace(keeper.url, "http://127.0.0.1:1")
    assert "does not answer" in refused(keeper, tmp_path, config=nobody)
    unknown = configured(keeper, key.rpartition("/")[0] + "/134f2428-cec1-4b25-a1ae-9048164dba47")
    assert "does not exist" in refused(keeper, tmp_path, config=unknown)


def test_a_deployment_with_a_key_of_its_own_gets_no_other(
    keeper: Gateway, key: str, tmp_path: Path
) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    gateway.stop()
    told = refused(keeper, tmp_path, config=configured(keeper, key))
    assert "was made without it" in told
