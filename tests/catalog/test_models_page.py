from pathlib import Path

from outcrop.catalog.load import load_models
from outcrop.catalog.table import render

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def test_the_page_of_models_is_what_the_catalog_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(load_models().by_id.values())


def test_the_pages_example_of_an_own_file_loads(tmp_path: Path) -> None:
    example = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    file = tmp_path / "acme.toml"
    file.write_text(example, encoding="utf-8")
    added = load_models([file]).by_id.keys() - load_models().by_id.keys()
    assert added == {"acme.chat-v1:0", "acme.chat-v1:0:32k"}
