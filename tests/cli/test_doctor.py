"""``outcrop doctor`` tells what is wrong, and never breaks off over it."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from outcrop.security.masterkey import FILE_NAME


def test_missing_models_are_told_with_the_command_that_fetches_them(outcrop: typer.Typer) -> None:
    result = CliRunner().invoke(outcrop, ["doctor"])
    assert result.exit_code == 1
    assert "outcrop models pull smollm2-135m-instruct" in result.output


def test_a_lost_master_key_is_told_and_the_rest_is_looked_at(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    assert CliRunner().invoke(outcrop, ["keys", "create"]).exit_code == 0
    (tmp_path / "data" / FILE_NAME).unlink()
    result = CliRunner().invoke(outcrop, ["doctor"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"{FILE_NAME} is missing" in result.output
    assert "engine minilm" in result.output


def test_a_host_that_is_not_known_is_told(
    outcrop: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTCROP_HOST", "no such host")
    result = CliRunner().invoke(outcrop, ["doctor"])
    assert isinstance(result.exception, SystemExit)
    assert "no such host:4510 cannot be listened on" in result.output


def test_the_store_of_objects_is_told(outcrop: typer.Typer) -> None:
    result = CliRunner().invoke(outcrop, ["doctor"])
    assert "ok  objects: " in result.output


def test_what_can_be_trained_here_is_told(outcrop: typer.Typer) -> None:
    result = CliRunner().invoke(outcrop, ["doctor"])
    assert re.search(
        r"^ok  training: torch \S+ on .+ GiB of memory available$", result.stdout, re.M
    )
