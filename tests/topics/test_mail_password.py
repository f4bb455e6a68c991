"""The password of the mail server comes from the variable that the configuration names."""

from pathlib import Path

import pytest
from in_process import running_inside

from outcrop.config import ConfigError, Mail
from outcrop.topics.mail_password import password_of

MAIL = Mail(host="localhost", username="ada", password_env="SMTP_PASSWORD")


def test_it_is_read_from_its_variable() -> None:
    assert password_of(MAIL, {"SMTP_PASSWORD": "hidden"}) == "hidden"
    assert password_of(Mail(host="localhost"), {}) == ""


async def test_no_server_starts_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="the variable SMTP_PASSWORD is not set"):
        async with running_inside(tmp_path, monkeypatch, mail=MAIL):
            pass
