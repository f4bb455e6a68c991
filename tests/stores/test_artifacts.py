"""Sealed files of custom models on disk: whole or not there, whatever kills the process."""

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from outcrop.stores.artifacts import Artifacts
from outcrop.stores.failures import NoSuchItem

NAME = "qxmcqklb6wdn"
FILES = {"adapter.gguf.sealed": b"sealed gguf", "adapter.peft.sealed": b"sealed peft"}

_PUT = """
import asyncio, os, signal, sys
from pathlib import Path
from outcrop.stores import artifacts

folder, source, dies_before = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
steps = 0

def step(event, arguments):
    global steps
    if event in ("os.link", "os.rename", "os.remove", "os.mkdir", "os.chmod"):
        steps += 1
        if steps > dies_before:
            os.kill(os.getpid(), signal.SIGKILL)

files = {file.name: file for file in source.iterdir()}
sys.addaudithook(step)
asyncio.run(artifacts.Artifacts(folder).put("qxmcqklb6wdn", files))
"""


def made(folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in FILES}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def contents(artifacts: Artifacts) -> dict[str, bytes]:
    return {file: await artifacts.read(NAME, file) for file in FILES}


async def test_what_is_put_is_moved_closed_to_others_and_read_back(tmp_path: Path) -> None:
    artifacts, files = Artifacts(tmp_path / "kept"), made(tmp_path / "job")
    await artifacts.put(NAME, files)
    assert await contents(artifacts) == FILES
    assert await artifacts.size(NAME) == sum(map(len, FILES.values()))
    assert await artifacts.names() == [NAME]
    assert not any(file.exists() for file in files.values())
    folder = tmp_path / "kept" / NAME
    assert {mode(folder / file) for file in FILES} == {0o600}
    assert mode(folder) == mode(folder.parent) == 0o700


async def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "kept")
    await artifacts.remove(NAME)
    assert await artifacts.names() == []
    await artifacts.put(NAME, made(tmp_path / "job"))
    await artifacts.remove(NAME)
    await artifacts.remove(NAME)
    assert list((tmp_path / "kept").iterdir()) == []
    for asked in (artifacts.size(NAME), artifacts.read(NAME, "adapter.gguf.sealed")):
        with pytest.raises(NoSuchItem):
            await asked


async def test_files_that_are_put_again_replace_the_former_ones(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "kept")
    await artifacts.put(NAME, made(tmp_path / "job"))
    later = tmp_path / "later"
    later.write_bytes(b"later")
    await artifacts.put(NAME, {"adapter.gguf.sealed": later})
    assert await artifacts.read(NAME, "adapter.gguf.sealed") == b"later"
    with pytest.raises(NoSuchItem):
        await artifacts.read(NAME, "adapter.peft.sealed")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [NAME]


async def test_the_start_removes_what_no_record_names(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "kept")
    assert await artifacts.keep_only(()) == []
    for name in (NAME, "another"):
        await artifacts.put(name, made(tmp_path / "job"))
    half_done = tmp_path / "kept" / ".coming-0123"
    half_done.mkdir()
    (half_done / "adapter.gguf.sealed").write_bytes(b"half")
    assert await artifacts.keep_only({NAME, "never put"}) == ["another"]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [NAME]
    assert await contents(artifacts) == FILES


@pytest.mark.parametrize("dies_before", range(12))
async def test_a_put_that_was_killed_anywhere_is_done_by_the_next(
    tmp_path: Path, dies_before: int
) -> None:
    kept, source = tmp_path / "kept", tmp_path / "job"
    files = made(source)
    command = [sys.executable, "-c", _PUT, str(kept), str(source), str(dies_before)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said
    artifacts = Artifacts(kept)
    if await artifacts.names():
        assert await contents(artifacts) == FILES
    await artifacts.put(NAME, files)
    await artifacts.keep_only({NAME})
    assert await contents(artifacts) == FILES
    assert [path.name for path in kept.iterdir()] == [NAME]
    assert list(source.iterdir()) == []


_HOSTILE = ["..", ".", "", "a/b", "/etc", ".coming-1", "a\n", "A", "a" * 101, "a\0"]


@given(st.text() | st.sampled_from(_HOSTILE))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    root = Path(os.sep, "kept")
    try:
        at = Artifacts(root).at(name)
    except ValueError:
        return
    assert (at.parent, at.name) == (root, name)
    assert name[0].isalnum()
