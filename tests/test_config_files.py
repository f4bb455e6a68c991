"""The configuration: what is wrong is named with its file and key, what is empty is not there."""

from pathlib import Path

import pytest

from outcrop.config import Config, ConfigError, load


def loaded(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    file = tmp_path / "my outcrop.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environment or {}, {"server.port": 0})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("server = 5", "'server' must be a table"),
        ("engines = 5", "$.engines"),
        ("[engines.big]\nkind = 'llama'\nmodel = 'x'\nslot = 2", r"[engines.big]: .*`slot`"),
        ("[engines.big]\nkind = 'lama'", r"[engines.big]: .*'lama'"),
        ("[engines.big]\nmodel = 'x'", r"[engines.big]: .*`kind`"),
        ("[[bind]]\npattern = '*'", "$.bind"),
        ("[server]\nregio = 'x'", "`regio`"),
        ("data_dir = 5", "$.data_dir"),
        ("unsupported = 'ignore'", "$.unsupported"),
    ],
)
def test_a_typing_error_is_named_with_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    pattern = key.replace("[", r"\[").replace("]", r"\]").replace("$", r"\$")
    with pytest.raises(ConfigError, match=f"my outcrop.toml: .*{pattern}") as caught:
        loaded(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_an_empty_variable_is_unset(tmp_path: Path) -> None:
    """An empty data directory would be the folder one stands in."""
    variables = {"OUTCROP_DATA_DIR": "", "OUTCROP_PORT": "", "OUTCROP_REGION": "eu-west-3"}
    config = loaded(tmp_path, "", variables)
    assert config.data_dir == Path("~/.outcrop").expanduser()
    assert config.server.region == "eu-west-3"


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="OUTCROP_PORT"):
        load(None, {"OUTCROP_PORT": "tcp://10.0.0.1:4510"})


def test_a_tilde_is_the_home_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = """
        data_dir = "~/data"
        catalog = ["~/models.toml"]
        server = { tls_certificate = "~/a.pem", tls_key = "~/a.key" }
    """
    config = loaded(tmp_path, text)
    found = (config.data_dir, *config.catalog, config.server.tls_certificate, config.server.tls_key)
    assert found == tuple(tmp_path / name for name in ("data", "models.toml", "a.pem", "a.key"))


def test_without_a_home_a_whole_path_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="Set HOME, or write the whole path"):
        load(None, {}, {"data_dir": "~nobody-of-this-name/data"})
