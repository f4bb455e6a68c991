import os
from pathlib import Path

import pytest

from outcrop.engines.fingerprints import tell_file, tell_folder
from outcrop.engines.protocol import EngineNotReady

_WHOLE = bytes(range(256)) * 8192


def written(path: Path, content: bytes = _WHOLE) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_told_the_same_wherever_it_lies_and_whenever_it_was_written(tmp_path: Path):
    one, two = written(tmp_path / "a" / "it.gguf"), written(tmp_path / "b" / "it.gguf")
    os.utime(two, (0, 0))
    assert tell_file(one) == tell_file(two)
    assert tell_file(written(tmp_path / "other.gguf")) != tell_file(one)


@pytest.mark.parametrize("part", range(8))
def test_files_of_one_name_and_size_are_told_apart_by_what_is_in_them(tmp_path: Path, part: int):
    one = written(tmp_path / "it.gguf")
    before = tell_file(one)
    begin, length = part * len(_WHOLE) // 8, len(_WHOLE) // 8
    written(one, _WHOLE[:begin] + bytes(length) + _WHOLE[begin + length :])
    os.utime(one, (1, 1))
    assert tell_file(one) != before
    written(one)
    assert tell_file(one) == before


@pytest.mark.parametrize("content", [b"", b"GGUF", _WHOLE[:4096], _WHOLE[:4097]])
def test_small_files_are_told_too(tmp_path: Path, content: bytes):
    one = written(tmp_path / "it.gguf", content)
    assert tell_file(one).startswith(f"it.gguf:{len(content)}:")


def test_a_file_that_is_not_there_is_not_ready(tmp_path: Path):
    with pytest.raises(EngineNotReady, match="cannot be read"):
        tell_file(tmp_path / "it.gguf")


def test_a_folder_is_told_by_what_its_files_hold(tmp_path: Path):
    folder = tmp_path / "base"
    written(folder / "model.safetensors")
    written(folder / "config.json", b"{}")
    (folder / "original").mkdir()
    before = tell_folder(folder)
    os.utime(folder / "config.json", (0, 0))
    written(folder / "original" / "is-not-looked-at")
    assert tell_folder(folder) == before
    written(folder / "config.json", b"[]")
    os.utime(folder / "config.json", (1, 1))
    changed = tell_folder(folder)
    assert changed != before
    written(folder / "more.safetensors")
    assert tell_folder(folder) not in (before, changed)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(EngineNotReady, match="cannot be read"):
        tell_folder(tmp_path / "missing")
