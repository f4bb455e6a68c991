"""Numbers that no engine could work with are refused at the start, by file and key."""

from pathlib import Path

import pytest

from outcrop.config import ConfigError, load

LLAMA = 'kind = "llama"\nmodel = "smollm2-135m-instruct"'
OPENAI = 'kind = "openai"\nurl = "http://127.0.0.1:1/v1"'


@pytest.mark.parametrize(
    ("engine", "setting"),
    [
        (LLAMA, "slots = 0"),
        (LLAMA, "queue = -1"),
        (LLAMA, "context = 0"),
        (LLAMA, "threads = -1"),
        (LLAMA, "timeout_s = 0"),
        (OPENAI, "queue = 0"),
        (OPENAI, "context = 0"),
        (OPENAI, "timeout_s = -1"),
        ('kind = "bedrock"\nregion = "us-east-1"', "queue = 0"),
        ('kind = "onnx"\nmodel = "all-minilm-l6-v2"', "threads = 0"),
        ('kind = "scripted"', "tokens = -1"),
    ],
)
def test_a_number_out_of_range_names_its_file_and_key(
    tmp_path: Path, engine: str, setting: str
) -> None:
    file = tmp_path / "outcrop.toml"
    file.write_text(f"[engines.mine]\n{engine}\n{setting}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load(file, environment={})
    assert str(file) in str(refusal.value)
    assert setting.split(" ", 1)[0] in str(refusal.value)


@pytest.mark.parametrize(
    ("replicas", "told"),
    [
        ('{one = ["nobody"]}', "no engine is named 'nobody'"),
        ('{nobody = ["one"]}', "no engine is named 'nobody'"),
        ('{one = ["local"]}', "'local' is of another kind than 'one'"),
        ('{one = ["two", "one"]}', "'one' is a replica of itself"),
    ],
)
def test_replicas_are_other_engines_of_the_same_kind(tmp_path: Path, replicas: str, told: str):
    file = tmp_path / "outcrop.toml"
    engines = f"[engines.one]\n{OPENAI}\n[engines.two]\n{OPENAI}\n[engines.local]\n{LLAMA}\n"
    file.write_text(f"{engines}[capacity]\nreplicas = {replicas}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"outcrop\.toml: \[capacity\]: replicas: .*{told}"):
        load(file, {})


def test_replicas_of_an_engine_are_read(tmp_path: Path):
    file = tmp_path / "outcrop.toml"
    engines = f"[engines.one]\n{OPENAI}\n[engines.two]\n{OPENAI}\n"
    file.write_text(f'{engines}[capacity]\nreplicas = {{one = ["two"]}}\n', encoding="utf-8")
    assert load(file, {}).capacity.replicas == {"one": ("two",)}
