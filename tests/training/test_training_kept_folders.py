"""Folders that can be made again: whole or not there, and gone when nobody has asked for them."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.training.kept_folders import find_kept, hold, made_once, note_contents, prune

LONG_AGO = (1.0, 1.0)
HOLDER = """
import sys
from pathlib import Path
from outcrop.training.kept_folders import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def made(folder: Path) -> Path:
    with made_once(folder) as partial:
        assert partial is not None
        (partial / "weights").write_bytes(b"numbers")
        note_contents(partial)
    return folder


def forgotten(folder: Path) -> Path:
    os.utime(folder / "contents.json", LONG_AGO)
    return folder


def test_what_nobody_asked_for_in_a_week_is_removed(tmp_path: Path):
    old, new = forgotten(made(tmp_path / "old")), made(tmp_path / "new")
    prune(tmp_path)
    assert (find_kept(old), find_kept(new)) == (None, new)
    assert not old.exists()


def test_what_was_asked_for_again_stays(tmp_path: Path):
    folder = forgotten(made(tmp_path / "one"))
    with made_once(folder) as partial:
        assert partial is None
    prune(tmp_path)
    assert find_kept(folder) == folder


def test_what_a_process_holds_stays_until_that_has_ended(tmp_path: Path):
    folder = made(tmp_path / "one")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        forgotten(folder)
        prune(tmp_path)
        assert find_kept(folder) == folder
        process.kill()
    prune(tmp_path)
    assert find_kept(folder) is None


def test_what_is_held_counts_as_asked_for(tmp_path: Path):
    folder = forgotten(made(tmp_path / "one"))
    hold(folder)
    assert (folder / "contents.json").stat().st_mtime > 1


@pytest.mark.parametrize("is_dead", [True, False])
def test_what_is_being_made_is_removed_only_where_its_maker_has_died(tmp_path: Path, is_dead: bool):
    partial = tmp_path / "one.partial"
    partial.mkdir()
    with (tmp_path / "one.lock").open("wb") as lock:
        if not is_dead:
            fcntl.flock(lock, fcntl.LOCK_EX)
        prune(tmp_path)
    assert partial.exists() != is_dead


def test_a_folder_with_other_sizes_is_made_anew(tmp_path: Path):
    folder = made(tmp_path / "one")
    with made_once(folder, {"weights": 7}) as partial:
        assert partial is None
    with made_once(folder, {"weights": 3}) as partial:
        assert partial is not None
        (partial / "weights").write_bytes(b"new")
        note_contents(partial)
    assert (folder / "weights").read_bytes() == b"new"


def test_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path):
    prune(tmp_path / "missing")
    hold(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
