"""``outcrop doctor`` on mail and telemetry."""

import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner


def doctor(outcrop: typer.Typer, *arguments: str) -> str:
    result = CliRunner().invoke(outcrop, ["doctor", *arguments])
    assert isinstance(result.exception, SystemExit | None)
    return result.output


def configured(folder: Path, toml: str) -> tuple[str, str]:
    (folder / "outcrop.toml").write_text(toml, encoding="utf-8")
    return "--config", str(folder / "outcrop.toml")


def test_no_word_of_what_is_not_configured(outcrop: typer.Typer) -> None:
    output = doctor(outcrop)
    assert "mail" not in output
    assert "telemetry" not in output
    assert "GiB free for records in" in output


def test_a_mail_server_that_does_not_answer_is_told(outcrop: typer.Typer, tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody answers there.
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = configured(tmp_path, f'[mail]\nhost = "127.0.0.1"\nport = {port}\n')
        output = doctor(outcrop, *settings)
    assert f"!!  mail goes by 127.0.0.1:{port}, which does not answer" in output
    assert "correct [mail]" in output


def test_a_password_that_is_not_set_is_told_by_its_variable(
    outcrop: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    toml = '[mail]\nhost = "127.0.0.1"\nusername = "ada"\npassword_env = "SMTP_PASSWORD"\n'
    output = doctor(outcrop, *configured(tmp_path, toml))
    assert "the variable SMTP_PASSWORD is not set" in output


def test_where_telemetry_goes_is_told_without_what_else_the_address_holds(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    toml = '[telemetry]\notlp_endpoint = "http://user:hidden@collector:4318"\n'
    output = doctor(outcrop, *configured(tmp_path, toml))
    assert "ok  telemetry goes to collector" in output
    assert "hidden" not in output
