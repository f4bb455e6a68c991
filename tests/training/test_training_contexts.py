"""A record is no longer than the texts that its base was trained for."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf
from tiny_bases import write_base
from training_data import spec_of, write

from outcrop.training.contexts import find_context
from outcrop.training.datasets import DataRejected
from outcrop.training.job import read_data
from outcrop.training.spec import BaseWeights


def test_a_gguf_file_tells_its_context(tmp_path: Path):
    file = write_gguf(tmp_path / "base.gguf", {"llama.context_length": 8192})
    assert find_context(str(file)) == 8192


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"text_config": {"max_position_embeddings": 1024}, "model_type": "gemma3"}, 1024),
        ({"text_config": None}, None),
        ({}, None),
        ([], None),
    ],
)
def test_a_directory_tells_its_context(tmp_path: Path, config: Any, tokens: int | None):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert find_context(str(tmp_path)) == tokens


def test_what_cannot_be_read_tells_none(tmp_path: Path):
    file = tmp_path / "base.gguf"
    file.write_bytes(b"GGUF")
    assert find_context(str(file)) is None
    assert find_context(str(tmp_path)) is None


def test_a_record_longer_than_the_base_s_context_is_refused(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = write_base(tmp_path)
    told = BaseWeights(source=str(base), fingerprint="tiny")
    short, long = ({"input": "who", "output": "a" * count} for count in (100, 600))
    assert len(read_data(spec_of(write(tmp_path, short), base=told)).training) == 1
    with pytest.raises(DataRejected, match=r"Max sum of .* exceeds total limit of 512"):
        read_data(spec_of(write(tmp_path, short, long), base=told))
    smaller = spec_of(write(tmp_path, short), base=told, context_tokens=64)
    with pytest.raises(DataRejected, match="exceeds total limit of 64"):
        read_data(smaller)
