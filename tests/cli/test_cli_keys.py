"""``outcrop keys`` and ``outcrop env`` on a data directory, as a user types them."""

import json
import os
import shlex
import socket
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.security.masterkey import FILE_NAME
from outcrop.server import status

ACCOUNT = "123456789012"
SECRET = "it's $HOME; `secret`"


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result


def exports(app: typer.Typer) -> dict[str, str]:
    lines = run(app, "env").stdout.splitlines()
    words = [shlex.split(line)[1] for line in lines if line.startswith("export ")]
    return dict(word.split("=", 1) for word in words)


def listed(app: typer.Typer) -> list[dict[str, str]]:
    return json.loads(run(app, "keys", "list", "--json").stdout)


def test_env_points_every_client_here(outcrop: typer.Typer) -> None:
    shown = exports(outcrop)
    url = "http://127.0.0.1:4510"
    assert shown["AWS_ENDPOINT_URL"] == shown["ANTHROPIC_BEDROCK_BASE_URL"] == url
    assert shown["AWS_BEDROCK_RUNTIME_ENDPOINT"] == url
    assert shown["AWS_REGION"] == shown["AWS_DEFAULT_REGION"] == "us-east-1"
    assert [key["id"] for key in listed(outcrop)] == [shown["AWS_ACCESS_KEY_ID"]]
    assert exports(outcrop) == shown


def test_env_survives_the_shells_eval(
    outcrop: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = SECRET.replace(" ", "+")
    monkeypatch.setenv("OUTCROP_ACCESS_KEY_ID", "AKIAADMINADMINADMIN1")
    monkeypatch.setenv("OUTCROP_SECRET_ACCESS_KEY", secret)
    program = run(outcrop, "env").stdout + '\nprintf %s "$AWS_SECRET_ACCESS_KEY"'
    shell = subprocess.run(["/bin/sh"], input=program, capture_output=True, text=True, check=True)
    assert shell.stdout == secret


def test_env_clears_away_what_another_account_left(outcrop: typer.Typer) -> None:
    """With a real account's session token or profile, every SDK would sign with the wrong key."""
    program = run(outcrop, "env").stdout + "\nenv"
    left = {"AWS_SESSION_TOKEN": "t", "AWS_PROFILE": "work", "AWS_BEARER_TOKEN_BEDROCK": "b"}
    left |= {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://example.com"}
    shell = subprocess.run(
        ["/bin/sh", "-u"],
        input=program,
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ) | left,
    )
    assert "AWS_ENDPOINT_URL=" in shell.stdout
    assert not any(name in shell.stdout for name in left)


def test_env_follows_the_running_server(outcrop: typer.Typer, tmp_path: Path) -> None:
    exports(outcrop)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        status.write(tmp_path / "data", status.Status(url, os.getpid()))
        assert exports(outcrop)["AWS_ENDPOINT_URL"] == url
    # The process lives and nobody listens: it is another one that got the same ID.
    assert exports(outcrop)["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4510"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (str(IPv4Address(0)), "http://127.0.0.1:4510"),
        ("::", "http://[::1]:4510"),
        ("box", "http://box:4510"),
    ],
)
def test_env_names_an_address_that_clients_can_reach(
    host: str, url: str, outcrop: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTCROP_HOST", host)
    assert exports(outcrop)["AWS_ENDPOINT_URL"] == url


def test_a_key_is_made_disabled_enabled_and_deleted(outcrop: typer.Typer) -> None:
    made = json.loads(run(outcrop, "keys", "create", "--json").stdout)
    key_id = made["AWS_ACCESS_KEY_ID"]
    assert key_id in run(outcrop, "keys", "list").stdout
    assert made["AWS_SECRET_ACCESS_KEY"] not in run(outcrop, "keys", "list").output
    statuses: list[str] = []
    for command in ("disable", "enable"):
        run(outcrop, "keys", command, key_id)
        statuses += [key["status"] for key in listed(outcrop) if key["id"] == key_id]
    assert statuses == ["Inactive", "Active"]
    run(outcrop, "keys", "delete", key_id)
    assert key_id not in run(outcrop, "keys", "list").stdout


def test_a_bearer_key_ends_when_asked(outcrop: typer.Typer) -> None:
    made = json.loads(run(outcrop, "keys", "create", "--bearer", "--days", "3", "--json").stdout)
    assert made["AWS_BEARER_TOKEN_BEDROCK"].startswith("ABSK")
    key = next(key for key in listed(outcrop) if key["kind"] == "bearer")
    assert key["id"] == made["id"]
    assert key["expires"] is not None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["keys", "create", "--user", "nobody"], f"Account {ACCOUNT} has no user 'nobody'."),
        (["keys", "create", "--days", "3"], "--days is for bearer keys"),
        (["keys", "delete", "AKIANONE"], "has no key 'AKIANONE'. `outcrop keys list` shows all."),
        (["keys", "list", "--config", "/nowhere.toml"], "/nowhere.toml cannot be read"),
        (["env", "--data-dir", "/dev/null"], "Choose another with --data-dir"),
    ],
)
def test_an_error_is_a_sentence_and_exit_code_1(
    arguments: list[str], sentence: str, outcrop: typer.Typer
) -> None:
    result = run(outcrop, *arguments, code=1)
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_a_lost_master_key_is_told_and_not_replaced(outcrop: typer.Typer, tmp_path: Path) -> None:
    exports(outcrop)
    file = tmp_path / "data" / FILE_NAME
    file.unlink()
    assert "is missing" in run(outcrop, "env", code=1).stderr
    assert not file.exists()
