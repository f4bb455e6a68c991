"""What ``outcrop models list`` tells of who serves a model, also where regions have their own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outcrop.cli.app import build

REGIONAL = """
[engines.oregon]
kind = "openai"
url = "http://gpu-7:8000/v1"
model = "large"

[[bind]]
pattern = "cohere.command-r-*"
engine = "oregon"
regions = ["us-west-2", "eu-central-1"]
"""
LONGEST = "cohere.command-light-text-v14:7:4k"


def listed(folder: Path, *arguments: str) -> str:
    config = folder / "outcrop.toml"
    config.write_text(REGIONAL)
    asked = ["models", "list", "--provider", "cohere", "--config", str(config), *arguments]
    result = CliRunner().invoke(build(("models",)), [*asked, "--data-dir", str(folder / "data")])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_model_has_a_row_for_each_way_that_regions_serve_it(tmp_path: Path) -> None:
    rows = json.loads(listed(tmp_path, "--json"))
    ways = {
        name: [(row["engine"], row["regions"]) for row in rows if row["modelId"] == name]
        for name in ("cohere.command-r-v1:0", LONGEST)
    }
    assert ways == {
        "cohere.command-r-v1:0": [("smollm2", []), ("oregon", ["us-west-2", "eu-central-1"])],
        LONGEST: [("smollm2", [])],
    }


@pytest.mark.parametrize("columns", ["80", None])
def test_the_table_names_models_and_regions_whole(
    columns: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    lines = listed(tmp_path).splitlines()
    assert [line.split()[:3] for line in lines if LONGEST in line] == [[LONGEST, "all", "Cohere"]]
    found = [line for line in lines if line.startswith("cohere.command-r-v1:0 ")]
    assert "all others" in found[0]
    assert "us-west-2" in found[1]
    assert "oregon" in found[1]
