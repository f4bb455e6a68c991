"""``outcrop tls init`` makes what a server and unmodified clients need to speak TLS."""

import os
import shlex
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
import typer
from cryptography import x509
from running_gateways import ACCESS_KEY, SCRIPTED, SECRET_KEY, start_gateway
from typer.testing import CliRunner

from outcrop.security.authority import tls_files


def test_the_certificate_names_loopback_and_what_was_asked_for(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    result = CliRunner().invoke(outcrop, ["tls", "init", "--name", "bedrock.example.test"])
    assert result.exit_code == 0
    files = tls_files(tmp_path / "data")
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "*.localhost", socket.gethostname(), "bedrock.example.test"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    assert {"127.0.0.1", "::1"} <= set(addresses)
    assert f"export AWS_CA_BUNDLE={shlex.quote(str(files.authority))}" in result.output
    assert f'tls_key = "{files.key}"' in result.output


def test_only_the_owner_can_read_what_was_made(outcrop: typer.Typer, tmp_path: Path) -> None:
    CliRunner().invoke(outcrop, ["tls", "init"])
    folder = tls_files(tmp_path / "data").key.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {0o600}


def test_a_second_certificate_comes_from_the_same_authority(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    files = tls_files(tmp_path / "data")
    CliRunner().invoke(outcrop, ["tls", "init"])
    authority, certificate = files.authority.read_bytes(), files.certificate.read_bytes()
    CliRunner().invoke(outcrop, ["tls", "init"])
    assert files.authority.read_bytes() == authority
    assert files.certificate.read_bytes() != certificate


def test_a_name_that_is_none_is_refused(outcrop: typer.Typer) -> None:
    result = CliRunner().invoke(outcrop, ["tls", "init", "--name", "not a host"])
    assert result.exit_code == 1
    assert "'not a host' is no host name" in result.output


@pytest.fixture
def secured(tmp_path: Path, outcrop: typer.Typer) -> Any:
    CliRunner().invoke(outcrop, ["tls", "init"])
    files = tls_files(tmp_path / "data")
    server = f'[server]\ntls_certificate = "{files.certificate}"\ntls_key = "{files.key}"\n'
    gateway = start_gateway(tmp_path, server + SCRIPTED)
    yield gateway
    gateway.stop()


def test_boto3_trusts_the_server_by_the_printed_export(
    secured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = subprocess.check_output(
        [sys.executable, "-m", "outcrop", "env", "--data-dir", str(secured.data_dir)], text=True
    )
    authority = str(tls_files(tmp_path / "data").authority)
    assert f"export AWS_CA_BUNDLE={shlex.quote(authority)}" in printed
    monkeypatch.setenv("AWS_CA_BUNDLE", authority)
    client = cast(Any, boto3).client(
        "bedrock",
        region_name="us-east-1",
        endpoint_url=secured.url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    assert client.list_foundation_models()["modelSummaries"]


@pytest.mark.parametrize(
    ("version", "forward_secret"),
    [
        (ssl.TLSVersion.TLSv1_2, ("ECDHE",)),
        (ssl.TLSVersion.TLSv1_3, ("TLS_AES", "TLS_CHACHA20")),
    ],
)
def test_tls_1_2_and_1_3_are_spoken_with_forward_secrecy(
    secured: Any, tmp_path: Path, version: ssl.TLSVersion, forward_secret: tuple[str, ...]
) -> None:
    context = ssl.create_default_context(cafile=str(tls_files(tmp_path / "data").authority))
    context.minimum_version = context.maximum_version = version
    with context.wrap_socket(_connected(secured.url), server_hostname="localhost") as connection:
        cipher = connection.cipher()
    assert cipher is not None
    assert cipher[0].startswith(forward_secret)


def test_ciphers_without_forward_secrecy_are_refused(secured: Any, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(tls_files(tmp_path / "data").authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA")
    with (
        _connected(secured.url) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def _connected(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))


def test_plain_http_beyond_loopback_needs_to_be_allowed(tmp_path: Path) -> None:
    # Refused: that is the point.
    everywhere = "0.0.0.0"  # noqa: S104
    command = [sys.executable, "-m", "outcrop", "serve", "--host", everywhere, "--port", "0"]
    ended = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if "OUTCROP" not in name},
    )
    assert ended.returncode == 1
    assert "outcrop tls init" in ended.stderr
    assert "Traceback" not in ended.stderr
