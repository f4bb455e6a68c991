"""``outcrop doctor`` on the Redis that gateways count quotas in."""

from pathlib import Path

import pytest
import typer
from redis_servers import running_redis
from typer.testing import CliRunner

from outcrop.cli.doctor import judge_redis


def doctor(outcrop: typer.Typer) -> str:
    result = CliRunner().invoke(outcrop, ["doctor"])
    assert isinstance(result.exception, SystemExit | None)
    return result.output


def test_no_word_of_redis_where_none_is_configured(outcrop: typer.Typer) -> None:
    assert "Redis" not in doctor(outcrop)


def test_a_redis_that_counts_is_told_with_its_version(
    outcrop: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_redis() as server:
        monkeypatch.setenv("OUTCROP_REDIS_URL", server.url)
        assert "ok  quotas are counted in Redis 8." in doctor(outcrop)


def test_a_redis_that_does_not_answer_is_told_without_its_password(
    outcrop: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUTCROP_REDIS_URL", f"unix://:hidden@{tmp_path}/none.sock")
    output = doctor(outcrop)
    assert f"!!  Redis at {tmp_path}/none.sock cannot be used" in output
    assert "until it answers, no model is run" in output
    assert "hidden" not in output


def test_what_is_no_url_of_a_redis_is_told(
    outcrop: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTCROP_REDIS_URL", "http://:hidden@localhost")
    output = doctor(outcrop)
    assert "!!  quotas cannot be counted in Redis" in output
    assert "redis_url is not the URL of a Redis" in output
    assert "hidden" not in output


@pytest.mark.parametrize(
    ("version", "is_good"),
    [("7.0.0", True), ("8.2.3", True), ("10.0", True), ("6.2.14", False), ("unknown", False)],
)
def test_a_redis_that_is_too_old_is_told(version: str, is_good: bool) -> None:
    finding = judge_redis(version)
    assert version in finding.what
    assert finding.mend == ("" if is_good else "Use Redis 7 or later, or Valkey.")
