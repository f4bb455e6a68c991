"""``outcrop`` is the command line as it is installed, on a data directory of its own."""

import os
from pathlib import Path

import pytest
import typer

from outcrop.cli.app import build


@pytest.fixture
def outcrop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    for name in [name for name in os.environ if name.startswith("OUTCROP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OUTCROP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OUTCROP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OUTCROP_ACCOUNT_ID", "123456789012")
    names = ("access", "accounts", "billing", "doctor", "env", "jobs", "keys", "policy")
    return build((*names, "support", "tls"))
