"""The data directory: private, and served by one server at a time."""

import asyncio
import os
import signal
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from outcrop.stores.directory import DataDirectory, DataDirectoryInUse
from outcrop.stores.failures import StoreError

HOLDER = """
import subprocess, sys
from pathlib import Path
from outcrop.stores.directory import DataDirectory

with DataDirectory(Path(sys.argv[1])).serving():
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(sleep, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print("held", child.pid, flush=True)
    sys.stdin.read()
"""


def test_the_directory_is_closed_to_other_users(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    for path in (tmp_path / "new" / "deep", empty):
        DataDirectory(path).prepare()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_directory_that_holds_other_things_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "somebodys").touch()
    DataDirectory(tmp_path).prepare()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_a_file_in_its_place_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Choose another with --data-dir"):
        DataDirectory(tmp_path / "file").prepare()


def test_a_second_server_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    place = DataDirectory(tmp_path)
    with place.serving():
        second = DataDirectory(tmp_path).serving()
        with pytest.raises(DataDirectoryInUse, match=f"process {os.getpid()}"):
            second.__enter__()
    with place.serving():
        assert True


async def test_the_lock_is_free_after_kill_9_though_a_child_lives_on(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(tmp_path), stdin=PIPE, stdout=PIPE
    )
    assert holder.stdout is not None
    word, child = (await holder.stdout.readline()).split()
    assert word == b"held"
    with pytest.raises(DataDirectoryInUse):
        DataDirectory(tmp_path).serving().__enter__()
    holder.kill()
    await holder.wait()
    try:
        with DataDirectory(tmp_path).serving():
            os.kill(int(child), 0)
    finally:
        os.kill(int(child), signal.SIGKILL)


async def test_setting_up_happens_one_after_the_other(tmp_path: Path) -> None:
    order: list[str] = []

    async def set_up(name: str) -> None:
        async with DataDirectory(tmp_path).setting_up():
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    await asyncio.gather(*(set_up(name) for name in "abc"))
    assert order[::2] == order[1::2]
